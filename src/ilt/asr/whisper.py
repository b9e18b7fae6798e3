"""Whisper, of any size, behind the recogniser's face. Language and task are always given explicitly."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch.nn import functional
from transformers import (
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperTokenizer,
)
from transformers.utils.logging import disable_progress_bar

from ilt.asr.context import audio_context
from ilt.asr.decoding import Task, beam_search, evidence, greedy
from ilt.asr.device import pick_attention, pick_device, pick_dtype
from ilt.asr.features import pad_features
from ilt.asr.lineage import Lineage, merge_adapter
from ilt.asr.recogniser import Hypothesis
from ilt.asr.vocabulary import WhisperVocabulary
from ilt.errors import IltError
from ilt.params import ModelParams

__all__ = ["WhisperRecogniser"]

MARGIN = 4
"""Mel frames of silence behind the longest utterance of a batch with `audio_context: batch`."""


LEAST_CHARACTERS = 4
"""Characters that even the shortest utterance may have, over what its length allows."""


class WhisperRecogniser:
    """See `ilt.asr.recogniser.Recogniser`. Raises IltError for files that do not belong together."""

    def __init__(self, lineage: Lineage, params: ModelParams) -> None:
        self.lineage, self.params = lineage, params
        self.device = pick_device(params.device)
        load = {"revision": lineage.revision} if lineage.revision else {}
        disable_progress_bar()
        model = WhisperForConditionalGeneration.from_pretrained(
            lineage.id, use_safetensors=True, dtype=torch.float32, **load
        )
        for link in lineage.adapters:
            merge_adapter(model, Path(link.path))
        model.set_attn_implementation(pick_attention(params.attention, self.device))
        self.model = model.to(self.device, pick_dtype(params.dtype, self.device)).eval()
        self.extractor = WhisperFeatureExtractor.from_pretrained(lineage.id, **load)
        if self.extractor.feature_size != model.config.num_mel_bins:
            raise IltError(
                f"model.id: {lineage.id} hears {model.config.num_mel_bins} mel bins, but its "
                f"preprocessor_config.json makes {self.extractor.feature_size}; take both from one checkpoint"
            )
        self.tokenizer = WhisperTokenizer.from_pretrained(lineage.id, **load)
        self.vocabulary = WhisperVocabulary(
            lineage.id, self.tokenizer, model.config, model.generation_config, params.languages, self.device
        )

    @property
    def language_ids(self) -> dict[str, int]:
        """The token of each language; empty for an English-only checkpoint."""
        return self.vocabulary.language_ids

    @property
    def max_frames(self) -> int:
        return 2 * int(self.model.config.max_source_positions)

    @property
    def max_tokens(self) -> int:
        """Tokens that a text may have at most."""
        return int(self.model.config.max_target_positions) - len(self.vocabulary.tail) - 3

    def fits(self, text: str) -> bool:
        return len(self.vocabulary.encode(text)) <= self.max_tokens

    def label_tokens(self, languages: Sequence[str], texts: Sequence[str]) -> int:
        return sum(map(len, self._targets(languages, texts)))

    def _frames(self, features: Sequence[torch.Tensor]) -> int:
        if self.params.audio_context == "full":
            return self.max_frames
        longest = max(feature.shape[1] for feature in features) + MARGIN
        return min(self.max_frames, longest + longest % 2)

    def _pad(self, features: Sequence[torch.Tensor]) -> torch.Tensor:
        padded = pad_features(features, self._frames(features))
        if self.device.type == "cuda":
            padded = padded.pin_memory()
        return padded.to(self.device, self.model.dtype, non_blocking=True)

    def _mean_states(self, states: torch.Tensor, features: Sequence[torch.Tensor]) -> torch.Tensor:
        lengths = torch.tensor([-(-f.shape[1] // 2) for f in features], device=states.device)
        lengths = lengths.clamp(1, states.shape[1])
        mask = torch.arange(states.shape[1], device=states.device)[None] < lengths[:, None]
        return (states.float() * mask[..., None]).sum(1) / lengths[:, None]

    def _limits(self, features: Sequence[torch.Tensor]) -> torch.Tensor:
        """How many characters each utterance may have, by its length: (batch,)."""
        pace = self.params.max_chars_per_second or torch.inf
        second = self.extractor.sampling_rate / self.extractor.hop_length
        limits = [LEAST_CHARACTERS + pace * feature.shape[1] / second for feature in features]
        return torch.tensor(limits, device=self.device)

    @torch.inference_mode()
    def transcribe(
        self, features: Sequence[torch.Tensor], languages: Sequence[str], beams: int = 1, embed: bool = False
    ) -> list[Hypothesis]:
        if not features:
            return []
        padded = self._pad(features)
        prefixes = self.vocabulary.prefixes(languages)
        with audio_context(self.model, padded.shape[-1]):
            states = self.model.model.encoder(padded).last_hidden_state
        means = self._mean_states(states, features).cpu().numpy() if embed else None
        limits = self._limits(features)
        task = Task(self.model, self.vocabulary, states, prefixes, limits, self.max_tokens)
        hypotheses = greedy(task) if beams == 1 else evidence(task, beam_search(task, beams))
        for row, hypothesis in enumerate(hypotheses):
            if means is not None:
                hypothesis.embedding = means[row]
            # A language that another stands in for is heard as what it was taken for.
            if hypothesis.detected_language == self.params.languages.get(languages[row]):
                hypothesis.detected_language = hypothesis.detected_language and languages[row]
        return hypotheses

    def _targets(self, languages: Sequence[str], texts: Sequence[str]) -> list[list[int]]:
        targets = []
        for language, text in zip(languages, texts, strict=True):
            tokens = self.vocabulary.encode(text, language)
            if len(tokens) > self.max_tokens:
                raise IltError(
                    f"a label of {len(tokens)} tokens is longer than the {self.max_tokens} that "
                    f"{self.lineage.id} can write: {text[:60]!r}...; cut the utterance into shorter ones"
                )
            targets.append([*tokens, self.vocabulary.end])
        return targets

    def loss(
        self,
        features: Sequence[torch.Tensor],
        languages: Sequence[str],
        texts: Sequence[str],
        label_smoothing: float = 0.0,
    ) -> torch.Tensor:
        padded = self._pad(features)
        targets = self._targets(languages, texts)
        inputs, labels = self.vocabulary.teacher(self.vocabulary.prefixes(languages), targets)
        with audio_context(self.model, padded.shape[-1]):
            logits = self.model(input_features=padded, decoder_input_ids=inputs, use_cache=False).logits
        return functional.cross_entropy(
            logits.float().flatten(0, 1), labels.flatten(), label_smoothing=label_smoothing
        )
