"""Whisper of any size as a recogniser. Language and task are always explicit."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional
from transformers import (
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperTokenizer,
)
from transformers.cache_utils import DynamicCache, EncoderDecoderCache
from transformers.modeling_outputs import BaseModelOutput

from ilt.asr.context import audio_context, silence_frames
from ilt.asr.decoding import (
    PrefixScores,
    TextLimits,
    attach_embeddings,
    beam_search,
    character_limits,
    detected,
    evidence,
    greedy,
    mean_states,
)
from ilt.asr.features import pad_features
from ilt.asr.lineage import Lineage
from ilt.asr.loading import load_weights, revision_of
from ilt.asr.recogniser import Hypothesis
from ilt.asr.tokens import length_problem, load_tokenizer
from ilt.asr.whisper.vocabulary import WhisperVocabulary
from ilt.errors import IltError
from ilt.params import RecogniserParams

__all__ = ["WhisperRecogniser"]


class WhisperRecogniser:
    """See `ilt.asr.recogniser.Recogniser`. Raises IltError for files that do not belong together."""

    encoder_prefix = "model.encoder."

    def __init__(self, lineage: Lineage, params: RecogniserParams) -> None:
        self.lineage, self.params = lineage, params
        model, self.language_adapters = load_weights(WhisperForConditionalGeneration, lineage, params)
        self.model, self.device, load = model, model.device, revision_of(lineage)
        self.extractor = WhisperFeatureExtractor.from_pretrained(lineage.id, trust_remote_code=False, **load)
        if self.extractor.feature_size != model.config.num_mel_bins:
            raise IltError(
                f"model.id: {lineage.id} takes {model.config.num_mel_bins} mel bins, but its "
                f"preprocessor_config.json makes {self.extractor.feature_size}; take both from one checkpoint"
            )
        self.tokenizer = load_tokenizer(WhisperTokenizer, lineage.id, lineage.revision)
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
        return self.vocabulary.max_tokens

    def fits(self, text: str, language: str = "en") -> bool:
        return length_problem(self.vocabulary, text, language) is None

    def label_tokens(self, languages: Sequence[str], texts: Sequence[str]) -> int:
        return sum(map(len, self._targets(languages, texts)))

    def _frames(self, features: Sequence[torch.Tensor]) -> int:
        if self.params.audio_context == "full":
            return self.max_frames
        longest = max(feature.shape[1] for feature in features) + silence_frames(self.max_frames)
        return min(self.max_frames, longest + longest % 2)

    def _pad(self, features: Sequence[torch.Tensor]) -> torch.Tensor:
        padded = pad_features(features, self._frames(features))
        if self.device.type == "cuda":
            padded = padded.pin_memory()
        return padded.to(self.device, self.model.dtype, non_blocking=True)

    @torch.inference_mode()
    def transcribe(
        self, features: Sequence[torch.Tensor], languages: Sequence[str], beams: int = 1, embed: bool = False
    ) -> list[Hypothesis]:
        if not features:
            return []
        if self.language_adapters:
            self.language_adapters.switch(languages)
        padded, prefixes = self._pad(features), self.vocabulary.prefixes(languages)
        with audio_context(self.model, padded.shape[-1]):
            states = self.model.model.encoder(padded).last_hidden_state
        characters = character_limits(features, self.extractor, self.params.max_chars_per_second)
        limits = TextLimits(characters.to(self.device), self.max_tokens)
        if beams == 1:
            hypotheses = self._greedy(states, prefixes, limits)
        else:
            hypotheses = self._beam_search(states, prefixes, limits, beams)
        lengths = torch.tensor([-(-feature.shape[1] // 2) for feature in features])
        means = mean_states(states, lengths) if embed else None
        return attach_embeddings(hypotheses, languages, self.params.languages, means)

    def _prefix_scores(self, logits: torch.Tensor) -> list[PrefixScores]:
        """Return the evidence in the logits of the first position, (batch, vocabulary)."""
        silence, languages = self.vocabulary.no_speech, self.language_ids
        silent = logits.float().softmax(-1)[:, silence].tolist() if silence is not None else None
        guesses = detected(logits, languages) if languages else [(None, None)] * len(logits)
        return [PrefixScores(silent[row] if silent else None, *guess) for row, guess in enumerate(guesses)]

    def _greedy(self, states: torch.Tensor, prefixes: torch.Tensor, limits: TextLimits) -> list[Hypothesis]:
        cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        prefix_scores: list[PrefixScores] = []

        def step(chosen: torch.Tensor | None) -> torch.Tensor:
            logits: torch.Tensor = self.model(
                encoder_outputs=BaseModelOutput(states), past_key_values=cache, use_cache=True,
                decoder_input_ids=prefixes if chosen is None else chosen,
            ).logits  # fmt: skip
            if chosen is None:
                prefix_scores.extend(self._prefix_scores(logits[:, 0]))
            return logits[:, -1]

        return greedy(step, lambda: prefix_scores, self.vocabulary, limits)

    def _beam_search(
        self, states: torch.Tensor, prefixes: torch.Tensor, limits: TextLimits, beams: int
    ) -> list[Hypothesis]:
        encoded = BaseModelOutput(states)
        inputs = {"encoder_outputs": encoded, "decoder_input_ids": prefixes}
        token_rows = beam_search(self.model, self.vocabulary, inputs, prefixes.shape[1], limits, beams)
        forced, labels = self.vocabulary.teacher(prefixes, [[*row, self.vocabulary.end] for row in token_rows])
        logits = self.model(encoder_outputs=encoded, decoder_input_ids=forced, use_cache=False).logits
        prefix_scores = self._prefix_scores(logits[:, 0])
        return evidence(token_rows, logits, labels, prefix_scores, self.vocabulary, limits)

    def _targets(self, languages: Sequence[str], texts: Sequence[str]) -> list[list[int]]:
        targets = []
        for language, text in zip(languages, texts, strict=True):
            if what := length_problem(self.vocabulary, text, language):
                raise IltError(f"{what}: {text[:60]!r}...")
            targets.append([*self.vocabulary.encode(text, language), self.vocabulary.end])
        return targets

    def loss(
        self,
        features: Sequence[torch.Tensor],
        languages: Sequence[str],
        texts: Sequence[str],
        label_smoothing: float = 0.0,
    ) -> torch.Tensor:
        if self.language_adapters:
            self.language_adapters.switch(languages)
        padded = self._pad(features)
        targets = self._targets(languages, texts)
        inputs, labels = self.vocabulary.teacher(self.vocabulary.prefixes(languages), targets)
        with audio_context(self.model, padded.shape[-1]):
            logits = self.model(input_features=padded, decoder_input_ids=inputs, use_cache=False).logits
        return functional.cross_entropy(logits.float().flatten(0, 1), labels.flatten(), label_smoothing=label_smoothing)
