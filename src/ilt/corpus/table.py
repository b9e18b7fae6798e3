"""Tables of the corpus: utterances, texts of the pool, skipped rows, origins."""

from __future__ import annotations

import polars as pl

from ilt.params import SPLITS
from ilt.tables import Table

__all__ = ["ORIGIN_TABLE", "POOL_REFERENCE_TABLE", "QUARANTINE_TABLE", "SPLITS", "UTTERANCE_TABLE"]

UTTERANCE_TABLE = Table(
    "utterance table",
    {
        "id": pl.String(),
        "language": pl.String(),
        "speaker": pl.String(),
        "split": pl.String(),
        "duration": pl.Float64(),
        "audio": pl.Struct({"path": pl.String(), "bytes": pl.Binary()}),
        "text": pl.String(),
        "audio_hash": pl.String(),
    },
)
"""duration in seconds; `audio.bytes` is 16 kHz mono 16-bit FLAC; text is null in the pool."""

POOL_REFERENCE_TABLE = Table("pool reference", {"id": pl.String(), "text": pl.String()})
"""True texts of the pool, where they are known. Only auditing reads them."""

QUARANTINE_TABLE = Table(
    "quarantine table",
    {"id": pl.String(), "where": pl.String(), "utterance": pl.String(), "problem": pl.String()},
)
"""Rows that were skipped, and why: a problem a row. where: file and line; utterance: the id that the source gives,
null where it gives none."""

ORIGIN_TABLE = Table(
    "origin table",
    {
        "id": pl.String(),
        "where": pl.String(),
        "path": pl.String(),
        "offset": pl.Float64(),
        "cut_of": pl.String(),
    },
)
"""Origin of each utterance: file and line of its source, its audio file as the source names it, the offset in
that in seconds, and the id of the recording that it was cut out of, if it was. Empty for the demo."""
