"""Whisper's tokens: prompts, targets, what may not be said, and how the released checkpoints differ.

| checkpoints              | mel bins | end token | languages      | prompt                           |
|--------------------------|----------|-----------|----------------|----------------------------------|
| tiny ... large-v2        | 80       | 50257     | 99             | start, language, task, no stamps |
| large-v3, large-v3-turbo | 128      | 50257     | 100 (with yue) | start, language, task, no stamps |
| tiny.en ... medium.en    | 80       | 50256     | English alone  | start, no stamps                 |

distil-whisper has the files of the checkpoint that it was made from. What is not in generation_config.json
(old and home-made checkpoints have none) is taken from the tokenizer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from transformers import GenerationConfig, PretrainedConfig, WhisperTokenizer
from transformers.models.whisper.tokenization_whisper import LANGUAGES

from ilt.asr.decoding import chars_per_token, clean_texts
from ilt.asr.languages import check_languages, whisper_languages
from ilt.errors import IltError

__all__ = ["WhisperVocabulary"]

UNSPACED = frozenset({"zh", "ja", "th", "lo", "my", "yue"})
"""Languages whose words have no spaces between them, by openai-whisper (`tokenizer.py`)."""


class WhisperVocabulary:
    """The tokens of one checkpoint.

    language_ids: token of each language; empty for English-only checkpoints.
    tail:         what follows the language in a prompt: the task, if there are tasks, and no time stamps.
    characters:   letters that each token begins, (vocabulary,).
    """

    def __init__(
        self,
        name: str,
        tokenizer: WhisperTokenizer,
        config: PretrainedConfig,
        settings: GenerationConfig,
        language_alias: Mapping[str, str],
        device: torch.device,
    ) -> None:
        self.name, self.tokenizer, self.language_alias, self.device = (
            name,
            tokenizer,
            dict(language_alias),
            device,
        )
        self.size = int(config.vocab_size)
        self._ids: dict[str, int] = tokenizer.get_vocab()
        if max(self._ids.values()) >= self.size:
            raise IltError(
                f"model.id: {name} has a tokenizer of {max(self._ids.values()) + 1} tokens but weights for "
                f"{self.size}; take both from one checkpoint (English-only ones have their own tokenizer)"
            )
        self.end = int(config.eos_token_id)
        self.start = int(config.decoder_start_token_id)
        self.language_ids = self._languages(config, settings)
        self.languages = frozenset(self.language_ids) or frozenset({"en"})
        self.no_speech = self._ids.get("<|nospeech|>", self._ids.get("<|nocaptions|>"))
        tasks = ["<|transcribe|>"] if self.language_ids else []
        self.tail = [self._id(token) for token in (*tasks, "<|notimestamps|>")]
        # OpenAI's texts begin with a space; so do those of a vocabulary that has words with one before them.
        self._spaced = any(len(token) > 1 and token.startswith("Ġ") for token in self._ids)
        special = set(tokenizer.all_special_ids)  # the tokenizer makes this list anew each time
        stamps = range(self.tail[-1] + 1, self.size)
        self.banned = self._tokens({*special, *stamps, *(settings.suppress_tokens or ())})
        # An empty transcript is a possible answer, so the end token stays allowed at the beginning.
        self.banned_first = self._tokens(settings.begin_suppress_tokens or ())
        self.characters = chars_per_token(self._ids, special, self.size).to(device)

    def _id(self, token: str) -> int:
        if token not in self._ids:
            raise IltError(f"model.id: the tokenizer of {self.name} has no token {token}: it is no Whisper's")
        return self._ids[token]

    def _languages(self, config: PretrainedConfig, settings: GenerationConfig) -> dict[str, int]:
        known = whisper_languages(config.to_dict(), vars(settings))
        if known == frozenset({"en"}) and "lang_to_id" not in vars(settings):
            return {}
        if known is None:  # multilingual, without a table of languages
            return {code: self._ids[f"<|{code}|>"] for code in LANGUAGES if f"<|{code}|>" in self._ids}
        return {token.strip("<|>"): int(index) for token, index in vars(settings)["lang_to_id"].items()}

    def _tokens(self, indices: Iterable[int]) -> torch.Tensor:
        """As sorted indices, without the end token and what is no token (some files say -1)."""
        kept = {index for index in indices if 0 <= index < self.size} - {self.end}
        return torch.tensor(sorted(kept), dtype=torch.long, device=self.device)

    def prefixes(self, languages: Sequence[str]) -> torch.Tensor:
        """The prompt of each utterance, (batch, prompt). Raises IltError for languages that cannot be had."""
        check_languages(languages, self.languages, self.language_alias, self.name)
        codes = [self.language_alias.get(language, language) for language in languages]
        told = [[self.language_ids[code]] if self.language_ids else [] for code in codes]
        rows = [[self.start, *language, *self.tail] for language in told]
        return torch.tensor(rows, device=self.device)

    def encode(self, text: str, language: str = "en") -> list[int]:
        """The tokens of a text, as the checkpoint was taught to write it, without prompt and end."""
        spaced = self._spaced and text and self.language_alias.get(language, language) not in UNSPACED
        return self.tokenizer(f" {text.strip()}" if spaced else text, add_special_tokens=False).input_ids

    def decode(self, tokens: Any) -> list[str]:
        """Texts of token rows, without specials and with single spaces."""
        return clean_texts(self.tokenizer, tokens)

    def mask(self, logits: torch.Tensor, first: bool) -> torch.Tensor:
        """`logits` (..., vocabulary) in float32 without what may not be said. Changes float32 in place."""
        logits = logits.float()
        logits[:, self.banned] = -torch.inf
        if first and len(self.banned_first):
            logits[:, self.banned_first] = -torch.inf
        return logits

    def teacher(self, prefixes: torch.Tensor, targets: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Decoder inputs and labels (-100 where nothing is predicted): (batch, prompt + longest target)."""
        size, lead = max(map(len, targets)), prefixes.shape[1]
        inputs = torch.full((len(targets), lead + size - 1), self.end, device=self.device)
        labels = torch.full((len(targets), lead + size - 1), -100, device=self.device)
        inputs[:, :lead] = prefixes
        for row, target in enumerate(targets):
            inputs[row, lead : lead + len(target) - 1] = torch.tensor(target[:-1], device=self.device)
            labels[row, lead - 1 : lead - 1 + len(target)] = torch.tensor(target, device=self.device)
        return inputs, labels
