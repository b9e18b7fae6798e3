"""Choose rows for people, and gather what they need to see and hear."""

from __future__ import annotations

import polars as pl

from ilt import paths
from ilt.corpus.clips import load_clips
from ilt.corpus.table import UTTERANCE_TABLE
from ilt.errors import IltError
from ilt.evaluation.normalise import normalise, tokens
from ilt.labels.table import CORRECTIONS_TABLE, LABEL_TABLE
from ilt.tools.review import audit, improve
from ilt.tools.review.exchange import Outgoing, Row
from ilt.tools.review.table import review_id

__all__ = ["choose", "gather", "read_corrections"]


def read_corrections() -> pl.DataFrame:
    """Return what people decided so far; an empty table where there is no file yet."""
    if not paths.CORRECTIONS.is_file():
        return CORRECTIONS_TABLE.empty()
    return CORRECTIONS_TABLE.read(paths.CORRECTIONS)


def _labels(iteration: str, normaliser: str) -> pl.DataFrame:
    """Return the pool rows that no person has written, with `units`: words (or characters) of each text."""
    path = paths.labels(iteration, "corrected")
    if not path.is_file():
        others = {file.parent.parent.name for file in paths.ITERATIONS.glob("*/labels/corrected.parquet")} - {"base"}
        raise IltError(
            f"{path} is missing; run `dvc repro correct@{iteration}`, or take an iteration that has labels: "
            f"{', '.join(sorted(others)) or 'there is none'}"
        )
    machine = (pl.col("split") == "pool") & (pl.col("source").fill_null("") != "human")
    labels = LABEL_TABLE.read(path, machine).with_columns(pl.col("text").fill_null(""))
    texts = labels.select("text", "language").iter_rows()
    units = [len(tokens(normalise(text, code, normaliser), code)) for text, code in texts]
    return labels.with_columns(pl.Series("units", units, pl.Int64), iteration=pl.lit(iteration))


def choose(iteration: str, strategy: str, budget: int, seed: int, normaliser: str) -> pl.DataFrame:
    """Return the record of a new review: a REVIEW_TABLE in the order in which to review.

    strategy: `audit` or `improve`. budget: rows for people to look at.
    """
    if not 1 <= budget < 2**31:
        raise IltError(f"--budget {budget}: expected at least one row, and less than 2^31")
    if not 0 <= seed < 2**63:
        raise IltError(f"--seed {seed}: expected 0 or more, and less than 2^63")
    labels, decided = _labels(iteration, normaliser), read_corrections()["id"]
    if strategy == "audit":
        rows = audit.draw(labels.filter(pl.col("selected").fill_null(False)), budget, seed, decided)
    else:
        rows = improve.best(labels, budget, decided)
    ids = pl.col("id").is_in(rows["id"].to_list())
    hashes = UTTERANCE_TABLE.read(paths.UTTERANCES, ids, ["id", "audio_hash"])
    return rows.join(hashes, on="id", how="left", maintain_order="left").with_columns(
        review=pl.lit(review_id(rows, strategy, iteration, seed, budget)),
        strategy=pl.lit(strategy),
        seed=pl.lit(seed),
        budget=pl.lit(budget),
        position=pl.int_range(pl.len()),
    )


def gather(record: pl.DataFrame) -> Outgoing:
    """Return the rows of a record that nobody has decided, with their sound, in their order.

    record: what `choose` gave, with the label table's `previous_text`.
    """
    decided = read_corrections()["id"].to_list()
    rows = record.filter(~pl.col("id").is_in(decided)).sort("position")
    if not len(rows):
        raise IltError("people have decided every row that this choice would show")
    clips = load_clips(rows["id"].to_list())
    texts = rows.select("id", "language", "text", "previous_text").iter_rows()
    return Outgoing(
        review=record["review"][0],
        iteration=record["iteration"][0],
        strategy=record["strategy"][0],
        rows=[Row(key, language, text, before or "", clips[key]) for key, language, text, before in texts],
    )
