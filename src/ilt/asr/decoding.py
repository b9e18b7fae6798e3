"""Decoding with Whisper: greedy with evidence, beam search, and evidence for given tokens.

All of it works on encoder states and explicit prompts. Nothing is taken from the checkpoint's generation
settings but what `WhisperVocabulary` read from them, so that their many forms make no difference.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from transformers import (
    GenerationConfig,
    GenerationMixin,
    LogitsProcessor,
    LogitsProcessorList,
    WhisperForConditionalGeneration,
)
from transformers.cache_utils import DynamicCache, EncoderDecoderCache
from transformers.modeling_outputs import BaseModelOutput

from ilt.asr.recogniser import Hypothesis
from ilt.asr.vocabulary import WhisperVocabulary

__all__ = ["Task", "beam_search", "evidence", "greedy"]


@dataclass(frozen=True)
class Task:
    """What is to be decoded.

    states: of the encoder, (batch, positions, d). prefixes: prompts, (batch, prompt). limits: characters that
    each utterance may have, (batch,). max_tokens: of a text.
    """

    model: WhisperForConditionalGeneration
    vocabulary: WhisperVocabulary
    states: torch.Tensor
    prefixes: torch.Tensor
    limits: torch.Tensor
    max_tokens: int


Opening = tuple[float | None, str | None, float | None]


def _openings(logits: torch.Tensor, vocabulary: WhisperVocabulary) -> list[Opening]:
    """No-speech probability, detected language and its probability, from the first position's logits."""
    first = logits.float()
    probabilities = first.softmax(-1)
    no_speech = vocabulary.no_speech
    silent = probabilities[:, no_speech].tolist() if no_speech is not None else None
    found: list[tuple[str | None, float | None]] = [(None, None)] * len(first)
    if vocabulary.language_ids:
        codes = sorted(vocabulary.language_ids)
        share = first[:, [vocabulary.language_ids[code] for code in codes]].softmax(-1)
        best, at = share.max(-1)
        found = [(codes[i], p) for i, p in zip(at.tolist(), best.tolist(), strict=True)]
    return [(silent[i] if silent else None, *found[i]) for i in range(len(first))]


def _hypothesis(
    text: str, average: float, low: float, entropy: float, opening: Opening, finished: bool
) -> Hypothesis:
    data = text.encode()
    ratio = len(data) / len(zlib.compress(data)) if data else 0.0
    return Hypothesis(text, average, low, entropy, ratio, *opening, finished=finished)


def greedy(task: Task) -> list[Hypothesis]:
    """The most probable token at every step, with the evidence of those steps."""
    model, vocabulary, states = task.model, task.vocabulary, task.states
    count, device = len(task.prefixes), states.device
    cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
    tokens: list[torch.Tensor] = []
    total = torch.zeros(count, device=device)
    least = torch.zeros(count, device=device)
    entropy = torch.zeros(count, device=device)
    length = torch.zeros(count, device=device)
    done = torch.zeros(count, dtype=torch.bool, device=device)
    ended, written = done.clone(), torch.zeros(count, device=device)
    inputs, opening = task.prefixes, None
    for step in range(task.max_tokens + 1):
        output = model(
            encoder_outputs=BaseModelOutput(states), decoder_input_ids=inputs,
            past_key_values=cache, use_cache=True,
        )  # fmt: skip
        if opening is None:
            opening = _openings(output.logits[:, 0], vocabulary)
        scores = vocabulary.mask(output.logits[:, -1], step == 0).log_softmax(-1)
        best, chosen = scores.max(-1)
        spread = -(scores.exp() * scores.clamp_min(-1e4)).sum(-1)
        active = (~done).float()
        total += best * active
        entropy += spread * active
        length += active
        least = torch.where(done, least, torch.minimum(least, best))
        written += vocabulary.characters[chosen] * ~done
        cut = ~done & (written > task.limits)
        chosen = chosen.masked_fill(done | cut, vocabulary.end)
        ended |= ~cut & ~done & (chosen == vocabulary.end)
        done |= chosen == vocabulary.end
        tokens.append(chosen)
        if bool(done.all()):
            break
        inputs = chosen[:, None]
    texts = vocabulary.decode(torch.stack(tokens, 1))
    assert opening is not None
    values = [(total / length).tolist(), least.tolist(), (entropy / length).tolist(), ended.tolist()]
    return [
        _hypothesis(text, average, low, mean, opening[row], finished)
        for row, (text, average, low, mean, finished) in enumerate(zip(texts, *values, strict=True))
    ]


