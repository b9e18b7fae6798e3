"""Which utterances take part in an iteration: those of the languages that have begun by then.

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
    """Write the intake and the pool reference of an iteration; the intake.

    absent: languages that do not take part yet.
    """
    rows = UTTERANCE_TABLE.scan(paths.UTTERANCES).select(INTAKE_TABLE.schema.keys())
    found = rows.filter(~pl.col("language").is_in(list(absent))).collect()
    pool = found.filter(pl.col("split") == "pool").select("id")
    references = POOL_REFERENCE_TABLE.read(paths.POOL_REFERENCE).join(pool, on="id", how="semi")
    INTAKE_TABLE.write(found, paths.intake(iteration))
    POOL_REFERENCE_TABLE.write(references, paths.intake_reference(iteration))
    return found


def read_intake(iteration: str) -> pl.DataFrame:
    """The rows of the utterance table, audio included, that take part in an iteration, sorted by id.

    Raises IltError where the two tables were not made from one another.
    """
    known = INTAKE_TABLE.read(paths.intake(iteration))
    rows = UTTERANCE_TABLE.scan(paths.UTTERANCES)
    if rows.select(pl.len()).collect().item() != len(known):
        rows = rows.filter(pl.col("id").is_in(known["id"].implode()))
    found = rows.collect().sort("id")
    if not found.drop("audio").equals(known):
        raise IltError(f"{paths.intake(iteration)} was not made from {paths.UTTERANCES} as it is; run `dvc repro`")
    return found
