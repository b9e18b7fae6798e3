"""Speakers who are both learned from and scored: an error rate on them would say too little."""

from __future__ import annotations

import polars as pl

__all__ = ["shared_speakers"]

SHOWN = 3


def shared_speakers(rows: pl.DataFrame) -> list[tuple[str, str]]:
    """Rows that are learned from and whose speaker is scored as well: their ids, and what is wrong.

    Rows of gold, pool and replay whose speaker is in dev or test; and rows of replay whose speaker is in
    retention, since what is forgotten would be measured on voices that replay keeps in mind. Rows without a
    speaker are not looked at. It is these rows that are named, not those that are scored: without them, what
    is scored stays what it was.
    """
    known = rows.filter(pl.col("speaker").is_not_null() & (pl.col("speaker") != ""))
    found = [
        *_shared(known, ["gold", "pool", "replay"], ["dev", "test"]),
        *_shared(known, ["replay"], ["retention"]),
    ]
    return sorted(found)


def _shared(known: pl.DataFrame, learned: list[str], scored: list[str]) -> list[tuple[str, str]]:
    ids = pl.col("id").sort()
    speakers = (
        known.filter(pl.col("split").is_in(scored))
        .group_by("speaker")
        .agg(
            pl.format("{} ({})", ids.head(SHOWN), pl.col("split").sort_by("id").head(SHOWN))
            .str.join(", ")
            .alias("scored"),
            pl.len().alias("count"),
        )
    )
    return [
        (
            key,
            f"the speaker {speaker!r} is in {split} here, and in {names}"
            + (f" and {count - SHOWN} more" if count > SHOWN else "")
            + ": a leak (corpus.shared_speakers=allow takes it)",
        )
        for key, speaker, split, names, count in known.filter(pl.col("split").is_in(learned))
        .join(speakers, on="speaker")
        .select("id", "speaker", "split", "scored", "count")
        .iter_rows()
    ]
