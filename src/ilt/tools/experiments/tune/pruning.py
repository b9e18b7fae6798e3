"""When a trial is given up: it is clearly worse than one that was as cheap.

Optuna's pruners compare single numbers and know one objective alone. Here each trial leaves its errors on
every dev utterance, so that two trials are compared as two systems are: by a paired bootstrap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ilt.evaluation.scoring import gain_interval
from ilt.tools.experiments.tune.trial import Step

__all__ = ["Verdict", "gain_over", "verdict"]


@dataclass(frozen=True)
class Verdict:
    """A comparison with an earlier trial after the same iteration.

    rival: its number. gain: what this trial gained over it, with `low` and `high` (fractions, of 95 %).
    """

    rival: int
    gain: dict[str, float]

    @property
    def clearly_worse(self) -> bool:
        """Whether the whole interval lies below 0."""
        return self.gain["high"] < 0


def verdict(
    step: Step, finished: Mapping[int, Sequence[Step]], minutes: bool, samples: int, seed: int
) -> Verdict | None:
    """How a trial stands after an iteration, or None where there is nothing to compare it with.

    The rival is the best of the finished trials after the same iteration; where `minutes` is an objective,
    the best of those that had cost no more by then, so that a cheap trial is not given up for being worse
    than a dear one. Only one rival is asked: with many, some interval would be clear of 0 by chance.
    """
    rivals = {
        number: earlier
        for number, steps in finished.items()
        for earlier in steps
        if earlier.iteration == step.iteration and (earlier.minutes <= step.minutes or not minutes)
    }
    if not rivals:
        return None
    best = min(rivals, key=lambda number: (rivals[number].error, number))
    return Verdict(best, gain_over(rivals[best], step, samples, seed))


def gain_over(before: Step, after: Step, samples: int, seed: int) -> dict[str, float]:
    """What one trial gained on dev over another, with a 95 % interval of a paired bootstrap."""
    pairs = [(np.array(step.errors), np.array(step.units)) for step in (before, after)]
    return gain_interval(pairs[0], pairs[1], samples, seed)
