"""Decoding for any architecture: greedy with evidence, beam search, and evidence for given tokens.

Nothing is taken from a checkpoint's generation settings but what its vocabulary read from them, so that their
many forms make no difference.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from transformers import GenerationConfig, GenerationMixin, LogitsProcessor, LogitsProcessorList
from transformers.convert_slow_tokenizer import bytes_to_unicode

from ilt.asr.recogniser import Hypothesis

__all__ = [
    "MARGIN",
    "PrefixScores",
    "Vocabulary",
    "attach_embeddings",
    "beam_search",
    "character_limits",
    "chars_per_token",
    "clean_texts",
    "detected",
    "evidence",
    "greedy",
    "mean_states",
]

MARGIN = 4
"""Mel frames of silence behind the longest utterance of a batch with `audio_context: batch`."""

LEAST_CHARACTERS = 4
"""Characters that even the shortest utterance may have, over what its length allows."""


class Vocabulary(Protocol):
    """What decoding asks of a model's tokens.

    end: the token that ends a text. characters: letters that each token begins, (vocabulary,).
    """

    end: int
    characters: torch.Tensor

    def mask(self, logits: torch.Tensor, first: bool) -> torch.Tensor:
        """`logits` (..., vocabulary) in float32 without what may not be said, at the beginning or later."""

    def decode(self, tokens: Any) -> list[str]:
        """Texts of token rows, without specials and with single spaces."""


@dataclass(frozen=True, slots=True)
class PrefixScores:
    """What a model says of an utterance before the first token; None for what it does not say."""

    no_speech_prob: float | None = None
    detected_language: str | None = None
    detected_probability: float | None = None


def detected(logits: torch.Tensor, language_ids: Mapping[str, int]) -> list[tuple[str, float]]:
    """The most probable language of each row of logits (batch, vocabulary), and its share among languages."""
    codes = sorted(language_ids)
    share = logits.float()[:, [language_ids[code] for code in codes]].softmax(-1)
    best, at = share.max(-1)
    return [(codes[i], p) for i, p in zip(at.tolist(), best.tolist(), strict=True)]


def chars_per_token(ids: Mapping[str, int], special: set[int], size: int) -> torch.Tensor:
    """For each token of a byte-level vocabulary of `size`, how many letters begin in it: (size,).

    A letter may be several tokens; the bytes that do not continue one are those that begin one.
    """
    to_byte = {letter: byte for byte, letter in bytes_to_unicode().items()}
    begins = torch.zeros(size)
    for token, index in ids.items():
        if index not in special and index < size:
            begins[index] = sum(to_byte.get(letter, 0) & 0xC0 != 0x80 for letter in token)
    return begins


def character_limits(features: Sequence[torch.Tensor], extractor: Any, pace: float | None) -> torch.Tensor:
    """How many characters each utterance may have, at `pace` a second (None: any): (batch,)."""
    second = extractor.sampling_rate / extractor.hop_length
    limits = [LEAST_CHARACTERS + (pace or torch.inf) * feature.shape[1] / second for feature in features]
    return torch.tensor(limits)


def mean_states(states: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Mean over the first `lengths` (batch,) of states (batch, time, d): (batch, d), float32."""
    lengths = lengths.to(states.device).clamp(1, states.shape[1])
    mask = torch.arange(states.shape[1], device=states.device)[None] < lengths[:, None]
    return (states.float() * mask[..., None]).sum(1) / lengths[:, None]


def attach_embeddings(
    hypotheses: list[Hypothesis],
    languages: Sequence[str],
    language_alias: Mapping[str, str],
    means: torch.Tensor | None,
) -> list[Hypothesis]:
    """The hypotheses with their mean encoder states (batch, d), if given.

    A language that another stands in for (`language_alias`) is detected as what it was taken for.
    """
    embeddings = None if means is None else means.cpu().numpy()
    for row, (hypothesis, language) in enumerate(zip(hypotheses, languages, strict=True)):
        if embeddings is not None:
            hypothesis.embedding = embeddings[row]
        if hypothesis.detected_language is not None and language_alias.get(language) == hypothesis.detected_language:
            hypothesis.detected_language = language
    return hypotheses


def clean_texts(tokenizer: Any, tokens: Any) -> list[str]:
    """Texts of token rows, without special tokens, broken letters and needless spaces."""
    texts = tokenizer.batch_decode(tokens, skip_special_tokens=True)
    return [" ".join(text.replace("\ufffd", "").split()) for text in texts]


def _hypothesis(
    text: str, average: float, low: float, entropy: float, opening: PrefixScores, finished: bool
) -> Hypothesis:
    data = text.encode()
    ratio = len(data) / len(zlib.compress(data)) if data else 0.0
    said = (opening.no_speech_prob, opening.detected_language, opening.detected_probability)
    return Hypothesis(text, average, low, entropy, ratio, *said, finished=finished)


