"""Skipped stages, by the parameters or behind an early stop: they pass on what they were given, with the reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from ilt import paths
from ilt.errors import IltError
from ilt.stages._stage import Run
from ilt.stages._train_plan import TrainPlan

__all__ = ["skip_evaluation", "skip_labels", "skip_predictions", "skip_reason", "train_or_skip"]

SKIPPED = "; skipped, "


def _stopped(prev: str) -> str | None:
    """Return why an iteration up to `prev` was the last, or None where none was."""
    why: str | None = paths.read_json(paths.stop(prev))["why"]
    return why


def skip_reason(prev: str, planned: str | None) -> str | None:
    """Return why a stage is skipped, or None where it runs.

    prev: the iteration before. planned: why the parameters skip the stage, if they do.
    """
    return _stopped(prev) or planned


def _skip_training(run: Run[TrainPlan], start: Path, reason: str) -> None:
    """Write the model as it is: no adapter, the same lineage."""
    from ilt.asr.lineage import read_lineage

    lineage = read_lineage(start)
    if not _stopped(run.plan.prev):
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


def skip_labels(run: Run[Any], prev: str, source: Path, target: Path, reason: str) -> None:
    """Write the labels of `source` as they are, with their decisions where they count.

    Behind a stop, rows keep what was decided last and say so. Where the parameters skip labelling altogether, no
    row is used. Where only `correct` is skipped, decisions are those of `select`.
    """
    from ilt.labels.table import LABEL_TABLE

    frame = LABEL_TABLE.read(source)
    machine = pl.col("split") != "gold"
    if _stopped(prev):
        text = pl.col("reason").str.replace(f"{SKIPPED}.*", "") + pl.lit(SKIPPED + reason)
        frame = frame.with_columns(reason=pl.when(machine).then(text).otherwise("reason"))
    elif run.name == "label":
        frame = frame.with_columns(
            selected=pl.when(machine).then(pl.lit(False)).otherwise("selected"),
            reason=pl.when(machine).then(pl.lit(f"dropped: {reason}")).otherwise("reason"),
        )
    frame = frame.with_columns(iteration=pl.lit(run.iteration), stage=pl.lit(run.name))
    LABEL_TABLE.write(frame, target)
    if run.name != "label":
        pool = frame.filter(pl.col("split") == "pool")
        report = {"skipped": reason, "pool": len(pool), "selected": int(pool["selected"].sum())}
        paths.write_json(paths.details(run.iteration, run.name), report)
    print(f"  skipped: {reason}")


def skip_predictions(run: Run[Any], prev: str, reason: str) -> None:
    """Write the predictions of the iteration before.

    Raises IltError where a language begins with a skipped iteration: nobody would train or score it.
    """
    from ilt.corpus.intake import INTAKE_TABLE
    from ilt.evaluation.assess import SPLITS

    scored = set(pl.read_parquet(paths.predictions(prev), columns=["language"])["language"])
    wanted = INTAKE_TABLE.read(paths.intake(run.iteration)).filter(pl.col("split").is_in(SPLITS))
    if new := sorted(set(wanted["language"]) - scored):
        raise IltError(
            f"languages.{new[0]}.from: {run.iteration} is skipped ({reason}), and nothing would be trained on "
            f"{new[0]} or scored; let it begin in an iteration that runs, or let this one run (stop.min_gain: null)"
        )
    for where in (paths.predictions, paths.base_predictions):
        with paths.replacing(where(run.iteration)) as temporary:
            temporary.write_bytes(where(prev).read_bytes())
    print(f"  skipped: {reason}")


def skip_evaluation(run: Run[Any], prev: str, reason: str) -> None:
    """Write the scores of the iteration before, which gained nothing on itself."""
    nothing = {"micro": 0.0, "low": 0.0, "high": 0.0}
    scores = paths.read_json(paths.evaluation(prev)) | {"gain_over_previous": nothing, "skipped": reason}
    paths.write_json(paths.evaluation(run.iteration), scores)
    paths.write_json(paths.stop(run.iteration), {"why": _stopped(prev)})
    print(f"  skipped: {reason}")
