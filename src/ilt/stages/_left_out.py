"""Stages left out, by the parameters or behind a stop: they pass on what they were given and say why."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from ilt import paths
from ilt.asr.lineage import read_lineage
from ilt.corpus.intake import INTAKE_TABLE
from ilt.errors import IltError
from ilt.evaluation.assess import SPLITS
from ilt.labels.table import LABEL_TABLE
from ilt.stages._stage import Stage

__all__ = ["pass_evaluation", "pass_labels", "train_or_pass", "why_left_out"]

PASSED = "; passed through, "


def _stopped(stage: Stage) -> str | None:
    """Why an iteration before this one was the last; None where none was."""
    why: str | None = paths.read_json(paths.stop(stage.values["prev"]))["why"]
    return why


def why_left_out(stage: Stage) -> str | None:
    """Why a stage is left out, or None where it runs."""
    return _stopped(stage) or stage.values.get("left_out")


def _pass_model(stage: Stage, start: Path, why: str) -> None:
    """The model as it is: no adapter, the same lineage."""
    lineage = read_lineage(start)
    if not _stopped(stage):
        lineage = lineage.start_of(stage.name, stage.values["scope"])
    folder = paths.adapter(stage.iteration, stage.name)
    folder.mkdir(parents=True, exist_ok=True)
    lineage.write(folder / "lineage.json")  # DVC does not keep empty folders
    lineage.write(paths.lineage(stage.iteration, stage.name))
    paths.write_json(paths.metrics(stage.iteration, stage.name), {"steps": 0, "left_out": why})
    print(f"  left out: {why}")


def train_or_pass(stage: Stage, start: Path, labels: Path | None) -> None:
    """A training stage: see `ilt.stages._train.train_stage`. Left out, it passes on the model in `start`."""
    if why := why_left_out(stage):
        _pass_model(stage, start, why)
        return
    from ilt.stages._train import train_stage  # late, so that a stage that passes need not wait for torch

    train_stage(stage, start, labels)


def pass_labels(stage: Stage, source: Path, target: Path, why: str, details: bool = True) -> None:
    """The labels of `source` as they are, with their decisions where they count.

    Behind a stop, rows keep what was decided last and say so. Where the parameters leave labelling out
    altogether, no row is used. Where only `correct` is left out, decisions are those of `select`.
    """
    frame = LABEL_TABLE.read(source)
    machine = pl.col("split") != "gold"
    if _stopped(stage):
        reason = pl.col("reason").str.replace(f"{PASSED}.*", "") + pl.lit(PASSED + why)
        frame = frame.with_columns(reason=pl.when(machine).then(reason).otherwise("reason"))
    elif stage.name == "label":
        frame = frame.with_columns(
            selected=pl.when(machine).then(pl.lit(False)).otherwise("selected"),
            reason=pl.when(machine).then(pl.lit(f"dropped: {why}")).otherwise("reason"),
        )
    frame = frame.with_columns(iteration=pl.lit(stage.iteration), stage=pl.lit(stage.name))
    LABEL_TABLE.write(frame, target)
    if details:
        pool = frame.filter(pl.col("split") == "pool")
        told = {"left_out": why, "pool": len(pool), "selected": int(pool["selected"].sum())}
        paths.write_json(paths.metrics(stage.iteration, stage.name), told)
    print(f"  left out: {why}")


def pass_evaluation(stage: Stage, why: str) -> None:
    """The predictions and the assessment of the iteration before, which gained nothing on itself.

    Raises IltError where a language begins with an iteration that is passed: nobody would train or score it.
    """
    before = stage.values["prev"]
    scored = set(pl.read_parquet(paths.predictions(before), columns=["language"])["language"])
    wanted = INTAKE_TABLE.read(paths.intake(stage.iteration)).filter(pl.col("split").is_in(SPLITS))
    if new := sorted(set(wanted["language"]) - scored):
        raise IltError(
            f"languages.{new[0]}.from: {stage.iteration} is passed through ({why}), and nothing would be "
            f"trained on {new[0]} or scored; let it begin in an iteration that runs, or let this one run "
            "(stop.min_gain: null)"
        )
    for where in (paths.predictions, paths.base_predictions):
        with paths.replacing(where(stage.iteration)) as temporary:
            temporary.write_bytes(where(before).read_bytes())
    nothing = {"micro": 0.0, "low": 0.0, "high": 0.0}
    found = paths.read_json(paths.evaluation(before)) | {"gain_over_previous": nothing, "passed_through": why}
    paths.write_json(paths.evaluation(stage.iteration), found)
    paths.write_json(paths.stop(stage.iteration), {"why": _stopped(stage)})
    print(f"  left out: {why}")
