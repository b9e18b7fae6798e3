"""Choose rows for people, record the choice, and gather what they need to see and hear."""

from __future__ import annotations

import polars as pl

from ilt import paths
from ilt.corpus.clips import load_clips
from ilt.corpus.table import UTTERANCE_TABLE
from ilt.errors import IltError
from ilt.evaluation.normalise import normalise, tokens
from ilt.labels.table import CORRECTIONS_TABLE, LABEL_TABLE
from ilt.tools.review import audit, improve
from ilt.tools.review.outgoing import Outgoing, make_row
from ilt.tools.review.table import review_id

__all__ = ["choose", "gather", "read_corrections"]


def read_corrections() -> pl.DataFrame:
    """What people decided so far; an empty table where there is no file yet."""
    if not paths.CORRECTIONS.is_file():
        return CORRECTIONS_TABLE.empty()
    return CORRECTIONS_TABLE.read(paths.CORRECTIONS)


def _labels(iteration: str) -> pl.DataFrame:
    path = paths.labels(iteration, "corrected")
    if not path.is_file():
        made = sorted(found.parent.name for found in path.parent.parent.glob("*/corrected.parquet"))
        raise IltError(
            f"{path} is missing; run `dvc repro correct@{iteration}`, or take an iteration that has labels: "
            f"{', '.join(made) or 'there is none'}"
        )
    return LABEL_TABLE.read(path).filter(pl.col("split") == "pool")


def choose(iteration: str, strategy: str, budget: int, seed: int, normaliser: str) -> pl.DataFrame:
    """The record of a new review: a REVIEW_TABLE in the order in which to review.

    strategy: `audit` or `improve`. budget: rows for people to look at, at least 1.
    """
    if budget < 1:
        raise IltError(f"--budget {budget}: expected at least one row")
    labels, decided = _labels(iteration), read_corrections()["id"]
    if strategy == "audit":
        labels = audit.population(labels)
    texts = labels.select(pl.col("text").fill_null(""), "language")
    units = [len(tokens(normalise(text, code, normaliser), code)) for text, code in texts.iter_rows()]
    labels = labels.with_columns(
        pl.Series("units", units, pl.Int64), pl.col("text").fill_null(""), iteration=pl.lit(iteration)
    )
    rows = audit.draw(labels, budget, seed, decided) if strategy == "audit" else improve.best(labels, budget, decided)
    wanted = UTTERANCE_TABLE.scan(paths.UTTERANCES).select("id", "audio_hash")
    hashes = wanted.filter(pl.col("id").is_in(rows["id"].to_list())).collect()
    return rows.join(hashes, on="id", how="left", maintain_order="left").with_columns(
        review=pl.lit(review_id(rows, strategy, iteration, seed, budget)),
        strategy=pl.lit(strategy),
        seed=pl.lit(seed),
        budget=pl.lit(budget),
        position=pl.int_range(pl.len()),
    )


def gather(record: pl.DataFrame) -> Outgoing:
    """The rows of a record that nobody has decided, with sound and differences, in their order.

    record: what `choose` gave, with the label table's `previous_text`.
    """
    known = read_corrections()["id"].to_list()
    rows = record.filter(~pl.col("id").is_in(known)).sort("position")
    if not len(rows):
        raise IltError("people have decided every row that this choice would show")
    clips = load_clips(rows["id"].to_list())
    texts = rows.select("id", "language", "text", "previous_text").iter_rows()
    return Outgoing(
        review=record["review"][0],
        iteration=record["iteration"][0],
        strategy=record["strategy"][0],
        rows=[make_row(key, code, text, before, clips[key]) for key, code, text, before in texts],
    )
