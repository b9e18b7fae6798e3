"""Whisper's tokens: prompts, targets, banned tokens, and the differences of the released checkpoints.

| checkpoints              | mel bins | end token | languages      | prompt                           |
|--------------------------|----------|-----------|----------------|----------------------------------|
| tiny ... large-v2        | 80       | 50257     | 99             | start, language, task, no stamps |
| large-v3, large-v3-turbo | 128      | 50257     | 100 (with yue) | start, language, task, no stamps |
| tiny.en ... medium.en    | 80       | 50256     | English alone  | start, no stamps                 |

distil-whisper has the files of the checkpoint that it was made from. Where generation_config.json says nothing (old
and home-made checkpoints have none) the tokenizer decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from transformers import GenerationConfig, PretrainedConfig, WhisperTokenizer

from ilt.asr.languages import check_languages
from ilt.asr.tokens import chars_per_token, clean_texts
from ilt.asr.whisper.texts import WhisperTexts

__all__ = ["WhisperVocabulary"]


class WhisperVocabulary(WhisperTexts):
    """The tokens of one checkpoint, with what decoding and training need of them. characters: that begin in each."""

    def __init__(
        self,
        name: str,
        tokenizer: WhisperTokenizer,
        config: PretrainedConfig,
        settings: GenerationConfig,
        language_alias: Mapping[str, str],
        device: torch.device,
    ) -> None:
        super().__init__(name, tokenizer, config.to_dict(), vars(settings), language_alias)
        self.device = device
        self.end = int(config.eos_token_id)
        self.start = int(config.decoder_start_token_id)
        self.languages = frozenset(self.language_ids) or frozenset({"en"})
        self.no_speech = self._ids.get("<|nospeech|>", self._ids.get("<|nocaptions|>"))
        self.banned = self._tokens(self.control | set(settings.suppress_tokens or ()))
        # An empty transcript is a possible answer, so the end token stays allowed at the beginning.
        self.banned_first = self._tokens(settings.begin_suppress_tokens or ())
        self.characters = chars_per_token(self._ids, self.control, self.size).to(device)

    def _tokens(self, indices: Iterable[int]) -> torch.Tensor:
        """Return sorted indices, without the end token and those of no token (some files say -1)."""
        kept = {index for index in indices if 0 <= index < self.size} - {self.end}
        return torch.tensor(sorted(kept), dtype=torch.long, device=self.device)

    def prefixes(self, languages: Sequence[str]) -> torch.Tensor:
        """Return the prompt of each utterance, (batch, prompt). Raises IltError for unknown languages."""
        check_languages(languages, self.languages, self.language_alias, self.name)
        codes = [self.language_alias.get(language, language) for language in languages]
        tags = [[self.language_ids[code]] if self.language_ids else [] for code in codes]
        rows = [[self.start, *tag, *self.tail] for tag in tags]
        return torch.tensor(rows, device=self.device)

    def decode(self, tokens: Any) -> list[str]:
        """Return the texts of token rows, without special tokens and with single spaces."""
        return clean_texts(self.tokenizer, tokens)

    def mask(self, logits: torch.Tensor, first: bool) -> torch.Tensor:
        """Return `logits` (..., vocabulary) in float32, -inf at banned tokens. Changes float32 in place."""
        logits = logits.float()
        logits[:, self.banned] = -torch.inf
        if first and len(self.banned_first):
            logits[:, self.banned_first] = -torch.inf
        return logits

    def teacher(self, prefixes: torch.Tensor, targets: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return decoder inputs and labels (-100: nothing to predict): (batch, prompt + longest target)."""
        size, lead = max(map(len, targets)), prefixes.shape[1]
        inputs = torch.full((len(targets), lead + size - 1), self.end, device=self.device)
        labels = torch.full((len(targets), lead + size - 1), -100, device=self.device)
        inputs[:, :lead] = prefixes
        for row, target in enumerate(targets):
            inputs[row, lead : lead + len(target) - 1] = torch.tensor(target[:-1], device=self.device)
            labels[row, lead - 1 : lead - 1 + len(target)] = torch.tensor(target, device=self.device)
        return inputs, labels
