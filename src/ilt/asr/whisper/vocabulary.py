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
from transformers.models.whisper.tokenization_whisper import LANGUAGES

from ilt.asr.languages import check_languages, whisper_languages
from ilt.asr.tokens import chars_per_token, clean_texts, control_tokens, plain_encoder
from ilt.errors import IltError

__all__ = ["WhisperVocabulary"]

UNSPACED = frozenset({"zh", "ja", "th", "lo", "my", "yue"})
"""Languages whose words have no spaces between them, by openai-whisper (`tokenizer.py`)."""


class WhisperVocabulary:
    """The tokens of one checkpoint.

    language_ids: token of each language; empty for English-only checkpoints.
    tail:         the end of a prompt, after the language: the task, if there are tasks, and no time stamps.
    characters:   that begin in each token, (vocabulary,).
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
        self.name, self.tokenizer, self.device = name, tokenizer, device
        self.language_alias = dict(language_alias)
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
        control = control_tokens(tokenizer) | set(range(self.tail[-1] + 1, self.size))  # time stamps come last
        self._encode = plain_encoder(tokenizer, control)
        self.banned = self._tokens(control | set(settings.suppress_tokens or ()))
        # An empty transcript is a possible answer, so the end token stays allowed at the beginning.
        self.banned_first = self._tokens(settings.begin_suppress_tokens or ())
        self.characters = chars_per_token(self._ids, control, self.size).to(device)

    def _id(self, token: str) -> int:
        """Return the index of a token. Raises IltError for a tokenizer that lacks it."""
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

    def encode(self, text: str, language: str = "en") -> list[int]:
        """Return the tokens of a text, as the checkpoint was trained to write it, without prompt and end.

        The names of control tokens, such as `<|endoftext|>`, are text like any other.
        """
        spaced = self._spaced and text and self.language_alias.get(language, language) not in UNSPACED
        return self._encode(f" {text.strip()}" if spaced else text)

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
