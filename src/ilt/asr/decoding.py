"""Decoding for any architecture: greedy with evidence, beam search, and evidence for given tokens.

A checkpoint's generation settings count only as far as its vocabulary reads them, so that their many forms make no
difference.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from transformers import GenerationConfig, GenerationMixin, LogitsProcessor, LogitsProcessorList

from ilt.asr.recogniser import Hypothesis

__all__ = [
    "PrefixScores",
    "TextLimits",
    "Vocabulary",
    "attach_embeddings",
    "beam_search",
    "character_limits",
    "detected",
    "evidence",
    "greedy",
    "mean_states",
]

LEAST_CHARACTERS = 4
"""Characters that even the shortest utterance may have, over what its length allows."""


class Vocabulary(Protocol):
    """Interface of a model's tokens.

    end: the token that ends a text. characters: that begin in each token, (vocabulary,).
    """

    end: int
    characters: torch.Tensor

    def mask(self, logits: torch.Tensor, first: bool) -> torch.Tensor:
        """Return `logits` (..., vocabulary) in float32, -inf where a token is banned: `first`, or later in a text."""

    def decode(self, tokens: Any) -> list[str]:
        """Return the texts of token rows, without special tokens and with single spaces."""


@dataclass(frozen=True, slots=True)
class PrefixScores:
    """Evidence from before the first token of an utterance; None where the model gives none."""

    no_speech_prob: float | None = None
    detected_language: str | None = None
    detected_probability: float | None = None


@dataclass(frozen=True, slots=True)
class TextLimits:
    """Lengths at which decoding stops. characters: of each utterance, (batch,). tokens: of any utterance."""

    characters: torch.Tensor
    tokens: int


def detected(logits: torch.Tensor, language_ids: Mapping[str, int]) -> list[tuple[str, float]]:
    """Return the most probable language of each row of logits (batch, vocabulary), and its share of all languages."""
    codes = sorted(language_ids)
    share = logits.float()[:, [language_ids[code] for code in codes]].softmax(-1)
    best, at = share.max(-1)
    return [(codes[i], p) for i, p in zip(at.tolist(), best.tolist(), strict=True)]


def character_limits(features: Sequence[torch.Tensor], extractor: Any, pace: float | None) -> torch.Tensor:
    """Return how many characters each utterance may have, at `pace` a second (None: any): (batch,)."""
    second = extractor.sampling_rate / extractor.hop_length
    limits = [LEAST_CHARACTERS + (pace or torch.inf) * feature.shape[1] / second for feature in features]
    return torch.tensor(limits)


def mean_states(states: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Return the mean over the first `lengths` (batch,) of states (batch, time, d): (batch, d), float32."""
    lengths = lengths.to(states.device).clamp(1, states.shape[1])
    mask = torch.arange(states.shape[1], device=states.device)[None] < lengths[:, None]
    return (states.float() * mask[..., None]).sum(1) / lengths[:, None]


def attach_embeddings(
    hypotheses: list[Hypothesis],
    languages: Sequence[str],
    language_alias: Mapping[str, str],
    means: torch.Tensor | None,
) -> list[Hypothesis]:
    """Set the embedding of each hypothesis to its mean encoder state, `means` (batch, d), if given.

    A detected language that stands in for the utterance's own (`language_alias`) becomes that language.
    """
    embeddings = None if means is None else means.cpu().numpy()
    for row, (hypothesis, language) in enumerate(zip(hypotheses, languages, strict=True)):
        if embeddings is not None:
            hypothesis.embedding = embeddings[row]
        if hypothesis.detected_language is not None and language_alias.get(language) == hypothesis.detected_language:
            hypothesis.detected_language = language
    return hypotheses


def _hypothesis(
    text: str, average: float, low: float, entropy: float, prefix: PrefixScores, finished: bool
) -> Hypothesis:
    data = text.encode()
    ratio = len(data) / len(zlib.compress(data)) if data else 0.0
    before = (prefix.no_speech_prob, prefix.detected_language, prefix.detected_probability)
    return Hypothesis(text, average, low, entropy, ratio, *before, finished=finished)


