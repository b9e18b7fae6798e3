"""What the training stages focus, feedback and fix share that needs no torch: their plan, and how one is skipped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ilt import paths
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
from ilt.stages._skip import skip_reason, stopped
from ilt.stages._stage import Plan, Run

__all__ = ["TrainPlan", "resolver", "train_or_skip"]


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


def _skip_training(run: Run[TrainPlan], start: Path, reason: str) -> None:
    """Write the model as it is: no adapter, the same lineage."""
    from ilt.asr.lineage import read_lineage

    lineage = read_lineage(start)
    if not stopped(run.plan.prev):
        lineage = lineage.start_of(run.name, run.plan.adapter.scope)
    folder = paths.adapter(run.iteration, run.name)
    folder.mkdir(parents=True, exist_ok=True)
    lineage.write(folder / "lineage.json")  # DVC does not keep empty folders
    lineage.write(paths.lineage(run.iteration, run.name))
    paths.write_json(paths.details(run.iteration, run.name), {"steps": 0, "skipped": reason})
    print(f"  skipped: {reason}")


def train_or_skip(run: Run[TrainPlan], start: Path, labels: Path | None) -> None:
    """Run a training stage: see `ilt.stages._train.train_stage`. Skipped, it passes on the model in `start`."""
    if reason := skip_reason(run.plan.prev, run.plan.skip):
        _skip_training(run, start, reason)
        return
    from ilt.stages._train import train_stage  # late, so that a stage that is skipped need not wait for torch

    train_stage(run, start, labels)
