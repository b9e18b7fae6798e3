"""Which utterances train at which step: a plan made from the seed alone, so that a run can be resumed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ilt.asr.batching import cut_batches

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


def plan_batches(
    gold: Sequence[Example],
    pseudo: Sequence[Example],
    lengths: Mapping[str, int],
    batch_size: int,
    batches: int,
    gold_share: float,
    seed: int,
    budget: float | None = None,
) -> list[list[Example]]:
    """The batches of a whole training stage.

    Each window of batches holds `gold_share` gold examples and the rest pseudo-labelled ones, each
    group shuffled anew on every pass. lengths: by id, in any unit; like lengths share a batch.
    budget: instead of `batch_size` utterances, as many as fill this length together, each counted as long
    as the longest of its batch; the share of gold is then held over windows, not in each batch.
    """
    rng = random.Random(seed)
    streams = _cycle(gold, rng), _cycle(pseudo, rng) if pseudo else iter(())
    plan: list[list[Example]] = []
    owed = 0.0
    if budget is not None:
        mean = sum(lengths[example.id] for example in [*gold, *pseudo]) / (len(gold) + len(pseudo))
        batch_size = max(1, round(budget / mean))
    while len(plan) < batches:
        size = (WINDOW if budget else min(WINDOW, batches - len(plan))) * batch_size
        wanted = size * (gold_share if pseudo else 1.0) + owed
        count = min(size, round(wanted))
        owed = wanted - count
        window = [next(streams[0]) for _ in range(count)]
        window += [next(streams[1]) for _ in range(size - count)]
        window.sort(key=lambda example: (lengths[example.id], example.id))
        parts = cut_batches(
            window, lambda example: lengths[example.id], None if budget else batch_size, budget
        )
        rng.shuffle(parts)
        plan += parts
    return plan[:batches]
