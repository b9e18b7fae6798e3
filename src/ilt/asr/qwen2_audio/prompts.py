"""Qwen2-Audio's tokens and prompts, of the base and of the Instruct model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from transformers.models.whisper.tokenization_whisper import LANGUAGES as LANGUAGE_NAMES

from ilt.asr.qwen2_audio.texts import Qwen2AudioTexts
from ilt.asr.tokens import chars_per_token, clean_texts
from ilt.errors import IltError

__all__ = ["AUDIO", "BASE_PROMPT", "CHAT_PROMPT", "Qwen2AudioVocabulary"]

AUDIO = "<|audio_bos|><|AUDIO|><|audio_eos|>"
"""Place of the audio in a prompt."""

BASE_PROMPT = "Detect the language and recognize the speech: <|{code}|>"
"""Prompt that the base model was trained with (Chu et al. 2024, figure 2, and the authors' evaluation)."""

CHAT_PROMPT = "Transcribe the {language} speech into {language} text. Answer with the text alone."
"""Prompt for the Instruct model; the wording is this project's own."""


class Qwen2AudioVocabulary(Qwen2AudioTexts):
    """The tokens and prompts of one checkpoint.

    A model whose generation settings end at `<|im_end|>` is a chat model, and is prompted through its chat template;
    a base model ends at `<|endoftext|>`.

    ends: end tokens of the generation settings. prompts: the user's, by language code or `default`.
    language_alias: languages that stand in for others.
    """

    def __init__(
        self,
        processor: Any,
        config: Any,
        ends: Any,
        prompts: Mapping[str, str],
        language_alias: Mapping[str, str],
        device: torch.device,
    ) -> None:
        super().__init__(processor.tokenizer, config)
        self.processor, self.device = processor, device
        self.prompts, self.language_alias = dict(prompts), dict(language_alias)
        ids = self.tokenizer.get_vocab()
        size = int(config.text_config.vocab_size)
        self.audio = int(config.audio_token_id)
        self.chat = ids.get("<|im_end|>") in (ends if isinstance(ends, list) else [ends])
        self.end = int(ids["<|im_end|>" if self.chat else "<|endoftext|>"])
        unused = range(max(ids.values()) + 1, size)  # released weights have more rows than tokens
        self.banned = torch.tensor(sorted({*self.control, *unused} - {self.end}), device=device)
        tags = {code: ids.get(f"<|{code}|>") for code in LANGUAGE_NAMES}
        self.language_ids = {code: index for code, index in tags.items() if index is not None}
        self.characters = chars_per_token(ids, self.control, size).to(device)

    def prompt(self, language: str) -> str:
        """Return the whole prompt for a language, with `AUDIO` in the place of the audio.

        Raises IltError for a language without a name or a token, where the prompt has a place for one.
        """
        default = self.prompts.get("default", CHAT_PROMPT if self.chat else BASE_PROMPT)
        text = self.prompts.get(language, default)
        code = self.language_alias.get(language, language)
        if "{language}" in text and code not in LANGUAGE_NAMES:
            raise IltError(
                f"the prompt names the language, and {code!r} has no known English name; write a prompt of "
                f"its own, model.prompts.{language}, or name another language in its place, languages.{language}.as"
            )
        if "<|{code}|>" in text and code not in self.language_ids:
            known = ", ".join(sorted(self.language_ids))
            raise IltError(
                f"the model has no token for the language {code!r}; it has {known}: name one of them in its place, "
                f"languages.{language}.as, or write a prompt of its own, model.prompts.{language}"
            )
        text = text.replace("{code}", code).replace("{language}", LANGUAGE_NAMES.get(code, "").title())
        if not self.chat:
            return text if AUDIO in text else AUDIO + text
        content = [{"type": "audio", "audio_url": "utterance"}, {"type": "text", "text": text}]
        turns = [{"role": "user", "content": content}]
        return str(self.processor.apply_chat_template(turns, add_generation_prompt=True, tokenize=False))

    def prefixes(self, languages: Sequence[str], lengths: Sequence[int]) -> list[list[int]]:
        """Return the token ids of each prompt, with as many audio tokens as the audio has (`lengths`).

        Unlike texts, prompts have control tokens. Raises IltError for a prompt without one place for the audio.
        """
        ids: dict[str, list[int]] = {
            code: self.tokenizer(self.prompt(code), add_special_tokens=False).input_ids
            for code in sorted(set(languages))
        }
        rows = []
        for code, length in zip(languages, lengths, strict=True):
            if ids[code].count(self.audio) != 1:
                raise IltError(f"model.prompts: the prompt for {code!r} must hold {AUDIO} once")
            at = ids[code].index(self.audio)
            rows.append([*ids[code][:at], *[self.audio] * length, *ids[code][at + 1 :]])
        return rows

    def decode(self, tokens: Any) -> list[str]:
        """Return the texts of token rows, without special tokens and with single spaces."""
        return clean_texts(self.tokenizer, tokens)

    def mask(self, logits: torch.Tensor, first: bool) -> torch.Tensor:  # noqa: ARG002 (an answer may be empty)
        """Return `logits` (..., vocabulary) in float32, -inf at banned tokens. Changes float32 in place."""
        logits = logits.float()
        logits[:, self.banned] = -torch.inf
        return logits

    def stacked(self, rows: Sequence[Sequence[int]], left: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """Return token rows of unlike length as ids and attention mask, (batch, longest), padded at one side."""
        size = max(map(len, rows))
        ids = torch.full((len(rows), size), self.end)
        mask = torch.zeros(len(rows), size, dtype=torch.long)
        for number, row in enumerate(rows):
            at = slice(size - len(row), size) if left else slice(0, len(row))
            ids[number, at] = torch.tensor(row)
            mask[number, at] = 1
        return ids.to(self.device), mask.to(self.device)

    def teacher(
        self, prefixes: Sequence[list[int]], targets: Sequence[list[int]]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return ids, attention mask and labels: the answer alone, else -100. All (batch, longest), padded right.

        targets: tokens of the answers, the end token included.
        """
        rows = [[*prompt, *answer[:-1]] for prompt, answer in zip(prefixes, targets, strict=True)]
        ids, mask = self.stacked(rows, left=False)
        labels = torch.full_like(ids, -100)
        for number, (prompt, answer) in enumerate(zip(prefixes, targets, strict=True)):
            at = len(prompt) - 1
            labels[number, at : at + len(answer)] = torch.tensor(answer, device=self.device)
        return ids, mask, labels
