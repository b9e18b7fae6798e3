"""Qwen2-Audio (Chu et al. 2024, arXiv 2407.10759), base and Instruct, as a recogniser."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional
from transformers import Qwen2AudioForConditionalGeneration, Qwen2AudioProcessor
from transformers.cache_utils import DynamicCache

from ilt.asr.context import audio_context
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
from ilt.asr.qwen2_audio.prompts import Qwen2AudioVocabulary
from ilt.asr.recogniser import Hypothesis
from ilt.asr.tokens import length_problem
from ilt.errors import IltError
from ilt.params import RecogniserParams

__all__ = ["Qwen2AudioRecogniser"]

SILENCE = 4
"""Mel frames of silence behind the longest utterance of a batch; a mask says where each one ends."""

LEAST_FRAMES = 8
"""Mel frames that an utterance has at least, so that its audio is two tokens long."""


class Qwen2AudioRecogniser:
    """See `ilt.asr.recogniser.Recogniser`.

    A prompt holds the audio and the instruction; the answer alone is learnt. Batches are padded on the left for
    decoding, so that all answers begin at the same place. This family gives no probability of no speech and, unless
    prompts end in a language token, no detected language: they are None.
    """

    encoder_prefix = "model.audio_tower."

    def __init__(self, lineage: Lineage, params: RecogniserParams) -> None:
        self.lineage, self.params = lineage, params
        model, self.language_adapters = load_weights(Qwen2AudioForConditionalGeneration, lineage, params)
        self.model, self.device = model, model.device
        processor = Qwen2AudioProcessor.from_pretrained(lineage.id, trust_remote_code=False, **revision_of(lineage))
        self.extractor, self.tokenizer = processor.feature_extractor, processor.tokenizer
        ends = model.generation_config.eos_token_id
        self.vocabulary = Qwen2AudioVocabulary(
            processor, model.config, ends, params.prompts, params.languages, self.device
        )
        self._max_frames = 2 * int(model.config.audio_config.max_source_positions)

    @property
    def max_frames(self) -> int:
        return self._max_frames

    @property
    def max_tokens(self) -> int:
        return self.vocabulary.max_tokens

    def fits(self, text: str, language: str = "en") -> bool:
        return length_problem(self.vocabulary, text, language) is None

    def label_tokens(self, languages: Sequence[str], texts: Sequence[str]) -> int:
        return sum(map(len, self._targets(languages, texts)))

    def _targets(self, languages: Sequence[str], texts: Sequence[str]) -> list[list[int]]:
        for language, text in zip(languages, texts, strict=True):
            if what := length_problem(self.vocabulary, text, language):
                raise IltError(f"{what}: {text[:60]!r}...")
        return [[*self.vocabulary.encode(text), self.vocabulary.end] for text in texts]

    def _tower(self) -> Any:
        return self.model.model.audio_tower

    def _frames(self, features: Sequence[torch.Tensor]) -> list[int]:
        return [min(max(feature.shape[1], LEAST_FRAMES), self.max_frames) for feature in features]

    def _audio_tokens(self, features: Sequence[torch.Tensor]) -> list[int]:
        frames = torch.tensor(self._frames(features))
        lengths: list[int] = self._tower()._get_feat_extract_output_lengths(frames)[1].tolist()
        return lengths

    def _audio_inputs(self, features: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return the padded features and their mask, as arguments of the model."""
        frames, width = self._frames(features), self.max_frames
        if self.params.audio_context == "batch":
            longest = max(frames) + SILENCE
            width = min(width, longest + longest % 2)
        padded = pad_features(features, width).to(self.device, self.model.dtype)
        mask = torch.arange(width)[None] < torch.tensor(frames)[:, None]
        return {"input_features": padded, "feature_attention_mask": mask.long().to(self.device)}

    def _prefix_scores(self, logits: torch.Tensor, prefixes: Sequence[Sequence[int]]) -> list[PrefixScores]:
        """Return the detected language, where prompts end in its token. logits: those that predict the token."""
        languages = self.vocabulary.language_ids
        if not languages or not {row[-1] for row in prefixes} <= set(languages.values()):
            return [PrefixScores()] * len(prefixes)
        return [PrefixScores(None, *guess) for guess in detected(logits, languages)]

    @torch.inference_mode()
    def transcribe(
        self, features: Sequence[torch.Tensor], languages: Sequence[str], beams: int = 1, embed: bool = False
    ) -> list[Hypothesis]:
        if not features:
            return []
        if self.language_adapters:
            self.language_adapters.switch(languages)
        lengths = self._audio_tokens(features)
        audio, prefixes = self._audio_inputs(features), self.vocabulary.prefixes(languages, lengths)
        characters = character_limits(features, self.extractor, self.params.max_chars_per_second)
        limits = TextLimits(characters.to(self.device), self.max_tokens)
        states: list[torch.Tensor] = []
        hook = self._tower().register_forward_hook(lambda *call: states.append(call[-1].last_hidden_state))
        try:
            with audio_context(self._tower(), audio["input_features"].shape[-1]):
                if beams == 1:
                    hypotheses = self._greedy(audio, prefixes, limits)
                else:
                    hypotheses = self._beam_search(audio, prefixes, limits, beams)
        finally:
            hook.remove()
        means = mean_states(states[-1], torch.tensor(lengths)) if embed else None
        return attach_embeddings(hypotheses, languages, self.params.languages, means)

    def _greedy(
        self, audio: dict[str, torch.Tensor], prefixes: list[list[int]], limits: TextLimits
    ) -> list[Hypothesis]:
        ids, mask = self.vocabulary.stacked(prefixes, left=True)
        cache = DynamicCache()
        prefix_scores: list[PrefixScores] = []

        def step(chosen: torch.Tensor | None) -> torch.Tensor:
            nonlocal mask
            if chosen is None:
                positions = (mask.cumsum(-1) - 1).clamp_min(0)
                inputs = {"input_ids": ids, "position_ids": positions, **audio}
            else:
                mask = functional.pad(mask, (0, 1), value=1)
                inputs = {"input_ids": chosen, "position_ids": mask.sum(-1, keepdim=True) - 1}
            logits: torch.Tensor = self.model(
                **inputs, attention_mask=mask, past_key_values=cache, use_cache=True,
                logits_to_keep=2 if chosen is None else 1,
            ).logits  # fmt: skip
            if chosen is None:
                prefix_scores.extend(self._prefix_scores(logits[:, -2], prefixes))
            return logits[:, -1]

        return greedy(step, lambda: prefix_scores, self.vocabulary, limits)

    def _beam_search(
        self, audio: dict[str, torch.Tensor], prefixes: list[list[int]], limits: TextLimits, beams: int
    ) -> list[Hypothesis]:
        ids, mask = self.vocabulary.stacked(prefixes, left=True)
        inputs = {"input_ids": ids, "attention_mask": mask, **audio}
        token_rows = beam_search(self.model, self.vocabulary, inputs, ids.shape[1], limits, beams)
        answers = [[*row, self.vocabulary.end] for row in token_rows]
        forced, mask, labels = self.vocabulary.teacher(prefixes, answers)
        states = self.model.model(input_ids=forced, attention_mask=mask, **audio, use_cache=False)
        first = min(map(len, prefixes)) - 2  # not for the prompt, since the vocabulary is large
        logits = self.model.lm_head(states.last_hidden_state[:, first:])
        before = torch.tensor([len(row) - 2 - first for row in prefixes], device=self.device)
        prefix_scores = self._prefix_scores(logits[torch.arange(len(prefixes)), before], prefixes)
        return evidence(token_rows, logits, labels[:, first:], prefix_scores, self.vocabulary, limits)

    def loss(
        self,
        features: Sequence[torch.Tensor],
        languages: Sequence[str],
        texts: Sequence[str],
        label_smoothing: float = 0.0,
    ) -> torch.Tensor:
        if self.language_adapters:
            self.language_adapters.switch(languages)
        audio = self._audio_inputs(features)
        prefixes = self.vocabulary.prefixes(languages, self._audio_tokens(features))
        ids, mask, labels = self.vocabulary.teacher(prefixes, self._targets(languages, texts))
        with audio_context(self._tower(), audio["input_features"].shape[-1]):
            states = self.model.model(input_ids=ids, attention_mask=mask, **audio, use_cache=False)
        # The head takes answers alone: over a large vocabulary, its output is the largest tensor of all.
        kept = labels != -100
        logits = self.model.lm_head(states.last_hidden_state[kept]).float()
        return functional.cross_entropy(logits, labels[kept], label_smoothing=label_smoothing)
