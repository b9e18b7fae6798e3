"""Speakers who are both learned from and scored: an error rate on them would say too little."""

from __future__ import annotations

import polars as pl

__all__ = ["shared_speakers"]

SHOWN = 3


def shared_speakers(rows: pl.DataFrame) -> list[tuple[str, str]]:
    """Rows of gold, pool and replay whose speaker is in dev or test as well: their ids, and what is wrong.

    Rows without a speaker are not looked at. It is these rows that are named, not those of dev and test:
    without them, what is scored stays what it was.
    """
    known = rows.filter(pl.col("speaker").is_not_null() & (pl.col("speaker") != ""))
    ids = pl.col("id").sort()
    scored = (
        known.filter(pl.col("split").is_in(["dev", "test"]))
        .group_by("speaker")
        .agg(
            pl.format("{} ({})", ids.head(SHOWN), pl.col("split").sort_by("id").head(SHOWN))
            .str.join(", ")
            .alias("scored"),
            pl.len().alias("count"),
        )
    )
    learned = known.filter(pl.col("split").is_in(["gold", "pool", "replay"])).join(scored, on="speaker")
    return [
        (
            key,
            f"the speaker {speaker!r} is in {split} here, and in {names}"
            + (f" and {count - SHOWN} more" if count > SHOWN else "")
            + ": a leak (corpus.shared_speakers=allow takes it)",
        )
        for key, speaker, split, names, count in learned.sort("id")
        .select("id", "speaker", "split", "scored", "count")
        .iter_rows()
    ]
