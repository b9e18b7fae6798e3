"""Skipped stages, by the parameters or behind an early stop: they pass on what they were given, with the reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from ilt import paths
from ilt.stages._stage import Run

__all__ = ["skip_labels", "skip_reason", "stopped"]

SKIPPED = "; skipped, "


def stopped(prev: str) -> str | None:
    """Return why an iteration up to `prev` was the last, or None where none was."""
    why: str | None = paths.read_json(paths.stop(prev))["why"]
    return why


def skip_reason(prev: str, planned: str | None) -> str | None:
    """Return why a stage is skipped, or None where it runs.

    prev: the iteration before. planned: why the parameters skip the stage, if they do.
    """
    return stopped(prev) or planned


def skip_labels(run: Run[Any], prev: str, source: Path, target: Path, reason: str) -> None:
    """Write the labels of `source` as they are, with their decisions where they count.

    Behind a stop, rows keep what was decided last and say so. Where the parameters skip labelling altogether, no
    row is used. Where only `correct` is skipped, decisions are those of `select`.
    """
    from ilt.labels.table import LABEL_TABLE

    frame = LABEL_TABLE.read(source)
    machine = pl.col("split") != "gold"
    if stopped(prev):
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
