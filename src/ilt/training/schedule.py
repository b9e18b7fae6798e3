"""Schedule of a training: its steps, its learning rate, and the steps at which something is done."""

from __future__ import annotations

import math

from ilt.params import TrainParams

__all__ = ["averaging_steps", "evaluation_steps", "learning_rate_at", "total_steps"]


def total_steps(params: TrainParams, gold: int, seconds: float, replay_share: float = 0.0) -> int:
    """Return the optimiser steps of a training; an epoch is one pass over `gold` examples, which last `seconds`."""
    if params.steps is not None:
        return params.steps
    assert params.epochs is not None
    epoch, batch = (gold, params.batch_size) if params.batch_seconds is None else (seconds, params.batch_seconds)
    share = max(params.gold_share, 1e-9) * (1 - replay_share)
    per_step = batch * params.gradient_accumulation * share
    return max(1, math.ceil(params.epochs * epoch / per_step))


def learning_rate_at(step: int, steps: int, params: TrainParams) -> float:
    """Return the learning rate: a linear warm-up, then a cosine to a tenth. `step` counts from 1."""
    assert params.learning_rate is not None
    warm = max(1.0, params.warmup * steps)
    if step <= warm:
        return params.learning_rate * step / warm
    share = (step - warm) / max(1.0, steps - warm)
    return params.learning_rate * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * share)))


def evaluation_steps(steps: int, evaluations: int) -> set[int]:
    """Return the steps after which dev is measured, equally spaced up to the last."""
    return {round(steps * (n + 1) / evaluations) for n in range(evaluations)}


def averaging_steps(steps: int, average: int) -> set[int]:
    """Return the steps whose weights are averaged, equally spaced back from the last; none for `average` 1.

    They lie in the second half of the training. A half of fewer than `average` steps gives all of its own.
    """
    if average == 1:
        return set()
    gap = max(1, steps // (2 * average))
    return {step for n in range(average) if 2 * (step := steps - n * gap) > steps}
