"""Whisper's texts as tokens: what a checkpoint writes them as, and how long they may be. It needs no weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transformers import WhisperConfig, WhisperTokenizer
from transformers.models.whisper.tokenization_whisper import LANGUAGES

from ilt.asr.languages import whisper_languages
from ilt.asr.model_files import read_config
from ilt.asr.tokens import control_tokens, load_tokenizer, plain_encoder
from ilt.errors import IltError

__all__ = ["WhisperTexts", "load_texts"]

UNSPACED = frozenset({"zh", "ja", "th", "lo", "my", "yue"})
"""Languages whose words have no spaces between them, by openai-whisper (`tokenizer.py`)."""


class WhisperTexts:
    """See `ilt.asr.tokens.Texts`.

    language_ids: token of each language; empty for English-only checkpoints.
    tail:         the end of a prompt, after the language: the task, if there are tasks, and no time stamps.
    config, settings: of config.json and generation_config.json, with their defaults.
    """

    def __init__(
        self,
        name: str,
        tokenizer: WhisperTokenizer,
        config: Mapping[str, Any],
        settings: Mapping[str, Any],
        language_alias: Mapping[str, str],
    ) -> None:
        self.name, self.tokenizer, self.language_alias = name, tokenizer, dict(language_alias)
        self.size = int(config["vocab_size"])
        self._ids: dict[str, int] = tokenizer.get_vocab()
        if max(self._ids.values()) >= self.size:
            raise IltError(
                f"model.id: {name} has a tokenizer of {max(self._ids.values()) + 1} tokens but weights for "
                f"{self.size}; take both from one checkpoint (English-only ones have their own tokenizer)"
            )
        self.language_ids = self._languages(config, settings)
        tasks = ["<|transcribe|>"] if self.language_ids else []
        self.tail = [self._id(token) for token in (*tasks, "<|notimestamps|>")]
        self.max_tokens = int(config["max_target_positions"]) - len(self.tail) - 3
        # OpenAI's texts begin with a space; so do those of a vocabulary that has words with one before them.
        self._spaced = any(len(token) > 1 and token.startswith("Ġ") for token in self._ids)
        # Time stamps come last.
        self.control = control_tokens(tokenizer) | set(range(self.tail[-1] + 1, self.size))
        self._encode = plain_encoder(tokenizer, self.control)

    def _id(self, token: str) -> int:
        """Return the index of a token. Raises IltError for a tokenizer that lacks it."""
        if token not in self._ids:
            raise IltError(f"model.id: the tokenizer of {self.name} has no token {token}: it is no Whisper's")
        return self._ids[token]

    def _languages(self, config: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, int]:
        known = whisper_languages(config, settings)
        if known == frozenset({"en"}) and "lang_to_id" not in settings:
            return {}
        if known is None:  # multilingual, without a table of languages
            return {code: self._ids[f"<|{code}|>"] for code in LANGUAGES if f"<|{code}|>" in self._ids}
        return {token.strip("<|>"): int(index) for token, index in settings["lang_to_id"].items()}

    def encode(self, text: str, language: str = "en") -> list[int]:
        """Return the tokens of a text, as the checkpoint was trained to write it, without prompt and end.

        The names of control tokens, such as `<|endoftext|>`, are text like any other.
        """
        spaced = self._spaced and text and self.language_alias.get(language, language) not in UNSPACED
        return self._encode(f" {text.strip()}" if spaced else text)


def load_texts(model_id: str, revision: str | None, language_alias: Mapping[str, str]) -> WhisperTexts:
    """Return the texts of a checkpoint. Raises IltError where its files cannot be read or do not belong together."""
    tokenizer = load_tokenizer(WhisperTokenizer, model_id, revision)
    config = WhisperConfig.from_dict(read_config(model_id, revision, "config.json")).to_dict()
    settings = read_config(model_id, revision, "generation_config.json")
    return WhisperTexts(model_id, tokenizer, config, settings, language_alias)