class _Rules(LogitsProcessor):  # type: ignore[misc]
    """What may not be said, and an end for utterances that are longer than anybody can speak."""

    def __init__(self, vocabulary: WhisperVocabulary, lead: int, limits: torch.Tensor) -> None:
        self.vocabulary, self.lead, self.limits = vocabulary, lead, limits

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        said = input_ids[:, self.lead :]
        scores = self.vocabulary.mask(scores.float().clone(), first=said.shape[1] == 0)
        over = self.vocabulary.characters[said].sum(1) > self.limits.repeat_interleave(
            len(said) // len(self.limits)
        )
        end = self.vocabulary.end
        scores[over] = -torch.inf
        scores[over, end] = 0.0
        return scores


@contextmanager
def _settings(model: WhisperForConditionalGeneration, settings: GenerationConfig) -> Iterator[None]:
    """Within the block the model has these generation settings: `generate` mixes them with those given."""
    own = model.generation_config
    model.generation_config = settings
    try:
        yield
    finally:
        model.generation_config = own


def beam_search(task: Task, beams: int) -> list[list[int]]:
    """The best tokens of each utterance by beam search, without prompt and end."""
    end, lead = task.vocabulary.end, task.prefixes.shape[1]
    settings = GenerationConfig(
        num_beams=beams, do_sample=False, max_new_tokens=task.max_tokens + 1, max_length=None, use_cache=True,
        eos_token_id=end, pad_token_id=end, bos_token_id=end, decoder_start_token_id=task.vocabulary.start,
    )  # fmt: skip
    with _settings(task.model, settings):
        # Not Whisper's own `generate`, which would have its own mind about prompts and time stamps.
        output = GenerationMixin.generate(
            task.model, encoder_outputs=BaseModelOutput(task.states), decoder_input_ids=task.prefixes,
            logits_processor=LogitsProcessorList([_Rules(task.vocabulary, lead, task.limits)]),
        )  # fmt: skip
    rows = [row[lead:] for row in output.tolist()]
    return [row[: row.index(end)] if end in row else row for row in rows]


def evidence(task: Task, found: list[list[int]]) -> list[Hypothesis]:
    """Hypotheses for tokens that were found some other way, with evidence by teacher forcing."""
    vocabulary = task.vocabulary
    targets = [[*tokens, vocabulary.end] for tokens in found]
    inputs, labels = vocabulary.teacher(task.prefixes, targets)
    logits = task.model(
        encoder_outputs=BaseModelOutput(task.states), decoder_input_ids=inputs, use_cache=False
    ).logits
    opening = _openings(logits[:, 0], vocabulary)
    result = []
    for row, text in enumerate(vocabulary.decode(found)):
        kept = labels[row] != -100
        scores = vocabulary.mask(logits[row, kept], first=False).log_softmax(-1)
        chosen = scores.gather(1, labels[row, kept][:, None])[:, 0].clamp_min(-100)
        spread = -(scores.exp() * scores.clamp_min(-1e4)).sum(-1)
        tokens = torch.tensor(found[row], dtype=torch.long, device=labels.device)
        over = bool(vocabulary.characters[tokens].sum() > task.limits[row])
        cut = over or len(found[row]) > task.max_tokens
        values = (float(chosen.mean()), float(chosen.min()), float(spread.mean()))
        result.append(_hypothesis(text, *values, opening[row], finished=not cut))
    return result
