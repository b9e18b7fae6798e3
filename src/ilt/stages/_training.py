"""What the training stages focus, feedback and fix do, or pass on where they are skipped."""

from __future__ import annotations

from pathlib import Path

from ilt import paths
from ilt.stages._skip import skip_reason, stopped
from ilt.stages._stage import Run
from ilt.stages._train_plan import TrainPlan

__all__ = ["train_or_skip"]


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
