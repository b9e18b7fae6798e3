"""Qwen2-Audio's texts as tokens, and how long they may be. It needs no weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transformers import AutoTokenizer, Qwen2AudioConfig

from ilt.asr.model_files import read_config
from ilt.asr.tokens import control_tokens, load_tokenizer, plain_encoder

__all__ = ["Qwen2AudioTexts", "load_texts", "text_tokens"]

TEXT_TOKENS = 448
"""Tokens that a text may have at most, as for Whisper: a segment of 30 s needs fewer."""


def text_tokens(config: Any) -> int:
    """Return how many tokens a text may have at most: half of what the audio leaves of the context, for the prompt."""
    room = config.text_config.max_position_embeddings - config.audio_config.max_source_positions // 2
    return min(TEXT_TOKENS, int(room) // 2)


class Qwen2AudioTexts:
    """See `ilt.asr.tokens.Texts`."""

    def __init__(self, tokenizer: Any, config: Any) -> None:
        self.tokenizer, self.max_tokens = tokenizer, text_tokens(config)
        self.control = control_tokens(tokenizer) | {int(config.audio_token_id)}
        self._encode = plain_encoder(tokenizer, self.control)

    def encode(self, text: str, language: str = "en") -> list[int]:  # noqa: ARG002 (all are written alike)
        """Return the tokens of a text. The names of control tokens, such as `<|im_end|>`, are text like any other."""
        return self._encode(text)


def load_texts(model_id: str, revision: str | None, language_alias: Mapping[str, str]) -> Qwen2AudioTexts:  # noqa: ARG001
    """Return the texts of a checkpoint. Raises IltError where its files cannot be read."""
    config = Qwen2AudioConfig.from_dict(read_config(model_id, revision, "config.json"))
    return Qwen2AudioTexts(load_tokenizer(AutoTokenizer, model_id, revision), config)
