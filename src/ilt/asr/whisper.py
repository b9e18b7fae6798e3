"""Whisper, of any size, behind the recogniser's face."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import torch
from torch.nn import functional
from transformers import (
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperTokenizer,
)
from transformers.cache_utils import DynamicCache, EncoderDecoderCache
from transformers.convert_slow_tokenizer import bytes_to_unicode
from transformers.modeling_outputs import BaseModelOutput
from transformers.utils.logging import disable_progress_bar

from ilt.asr.context import audio_context
from ilt.asr.features import pad_features
from ilt.asr.lineage import Lineage, merge_adapters
from ilt.asr.recogniser import Hypothesis
from ilt.errors import IltError
from ilt.params import ModelParams

__all__ = ["WhisperRecogniser"]

MARGIN = 4
"""Mel frames of silence behind the longest utterance of a batch with `audio_context: batch`."""


LEAST_CHARACTERS = 4
"""Characters that even the shortest utterance may have, over what its length allows."""


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)


class WhisperRecogniser:
    """See `ilt.asr.recogniser.Recogniser`. Language and task are always given explicitly."""

    def __init__(self, lineage: Lineage, params: ModelParams) -> None:
        from pathlib import Path

        self.lineage, self.params = lineage, params
        self.device = _device(params.device)
        load = {"revision": lineage.revision} if lineage.revision else {}
        disable_progress_bar()
        model = WhisperForConditionalGeneration.from_pretrained(
            lineage.id, use_safetensors=True, dtype=torch.float32, **load
        )
        merge_adapters(model, [Path(link.path) for link in lineage.adapters])
        on_gpu = self.device.type == "cuda"
        # Eager attention is faster than SDPA on a CPU at the short contexts seen here, above all backwards.
        model.set_attn_implementation("sdpa" if on_gpu else "eager")
        dtype = params.dtype if params.dtype != "auto" else ("bfloat16" if on_gpu else "float32")
        self.model = model.to(self.device, getattr(torch, dtype)).eval()
        self.extractor = WhisperFeatureExtractor.from_pretrained(lineage.id, **load)
        self.tokenizer = WhisperTokenizer.from_pretrained(lineage.id, **load)
        settings = model.generation_config
        ids = self.tokenizer.convert_tokens_to_ids
        self.end = int(model.config.eos_token_id)
        self.start = int(model.config.decoder_start_token_id)
        table = getattr(settings, "lang_to_id", None) or {}
        self.language_ids = {token.strip("<|>"): int(index) for token, index in table.items()}
        self.no_speech = self._optional_id("<|nospeech|>", "<|nocaptions|>")
        self._tail = [int(ids("<|notimestamps|>"))]
        if self.language_ids:
            self._tail.insert(0, int(ids("<|transcribe|>")))
        banned = {index for index in self.tokenizer.all_special_ids if index != self.end}
        banned |= set(settings.suppress_tokens or ())
        banned |= set(range(self._tail[-1] + 1, model.config.vocab_size))  # time stamps
        self._banned = torch.tensor(sorted(banned - {self.end}), device=self.device)
        first = set(settings.begin_suppress_tokens or ()) | {self.end}
        # An empty transcript is a possible answer, so the end token stays allowed at the beginning.
        self._banned_first = torch.tensor(sorted(first - {self.end}), device=self.device)

        # Letters that each token begins: bytes that do not continue one. A letter may be several tokens.
        to_byte = {letter: byte for byte, letter in bytes_to_unicode().items()}
        begins = torch.zeros(model.config.vocab_size)
        special = set(self.tokenizer.all_special_ids)  # the tokenizer makes this list anew each time
        for token, index in self.tokenizer.get_vocab().items():
            if index not in special and index < len(begins):
                begins[index] = sum(to_byte.get(letter, 0) & 0xC0 != 0x80 for letter in token)
        self._characters = begins.to(self.device)

    def _optional_id(self, *names: str) -> int | None:
        vocabulary = self.tokenizer.get_vocab()
        return next((vocabulary[name] for name in names if name in vocabulary), None)

    @property
    def max_frames(self) -> int:
        return 2 * int(self.model.config.max_source_positions)

    @property
    def max_tokens(self) -> int:
        """Tokens that a text may have at most."""
        return int(self.model.config.max_target_positions) - len(self._tail) - 3

    def fits(self, text: str) -> bool:
        return len(self.tokenizer(text, add_special_tokens=False).input_ids) <= self.max_tokens

    def _prefixes(self, languages: Sequence[str]) -> torch.Tensor:
        rows = []
        for language in languages:
            if self.language_ids and language not in self.language_ids:
                raise IltError(f"{self.lineage.id} has no token for the language {language!r}")
            known = [self.language_ids[language]] if self.language_ids else []
            rows.append([self.start, *known, *self._tail])
        return torch.tensor(rows, device=self.device)

    def _frames(self, features: Sequence[torch.Tensor]) -> int:
        if self.params.audio_context == "full":
            return self.max_frames
        longest = max(feature.shape[1] for feature in features) + MARGIN
        return min(self.max_frames, longest + longest % 2)

    def _pad(self, features: Sequence[torch.Tensor]) -> torch.Tensor:
        return pad_features(features, self._frames(features)).to(self.device, self.model.dtype)

    def _mean_states(self, states: torch.Tensor, features: Sequence[torch.Tensor]) -> torch.Tensor:
        lengths = torch.tensor([-(-f.shape[1] // 2) for f in features], device=states.device)
        lengths = lengths.clamp(1, states.shape[1])
        mask = torch.arange(states.shape[1], device=states.device)[None] < lengths[:, None]
        return (states.float() * mask[..., None]).sum(1) / lengths[:, None]

    @torch.inference_mode()
    def transcribe(
        self, features: Sequence[torch.Tensor], languages: Sequence[str], beams: int = 1, embed: bool = False
    ) -> list[Hypothesis]:
        padded = self._pad(features)
        prefixes = self._prefixes(languages)
        with audio_context(self.model, padded.shape[-1]):
            states = self.model.model.encoder(padded).last_hidden_state
        means = self._mean_states(states, features).cpu().numpy() if embed else None
        if beams == 1:
            hypotheses = self._greedy(states, prefixes, self._limits(features))
        else:
            texts = self._beam_search(padded, languages, beams)
            hypotheses = self._evidence(states, prefixes, texts)
        if means is not None:
            for hypothesis, mean in zip(hypotheses, means, strict=True):
                hypothesis.embedding = mean
        return hypotheses

    def _opening(self, logits: torch.Tensor) -> list[tuple[float | None, str | None, float | None]]:
        """No-speech probability, detected language and its probability, from the first position's logits."""
        first = logits.float()
        probabilities = first.softmax(-1)
        silent = probabilities[:, self.no_speech].tolist() if self.no_speech is not None else None
        found: list[tuple[str | None, float | None]] = [(None, None)] * len(first)
        if self.language_ids:
            codes = sorted(self.language_ids)
            share = first[:, [self.language_ids[code] for code in codes]].softmax(-1)
            best, at = share.max(-1)
            found = [(codes[i], p) for i, p in zip(at.tolist(), best.tolist(), strict=True)]
        return [(silent[i] if silent else None, *found[i]) for i in range(len(first))]

    def _mask(self, logits: torch.Tensor, first: bool) -> torch.Tensor:
        logits = logits.float()
        logits[:, self._banned] = -torch.inf
        if first and len(self._banned_first):
            logits[:, self._banned_first] = -torch.inf
        return logits

    def _limits(self, features: Sequence[torch.Tensor]) -> torch.Tensor:
        """How many characters each utterance may have, by its length: (batch,)."""
        pace = self.params.max_chars_per_second or torch.inf
        second = self.extractor.sampling_rate / self.extractor.hop_length
        limits = [LEAST_CHARACTERS + pace * feature.shape[1] / second for feature in features]
        return torch.tensor(limits, device=self.device)

    def _greedy(self, states: torch.Tensor, prefixes: torch.Tensor, limits: torch.Tensor) -> list[Hypothesis]:
        count = len(prefixes)
        cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        tokens: list[torch.Tensor] = []
        total = torch.zeros(count, device=self.device)
        least = torch.zeros(count, device=self.device)
        entropy = torch.zeros(count, device=self.device)
        length = torch.zeros(count, device=self.device)
        done = torch.zeros(count, dtype=torch.bool, device=self.device)
        ended, written = done.clone(), torch.zeros(count, device=self.device)
        inputs, opening = prefixes, None
        for step in range(self.max_tokens + 1):
            output = self.model(
                encoder_outputs=BaseModelOutput(states), decoder_input_ids=inputs,
                past_key_values=cache, use_cache=True,
            )  # fmt: skip
            if opening is None:
                opening = self._opening(output.logits[:, 0])
            scores = self._mask(output.logits[:, -1], step == 0).log_softmax(-1)
            best, chosen = scores.max(-1)
            spread = -(scores.exp() * scores.clamp_min(-1e4)).sum(-1)
            active = (~done).float()
            total += best * active
            entropy += spread * active
            length += active
            least = torch.where(done, least, torch.minimum(least, best))
            written += self._characters[chosen] * ~done
            cut = ~done & (written > limits)
            chosen = chosen.masked_fill(done | cut, self.end)
            ended |= ~cut & ~done & (chosen == self.end)
            done |= chosen == self.end
            tokens.append(chosen)
            if bool(done.all()):
                break
            inputs = chosen[:, None]
        texts = self._decode(torch.stack(tokens, 1))
        assert opening is not None
        values = [(total / length).tolist(), least.tolist(), (entropy / length).tolist(), ended.tolist()]
        return [
            self._hypothesis(text, average, low, mean, opening[row], finished)
            for row, (text, average, low, mean, finished) in enumerate(zip(texts, *values, strict=True))
        ]

    def _decode(self, tokens: torch.Tensor) -> list[str]:
        texts = self.tokenizer.batch_decode(tokens, skip_special_tokens=True)
        return [" ".join(text.replace("\ufffd", "").split()) for text in texts]

    @staticmethod
    def _hypothesis(
        text: str, average: float, low: float, entropy: float,
        opening: tuple[float | None, str | None, float | None], finished: bool,
    ) -> Hypothesis:  # fmt: skip
        data = text.encode()
        ratio = len(data) / len(zlib.compress(data)) if data else 0.0
        return Hypothesis(text, average, low, entropy, ratio, *opening, finished=finished)

    def _beam_search(self, padded: torch.Tensor, languages: Sequence[str], beams: int) -> list[str]:
        texts = [""] * len(languages)
        for language in sorted(set(languages)):
            rows = [row for row, code in enumerate(languages) if code == language]
            options = {"language": language, "task": "transcribe"} if self.language_ids else {}
            with audio_context(self.model, padded.shape[-1]):
                output = self.model.generate(
                    padded[rows], num_beams=beams, max_new_tokens=self.max_tokens, **options
                )
            for row, text in zip(rows, self._decode(output), strict=True):
                texts[row] = text
        return texts

    def _targets(self, texts: Sequence[str]) -> list[list[int]]:
        return [
            [*self.tokenizer(text, add_special_tokens=False).input_ids[: self.max_tokens], self.end]
            for text in texts
        ]

    def _teacher(self, prefixes: torch.Tensor, targets: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Decoder inputs and labels (-100 where nothing is predicted): (batch, prefix + longest target)."""
        size, lead = max(map(len, targets)), prefixes.shape[1]
        inputs = torch.full((len(targets), lead + size - 1), self.end, device=self.device)
        labels = torch.full((len(targets), lead + size - 1), -100, device=self.device)
        inputs[:, :lead] = prefixes
        for row, target in enumerate(targets):
            inputs[row, lead : lead + len(target) - 1] = torch.tensor(target[:-1], device=self.device)
            labels[row, lead - 1 : lead - 1 + len(target)] = torch.tensor(target, device=self.device)
        return inputs, labels

    def _evidence(
        self, states: torch.Tensor, prefixes: torch.Tensor, texts: Sequence[str]
    ) -> list[Hypothesis]:
        """Evidence for given texts, by teacher forcing."""
        targets = self._targets(texts)
        inputs, labels = self._teacher(prefixes, targets)
        logits = self.model(
            encoder_outputs=BaseModelOutput(states), decoder_input_ids=inputs, use_cache=False
        ).logits
        opening = self._opening(logits[:, 0])
        result = []
        for row, text in enumerate(texts):
            kept = labels[row] != -100
            scores = self._mask(logits[row, kept], first=False).log_softmax(-1)
            chosen = scores.gather(1, labels[row, kept][:, None])[:, 0].clamp_min(-100)
            spread = -(scores.exp() * scores.clamp_min(-1e4)).sum(-1)
            result.append(
                self._hypothesis(
                    text,
                    float(chosen.mean()),
                    float(chosen.min()),
                    float(spread.mean()),
                    opening[row],
                    finished=len(targets[row]) <= self.max_tokens,
                )
            )
        return result

    def loss(
        self,
        features: Sequence[torch.Tensor],
        languages: Sequence[str],
        texts: Sequence[str],
        label_smoothing: float = 0.0,
    ) -> torch.Tensor:
        padded = self._pad(features)
        inputs, labels = self._teacher(self._prefixes(languages), self._targets(texts))
        with audio_context(self.model, padded.shape[-1]):
            logits = self.model(input_features=padded, decoder_input_ids=inputs, use_cache=False).logits
        return functional.cross_entropy(
            logits.float().flatten(0, 1), labels.flatten(), label_smoothing=label_smoothing
        )
