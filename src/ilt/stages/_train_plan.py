"""Plan of the training stages focus, feedback and fix."""

from __future__ import annotations

from collections.abc import Callable

from ilt.asr.families import FAMILIES
from ilt.params import (
    GOLD_ALONE,
    TRAINING_STAGES,
    AdapterParams,
    MixtureParams,
    RecogniserParams,
    Resolved,
    TrainParams,
    stage_seed,
)
from ilt.stages._stage import Plan

__all__ = ["TrainPlan", "resolver"]


class TrainPlan(Plan):
    """One training.

    prev:     the iteration before.
    train:    its seed is the stage's own.
    replaces: for one training in place of all stages: those trainings, of which it has the length together.
    """

    prev: str
    model: RecogniserParams
    train: TrainParams
    adapter: AdapterParams
    mixture: MixtureParams
    normaliser: str
    replaces: tuple[TrainParams, ...] = ()

    def chosen_modules(self) -> tuple[str, ...]:
        return (FAMILIES.module(str(self.model.family)),)


def resolver(stage: str) -> Callable[[Resolved, str], TrainPlan]:
    """Return what makes the plan of a training stage."""

    def resolve(resolved: Resolved, iteration: str) -> TrainPlan:
        params, train = resolved.params, resolved.training(iteration, stage)
        skip = resolved.skip_reason(iteration, stage)
        replaces: list[TrainParams] = []
        if params.adapter.mode in GOLD_ALONE and not skip:
            replaces = [resolved.training(name, each) for name in resolved.order for each in TRAINING_STAGES]
        return TrainPlan(
            skip=skip,
            prev=resolved.prev(iteration),
            model=resolved.recogniser(iteration),
            train=train.model_copy(update={"seed": stage_seed(train.seed, iteration, stage)}),
            adapter=params.adapter,
            mixture=params.mixture,
            normaliser=params.evaluate.normaliser,
            replaces=tuple(replaces),
        )

    return resolve
