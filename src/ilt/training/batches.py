"""Batches of a training: a plan made from the seed alone, so that a killed run can be resumed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ilt.asr.batching import cut_batches
from ilt.params import MixtureParams, TrainParams
from ilt.training.data import Example, TrainingData
from ilt.training.mixture import language_weights

__all__ = ["Composition", "plan_batches"]

WINDOW = 8
"""Batches whose members are sorted by length together: little padding, still random."""


@dataclass(frozen=True)
class Composition:
    """Size and composition of batches.

    size:         utterances in a batch.
    budget:       instead: as many utterances of like length as fill it, each counted as long as the longest of
                  its batch, in the unit of lengths. Shares then hold over windows of batches, not in each.
    gold_share:   share of gold in what is not replay; the rest are pseudo-labels.
    replay_share: share of replay.
    temperature:  of the languages within each group, see `ilt.training.mixture`.
    """

    size: int
    budget: float | None = None
    gold_share: float = 1.0
    replay_share: float = 0.0
    temperature: float = 1.0

    @classmethod
    def of(cls, params: TrainParams, mixture: MixtureParams, frame: float) -> Composition:
        """Return what the parameters say, for lengths in frames of `frame` seconds."""
        budget = params.batch_seconds and params.batch_seconds / frame
        return cls(params.batch_size, budget, params.gold_share, mixture.replay_share, mixture.temperature)


def _cycle(examples: Sequence[Example], rng: random.Random) -> Iterator[Example]:
    while True:
        order = list(examples)
        rng.shuffle(order)
        yield from order


def _by_language(examples: Sequence[Example]) -> dict[str, list[Example]]:
    groups: dict[str, list[Example]] = {}
    for example in sorted(examples, key=lambda one: one.language):
        groups.setdefault(example.language, []).append(example)
    return groups


def _draws(examples: Sequence[Example], rng: random.Random, temperature: float) -> Iterator[Example]:
    """Yield examples without end: each language's own in passes, languages by n^(1/temperature)."""
    if not examples:
        return
    if temperature == 1.0:
        yield from _cycle(examples, rng)
    groups = _by_language(examples)
    streams = {language: _cycle(rows, rng) for language, rows in groups.items()}
    names, weights = list(groups), language_weights([len(rows) for rows in groups.values()], temperature)
    while True:
        yield next(streams[rng.choices(names, weights)[0]])


def _mean_length(data: TrainingData, lengths: Mapping[str, int], replay: bool) -> float:
    known = [*data.gold, *data.pseudo, *(data.replay if replay else ())]
    return sum(lengths[example.id] for example in known) / len(known)


def plan_batches(
    data: TrainingData, lengths: Mapping[str, int], composition: Composition, count: int, seed: int
) -> list[list[Example]]:
    """Return `count` batches: utterances of like length together, each group in passes, shuffled anew on each.

    lengths: of the utterances by id, in any unit.
    """
    rng = random.Random(seed)
    groups = (data.gold, data.pseudo, data.replay)
    streams = [_draws(group, rng, composition.temperature) for group in groups]
    replay_share = composition.replay_share if data.replay else 0.0
    gold_share = composition.gold_share if data.pseudo else 1.0
    budget, size = composition.budget, composition.size
    if budget is not None:
        size = max(1, round(budget / _mean_length(data, lengths, replay_share > 0)))
    plan: list[list[Example]] = []
    owed_gold = owed_replay = 0.0  # what rounding took from a window is given to the next
    while len(plan) < count:
        total = (WINDOW if budget else min(WINDOW, count - len(plan))) * size
        replay_due = total * replay_share + owed_replay
        replay = min(total, round(replay_due))
        owed_replay = replay_due - replay
        gold_due = (total - replay) * gold_share + owed_gold
        gold = min(total - replay, round(gold_due))
        owed_gold = gold_due - gold
        wanted = (gold, total - replay - gold, replay)
        window = [next(stream) for stream, number in zip(streams, wanted, strict=True) for _ in range(number)]
        window.sort(key=lambda example: (lengths[example.id], example.id))
        parts = cut_batches(window, lambda example: lengths[example.id], None if budget else size, budget)
        rng.shuffle(parts)
        plan += parts
    return plan[:count]
