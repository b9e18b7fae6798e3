"""Size of a first run: steps that suit the corpus, batches and iterations that suit the machine."""

from __future__ import annotations

from dataclasses import dataclass

from ilt.tools.doctor.plan import MachinePlan
from ilt.tools.init.survey import CorpusSurvey

__all__ = ["Schedule", "schedule"]

FOCUS_EPOCHS = 3
"""Passes over gold in focus: more than a few overfit little data (docs/RESULTS.md)."""

LEAST_STEPS, MOST_STEPS = 60, 2000
"""Bounds of the steps of one stage, whatever the corpus."""


@dataclass(frozen=True)
class Schedule:
    """Optimiser steps of the three trainings, and how many iterations to begin with."""

    focus: int
    feedback: int
    fix: int
    iterations: int
    reason: str


def _bounded(steps: float) -> int:
    return max(LEAST_STEPS, min(MOST_STEPS, round(steps)))


def schedule(corpus: CorpusSurvey, machine: MachinePlan, gpu: bool, iterations: int | None) -> Schedule:
    """Return the schedule of a first run.

    focus: `FOCUS_EPOCHS` passes over gold. feedback: one pass over gold and the better half of the pool. fix: half of
    that. One iteration without a GPU, for a first look within an hour or two; three with one.
    """
    batch = machine.batch_size * machine.gradient_accumulation
    gold, pool = corpus.utterances["gold"], corpus.utterances["pool"]
    feedback = _bounded((gold + 0.5 * pool) / batch)
    count = iterations or (3 if gpu else 1)
    why = f"{FOCUS_EPOCHS} passes over gold, then one over gold and half of the pool, {batch} utterances a step"
    return Schedule(_bounded(FOCUS_EPOCHS * gold / batch), feedback, max(30, feedback // 2), count, why)