def greedy(
    step: Callable[[torch.Tensor | None], torch.Tensor],
    prefix_scores: Callable[[], Sequence[PrefixScores]],
    vocabulary: Vocabulary,
    limits: torch.Tensor,
    max_tokens: int,
) -> list[Hypothesis]:
    """The most probable token at every step, with the evidence of those steps.

    step:     logits (batch, vocabulary) of the next token; takes the tokens chosen last (batch, 1), or None.
    prefix_scores: asked behind the last step. limits: characters that each utterance may have, (batch,).
    """
    count, device, end = len(limits), limits.device, vocabulary.end
    tokens: list[torch.Tensor] = []
    total = torch.zeros(count, device=device)
    least = torch.zeros(count, device=device)
    entropy = torch.zeros(count, device=device)
    length = torch.zeros(count, device=device)
    done = torch.zeros(count, dtype=torch.bool, device=device)
    ended, written = done.clone(), torch.zeros(count, device=device)
    inputs: torch.Tensor | None = None
    for number in range(max_tokens + 1):
        scores = vocabulary.mask(step(inputs), number == 0).log_softmax(-1)
        best, chosen = scores.max(-1)
        spread = -(scores.exp() * scores.clamp_min(-1e4)).sum(-1)
        active = (~done).float()
        total += best * active
        entropy += spread * active
        length += active
        least = torch.where(done, least, torch.minimum(least, best))
        written += vocabulary.characters[chosen] * ~done
        cut = ~done & (written > limits)
        chosen = chosen.masked_fill(done | cut, end)
        ended |= ~cut & ~done & (chosen == end)
        done |= chosen == end
        tokens.append(chosen)
        if bool(done.all()):
            break
        inputs = chosen[:, None]
    texts, opening = vocabulary.decode(torch.stack(tokens, 1)), prefix_scores()
    values = [(total / length).tolist(), least.tolist(), (entropy / length).tolist(), ended.tolist()]
    return [
        _hypothesis(text, average, low, mean, opening[row], finished)
        for row, (text, average, low, mean, finished) in enumerate(zip(texts, *values, strict=True))
    ]


class _Rules(LogitsProcessor):  # type: ignore[misc]
    """What may not be said, and an end for utterances that are longer than anybody can speak."""

    def __init__(self, vocabulary: Vocabulary, lead: int, limits: torch.Tensor) -> None:
        self.vocabulary, self.lead, self.limits = vocabulary, lead, limits

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        said = input_ids[:, self.lead :]
        scores = self.vocabulary.mask(scores.float().clone(), first=said.shape[1] == 0)
        over = self.vocabulary.characters[said].sum(1) > self.limits.repeat_interleave(len(said) // len(self.limits))
        end = self.vocabulary.end
        scores[over] = -torch.inf
        scores[over, end] = 0.0
        return scores


@contextmanager
def _settings(model: Any, settings: GenerationConfig) -> Iterator[None]:
    """Within the block the model has these generation settings: `generate` mixes them with those given."""
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
    limits: torch.Tensor,
    max_tokens: int,
    beams: int,
) -> list[list[int]]:
    """The best tokens of each utterance by beam search, without prompt and end.

    inputs: what `generate` takes. lead: tokens of the prompt. limits: as in `greedy`.
    """
    end = vocabulary.end
    settings = GenerationConfig(
        num_beams=beams, do_sample=False, max_new_tokens=max_tokens + 1, max_length=None, use_cache=True,
        eos_token_id=end, pad_token_id=end, bos_token_id=end, decoder_start_token_id=end,
    )  # fmt: skip
    with _settings(model, settings):
        # Not Whisper's own `generate`, which would have its own mind about prompts and time stamps.
        output = GenerationMixin.generate(
            model, **inputs, logits_processor=LogitsProcessorList([_Rules(vocabulary, lead, limits)])
        )
    rows = [row[lead:] for row in output.tolist()]
    return [row[: row.index(end)] if end in row else row for row in rows]


def evidence(
    found: Sequence[list[int]],
    logits: torch.Tensor,
    labels: torch.Tensor,
    prefix_scores: Sequence[PrefixScores],
    vocabulary: Vocabulary,
    limits: torch.Tensor,
    max_tokens: int,
) -> list[Hypothesis]:
    """Hypotheses for tokens that were found some other way, with evidence by teacher forcing.

    logits: (batch, time, vocabulary). labels: (batch, time), what each position has to predict, the end token
    included, -100 where nothing. limits: as in `greedy`.
    """
    result = []
    for row, text in enumerate(vocabulary.decode(found)):
        kept = labels[row] != -100
        scores = vocabulary.mask(logits[row, kept], first=False).log_softmax(-1)
        chosen = scores.gather(1, labels[row, kept][:, None])[:, 0].clamp_min(-100)
        spread = -(scores.exp() * scores.clamp_min(-1e4)).sum(-1)
        tokens = torch.tensor(found[row], dtype=torch.long, device=logits.device)
        cut = len(found[row]) > max_tokens or bool(vocabulary.characters[tokens].sum() > limits[row])
        values = (float(chosen.mean()), float(chosen.min()), float(spread.mean()))
        result.append(_hypothesis(text, *values, prefix_scores[row], finished=not cut))
    return result