def greedy(
    step: Callable[[torch.Tensor | None], torch.Tensor],
    prefix_scores: Callable[[], Sequence[PrefixScores]],
    vocabulary: Vocabulary,
    limits: TextLimits,
) -> list[Hypothesis]:
    """Choose the most probable token at every step. Returns the texts with the evidence of those steps.

    step: logits (batch, vocabulary) of the next token; takes the tokens chosen last (batch, 1), or None.
    prefix_scores: called after the last step.
    """
    count, device, end = len(limits.characters), limits.characters.device, vocabulary.end
    tokens: list[torch.Tensor] = []
    total = torch.zeros(count, device=device)
    least = torch.zeros(count, device=device)
    entropy = torch.zeros(count, device=device)
    length = torch.zeros(count, device=device)
    done = torch.zeros(count, dtype=torch.bool, device=device)
    ended, written = done.clone(), torch.zeros(count, device=device)
    inputs: torch.Tensor | None = None
    for number in range(limits.tokens + 1):
        scores = vocabulary.mask(step(inputs), number == 0).log_softmax(-1)
        best, chosen = scores.max(-1)
        spread = -(scores.exp() * scores.clamp_min(-1e4)).sum(-1)
        active = (~done).float()
        total += best * active
        entropy += spread * active
        length += active
        least = torch.where(done, least, torch.minimum(least, best))
        written += vocabulary.characters[chosen] * ~done
        cut = ~done & (written > limits.characters)
        chosen = chosen.masked_fill(done | cut, end)
        ended |= ~cut & ~done & (chosen == end)
        done |= chosen == end
        tokens.append(chosen)
        if bool(done.all()):
            break
        inputs = chosen[:, None]
    texts, before = vocabulary.decode(torch.stack(tokens, 1)), prefix_scores()
    values = [(total / length).tolist(), least.tolist(), (entropy / length).tolist(), ended.tolist()]
    return [
        _hypothesis(text, average, low, mean, before[row], finished)
        for row, (text, average, low, mean, finished) in enumerate(zip(texts, *values, strict=True))
    ]


class _Rules(LogitsProcessor):  # type: ignore[misc]
    """Banned tokens, and the end of texts that are longer than anybody can speak. lead: tokens of the prompt."""

    def __init__(self, vocabulary: Vocabulary, lead: int, limits: torch.Tensor) -> None:
        self.vocabulary, self.lead, self.limits = vocabulary, lead, limits

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        written = input_ids[:, self.lead :]
        scores = self.vocabulary.mask(scores.float().clone(), first=written.shape[1] == 0)
        limits = self.limits.repeat_interleave(len(written) // len(self.limits))
        over = self.vocabulary.characters[written].sum(1) > limits
        end = self.vocabulary.end
        scores[over] = -torch.inf
        scores[over, end] = 0.0
        return scores


@contextmanager
def _settings(model: Any, settings: GenerationConfig) -> Iterator[None]:
    """Give the model these generation settings within the block: `generate` mixes its own with those given."""
    own = model.generation_config
    model.generation_config = settings
    try:
        yield
    finally:
        model.generation_config = own


def beam_search(
    model: Any,
    vocabulary: Vocabulary,
    inputs: dict[str, Any],
    lead: int,
    limits: TextLimits,
    beams: int,
) -> list[list[int]]:
    """Return the best tokens of each utterance by beam search, without prompt and end.

    inputs: arguments of `generate`. lead: tokens of the prompt.
    """
    end = vocabulary.end
    settings = GenerationConfig(
        num_beams=beams, do_sample=False, max_new_tokens=limits.tokens + 1, max_length=None, use_cache=True,
        eos_token_id=end, pad_token_id=end, bos_token_id=end, decoder_start_token_id=end,
    )  # fmt: skip
    with _settings(model, settings):
        # Not Whisper's own `generate`, which makes prompts and time stamps of its own.
        output = GenerationMixin.generate(
            model, **inputs, logits_processor=LogitsProcessorList([_Rules(vocabulary, lead, limits.characters)])
        )
    rows = [row[lead:] for row in output.tolist()]
    return [row[: row.index(end)] if end in row else row for row in rows]


def evidence(
    token_rows: Sequence[list[int]],
    logits: torch.Tensor,
    labels: torch.Tensor,
    prefix_scores: Sequence[PrefixScores],
    vocabulary: Vocabulary,
    limits: TextLimits,
) -> list[Hypothesis]:
    """Return hypotheses for given tokens, with evidence by teacher forcing.

    logits: (batch, time, vocabulary). labels: (batch, time), the token that each position has to predict, the end
    token included, and -100 where there is none.
    """
    result = []
    for row, text in enumerate(vocabulary.decode(token_rows)):
        kept = labels[row] != -100
        scores = vocabulary.mask(logits[row, kept], first=False).log_softmax(-1)
        chosen = scores.gather(1, labels[row, kept][:, None])[:, 0].clamp_min(-100)
        spread = -(scores.exp() * scores.clamp_min(-1e4)).sum(-1)
        tokens = torch.tensor(token_rows[row], dtype=torch.long, device=logits.device)
        length = vocabulary.characters[tokens].sum()
        cut = len(tokens) > limits.tokens or bool(length > limits.characters[row])
        values = (float(chosen.mean()), float(chosen.min()), float(spread.mean()))
        result.append(_hypothesis(text, *values, prefix_scores[row], finished=not cut))
    return result
