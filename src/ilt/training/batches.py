"""Which utterances train at which step: a plan made from the seed alone, so that a run can be resumed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ilt.asr.batching import cut_batches
from ilt.training.mixture import language_weights

__all__ = ["Example", "plan_batches"]

WINDOW = 8
"""Batches whose members are sorted by length together: little padding, still random."""


@dataclass(frozen=True, slots=True)
class Example:
    """A labelled utterance to train on."""

    id: str
    language: str
    text: str


def _cycle(examples: Sequence[Example], rng: random.Random) -> Iterator[Example]:
    while True:
        order = list(examples)
        rng.shuffle(order)
        yield from order


def _by_language(examples: Sequence[Example]) -> dict[str, list[Example]]:
    found: dict[str, list[Example]] = {}
    for example in sorted(examples, key=lambda one: one.language):
        found.setdefault(example.language, []).append(example)
    return found


def _drawn(examples: Sequence[Example], rng: random.Random, temperature: float) -> Iterator[Example]:
    """Examples without end: each language's own in passes, languages by n^(1/temperature)."""
    if not examples:
        return
    if temperature == 1.0:
        yield from _cycle(examples, rng)
    groups = _by_language(examples)
    streams = {language: _cycle(rows, rng) for language, rows in groups.items()}
    names, weights = list(groups), language_weights([len(rows) for rows in groups.values()], temperature)
    while True:
        yield next(streams[rng.choices(names, weights)[0]])


def plan_batches(
    gold: Sequence[Example],
    pseudo: Sequence[Example],
    lengths: Mapping[str, int],
    batch_size: int,
    batches: int,
    gold_share: float,
    seed: int,
    budget: float | None = None,
    replay: Sequence[Example] = (),
    replay_share: float = 0.0,
    temperature: float = 1.0,
) -> list[list[Example]]:
    """The batches of a whole training stage.

    Each window of batches holds `replay_share` examples of `replay`, and of the rest `gold_share` gold
    examples and otherwise pseudo-labelled ones, each group shuffled anew on every pass. lengths: by id, in
    any unit; like lengths share a batch. budget: instead of `batch_size` utterances, as many as fill this
    length together, each counted as long as the longest of its batch; the shares are then held over windows,
    not in each batch. temperature: of the languages within each group, see `ilt.training.mixture`.
    """
    rng = random.Random(seed)
    streams = [_drawn(group, rng, temperature) for group in (gold, pseudo, replay)]
    replayed = replay_share if replay else 0.0
    plan: list[list[Example]] = []
    owed = owed_replay = 0.0
    if budget is not None:
        known = [*gold, *pseudo, *(replay if replayed else ())]
        batch_size = max(1, round(budget / (sum(lengths[example.id] for example in known) / len(known))))
    while len(plan) < batches:
        size = (WINDOW if budget else min(WINDOW, batches - len(plan))) * batch_size
        wanted_replay = size * replayed + owed_replay
        again = min(size, round(wanted_replay))
        owed_replay = wanted_replay - again
        fresh = size - again
        wanted = fresh * (gold_share if pseudo else 1.0) + owed
        count = min(fresh, round(wanted))
        owed = wanted - count
        window = [
            next(stream)
            for stream, number in zip(streams, (count, fresh - count, again), strict=True)
            for _ in range(number)
        ]
        window.sort(key=lambda example: (lengths[example.id], example.id))
        parts = cut_batches(window, lambda example: lengths[example.id], None if budget else batch_size, budget)
        rng.shuffle(parts)
        plan += parts
    return plan[:batches]
