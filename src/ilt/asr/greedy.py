"""What recognisers of any architecture share: greedy decoding with evidence, and the making of hypotheses."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers.convert_slow_tokenizer import bytes_to_unicode

from ilt.asr.recogniser import Hypothesis

__all__ = [
    "Opening",
    "character_limits",
    "decoded",
    "device_of",
    "forced_evidence",
    "greedy",
    "letters_begun",
    "mean_states",
]

LEAST_CHARACTERS = 4
"""Characters that even the shortest utterance may have, over what its length allows."""

MARGIN = 4
"""Mel frames of silence behind the longest utterance of a batch with `audio_context: batch`."""


@dataclass(frozen=True, slots=True)
class Opening:
    """What a model says of an utterance before the first token; None for what it does not say."""

    no_speech_prob: float | None = None
    detected_language: str | None = None
    detected_probability: float | None = None


def device_of(name: str) -> torch.device:
    """The device of a name, where `auto` is CUDA if it is there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)


def letters_begun(tokenizer: Any, size: int) -> torch.Tensor:
    """For each token of a byte-level vocabulary of `size`, how many letters begin in it: (size,).

    A letter may be several tokens; the bytes that do not continue one are those that begin one.
    """
    to_byte = {letter: byte for byte, letter in bytes_to_unicode().items()}
    begins = torch.zeros(size)
    special = set(tokenizer.all_special_ids)  # the tokenizer makes this list anew each time
    for token, index in tokenizer.get_vocab().items():
        if index not in special and index < size:
            begins[index] = sum(to_byte.get(letter, 0) & 0xC0 != 0x80 for letter in token)
    return begins


def character_limits(features: Sequence[torch.Tensor], second: float, pace: float | None) -> torch.Tensor:
    """How many characters each utterance may have, by its length: (batch,). second: frames in a second."""
    limit = pace or torch.inf
    return torch.tensor([LEAST_CHARACTERS + limit * feature.shape[1] / second for feature in features])


def mean_states(states: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Mean over the first `lengths` (batch,) of states (batch, time, d): (batch, d), float32."""
    lengths = lengths.to(states.device).clamp(1, states.shape[1])
    mask = torch.arange(states.shape[1], device=states.device)[None] < lengths[:, None]
    return (states.float() * mask[..., None]).sum(1) / lengths[:, None]


def decoded(tokenizer: Any, tokens: torch.Tensor) -> list[str]:
    """Texts of token rows, without special tokens, broken letters and needless spaces."""
    texts = tokenizer.batch_decode(tokens, skip_special_tokens=True)
    return [" ".join(text.replace("\ufffd", "").split()) for text in texts]


def _hypothesis(
    text: str, average: float, low: float, entropy: float, opening: Opening, finished: bool
) -> Hypothesis:
    data = text.encode()
    ratio = len(data) / len(zlib.compress(data)) if data else 0.0
    return Hypothesis(
        text,
        average,
        low,
        entropy,
        ratio,
        opening.no_speech_prob,
        opening.detected_language,
        opening.detected_probability,
        finished=finished,
    )


def greedy(
    step: Callable[[torch.Tensor | None], torch.Tensor],
    openings: Callable[[], list[Opening]],
    tokenizer: Any,
    mask: Callable[[torch.Tensor, bool], torch.Tensor],
    limits: torch.Tensor,
    letters: torch.Tensor,
    end: int,
    max_tokens: int,
) -> list[Hypothesis]:
    """Decode a batch greedily, with the evidence that its scores give.

    step:     logits (batch, vocabulary) of the next token; takes the tokens chosen last (batch, 1), or None.
    openings: asked after the first step.
    mask:     takes logits and whether they are the first, and gives them with -inf for what may not be said.
    limits:   characters that each utterance may have, (batch,); letters: how many each token begins.
    """
    count, device = len(limits), limits.device
    tokens: list[torch.Tensor] = []
    total = torch.zeros(count, device=device)
    least = torch.zeros(count, device=device)
    entropy = torch.zeros(count, device=device)
    length = torch.zeros(count, device=device)
    done = torch.zeros(count, dtype=torch.bool, device=device)
    ended, written = done.clone(), torch.zeros(count, device=device)
    inputs: torch.Tensor | None = None
    for number in range(max_tokens + 1):
        scores = mask(step(inputs), number == 0).log_softmax(-1)
        best, chosen = scores.max(-1)
        spread = -(scores.exp() * scores.clamp_min(-1e4)).sum(-1)
        active = (~done).float()
        total += best * active
        entropy += spread * active
        length += active
        least = torch.where(done, least, torch.minimum(least, best))
        written += letters[chosen] * ~done
        cut = ~done & (written > limits)
        chosen = chosen.masked_fill(done | cut, end)
        ended |= ~cut & ~done & (chosen == end)
        done |= chosen == end
        tokens.append(chosen)
        if bool(done.all()):
            break
        inputs = chosen[:, None]
    texts, opening = decoded(tokenizer, torch.stack(tokens, 1)), openings()
    values = [(total / length).tolist(), least.tolist(), (entropy / length).tolist(), ended.tolist()]
    return [
        _hypothesis(text, average, low, mean, opening[row], finished)
        for row, (text, average, low, mean, finished) in enumerate(zip(texts, *values, strict=True))
    ]


def forced_evidence(
    texts: Sequence[str],
    logits: torch.Tensor,
    labels: torch.Tensor,
    mask: Callable[[torch.Tensor, bool], torch.Tensor],
    openings: list[Opening],
    max_tokens: int,
) -> list[Hypothesis]:
    """Evidence for given texts, from logits (batch, time, vocabulary) of teacher forcing.

    labels: (batch, time), what each position has to predict, -100 where nothing; an end token included.
    """
    result = []
    for row, text in enumerate(texts):
        kept = labels[row] != -100
        scores = mask(logits[row, kept], False).log_softmax(-1)
        chosen = scores.gather(1, labels[row, kept][:, None])[:, 0].clamp_min(-100)
        spread = -(scores.exp() * scores.clamp_min(-1e4)).sum(-1)
        finished = int(kept.sum()) <= max_tokens
        result.append(
            _hypothesis(
                text, float(chosen.mean()), float(chosen.min()), float(spread.mean()), openings[row], finished
            )
        )
    return result
