"""Intake of an iteration: the utterances of the languages that have begun by then.

Each iteration has a table of its own, without audio. What depends on it (by its hash, in DVC) stays as it is
when a language is added that begins later, although the utterance table itself changes.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from ilt import paths
from ilt.corpus.table import POOL_REFERENCE_TABLE, UTTERANCE_TABLE
from ilt.errors import IltError
from ilt.tables import Table

__all__ = ["INTAKE_TABLE", "read_intake", "write_intake"]

INTAKE_TABLE = Table("intake table", {name: kind for name, kind in UTTERANCE_TABLE.schema.items() if name != "audio"})
"""The utterances of an iteration. Their audio is in the utterance table, under `audio_hash`."""


def write_intake(iteration: str, absent: Sequence[str]) -> pl.DataFrame:
    """Write the intake and the pool reference of an iteration; return the intake.

    absent: languages that do not take part yet.
    """
    rows = UTTERANCE_TABLE.scan(paths.UTTERANCES).select(INTAKE_TABLE.schema.keys())
    intake = rows.filter(~pl.col("language").is_in(list(absent))).collect()
    pool = intake.filter(pl.col("split") == "pool").select("id")
    references = POOL_REFERENCE_TABLE.read(paths.POOL_REFERENCE).join(pool, on="id", how="semi")
    INTAKE_TABLE.write(intake, paths.intake(iteration))
    POOL_REFERENCE_TABLE.write(references, paths.intake_reference(iteration))
    return intake


def read_intake(iteration: str) -> pl.DataFrame:
    """Return the rows of the utterance table, audio included, that take part in an iteration, sorted by id.

    Raises IltError where the two tables were not made from one another.
    """
    intake = INTAKE_TABLE.read(paths.intake(iteration))
    rows = UTTERANCE_TABLE.scan(paths.UTTERANCES)
    if rows.select(pl.len()).collect().item() != len(intake):
        rows = rows.filter(pl.col("id").is_in(intake["id"].implode()))
    utterances = rows.collect().sort("id")
    if not utterances.drop("audio").equals(intake):
        raise IltError(f"{paths.intake(iteration)} was not made from {paths.UTTERANCES} as it is; run `dvc repro`")
    return utterances
