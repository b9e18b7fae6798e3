"""Estimate the true error of the selected labels from the answers to an audit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import polars as pl

from ilt.errors import IltError
from ilt.evaluation.scoring import error_counts
from ilt.tools.review.ratio import Rate, stratified_rate

__all__ = ["Estimate", "estimate"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """The estimate of one language, or of all.

    language: a code, or None for all of them, where words and characters count alike (micro average).
    rows:     selected rows in the population; sampled: of these, in the audit; answered: decided by people.
    rate:     WER, or CER, of the labels as exported, against the texts of people.
    expected: the same as calibration expects it; None where the labels have no words.
    unusable: share of the population that people would call unusable; those rows are not in `rate`, since
              nobody knows what was said.
    """

    language: str | None
    rows: int
    sampled: int
    answered: int
    rate: Rate
    expected: float | None
    unusable: float


def _answered(record: pl.DataFrame, corrections: pl.DataFrame, normaliser: str) -> pl.DataFrame:
    """Return the rows of the record that people decided, with `errors`, `units` and `unusable`."""
    people = corrections.select("id", truth="text", verdict="verdict")
    rows = record.join(people, on="id", how="inner").sort("id")
    truth = pl.coalesce("truth", pl.when(pl.col("verdict") == "accepted").then("text"), pl.lit(""))
    rows = rows.with_columns(unusable=pl.col("verdict") == "unusable", truth=truth)
    errors, units = error_counts(
        rows["truth"].to_list(), rows["text"].to_list(), rows["language"].to_list(), normaliser
    )
    usable = ~rows["unusable"].to_numpy()
    return rows.with_columns(errors=pl.Series(errors * usable), units=pl.Series(units * usable))


class Band(NamedTuple):
    """Rows of one language with like expected errors. rows: of the population; answers: decided by people."""

    name: str
    language: str
    answers: int
    rows: int


def _strata(record: pl.DataFrame, answered: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the strata with enough answers (`merged`, `language`, size and totals) and the rows, by these strata.

    A band with fewer than two answers (or than rows) is taken together with the next one of its language:
    with that alone, since bands are drawn at different rates. Raises IltError where a whole language has too
    few.
    """
    totals = ("stratum_size", "sampled", "stratum_units", "stratum_expected")
    counts = answered.group_by("stratum").len("answers")
    strata = record.group_by("stratum").agg(pl.col("language", *totals).first())
    strata = strata.join(counts, on="stratum", how="left").with_columns(pl.col("answers").fill_null(0))
    thin = pl.col("answers") < pl.min_horizontal(pl.lit(2), "stratum_size")
    # Bands are named `en 3/12`, in the order of expected error.
    band = pl.col("stratum").str.extract(r" (\d+)/\d+$").cast(pl.Int64)
    ordered = strata.sort("language", band, "stratum")
    bands = [Band(*row) for row in ordered.select("stratum", "language", "answers", "stratum_size").rows()]
    merged = pl.DataFrame(_merged(bands), schema=["stratum", "merged"], orient="row")
    strata = ordered.join(merged, on="stratum")
    rows = answered.join(strata.select("stratum", "merged"), on="stratum").sort("id")
    strata = strata.group_by("merged").agg(pl.col("language").first(), pl.col(*totals, "answers").sum()).sort("merged")
    short = strata.filter(thin)
    if len(short):
        named = ", ".join(f"{code} ({n})" for code, n in short.select("language", "answers").rows())
        raise IltError(
            f"review {record['review'][0]}: too few answers in {named}; at least two rows of each language "
            "must be reviewed and imported (`ilt review import`)"
        )
    return strata, rows


def _merged(bands: Sequence[Band]) -> list[tuple[str, str]]:
    """Return for each band, in order, its name and the stratum it becomes part of (that one's first band).

    A band that has too few answers is joined to what follows it; the last of a language to what is before.
    """

    def thin(group: list[Band]) -> bool:
        return sum(band.answers for band in group) < min(2, sum(band.rows for band in group))

    groups: list[list[Band]] = []
    for band in bands:
        if groups and groups[-1][0].language == band.language and thin(groups[-1]):
            groups[-1].append(band)
        else:
            groups.append([band])
    for number in range(len(groups) - 1, 0, -1):
        if thin(groups[number]) and groups[number - 1][0].language == groups[number][0].language:
            groups[number - 1] += groups.pop(number)
    return [(band.name, group[0].name) for group in groups for band in group]


def _of(language: str | None, strata: pl.DataFrame, rows: pl.DataFrame) -> Estimate:
    if language is not None:
        strata = strata.filter(pl.col("language") == language)
        rows = rows.filter(pl.col("language") == language)
    numbers = {name: number for number, name in enumerate(strata["merged"])}
    at = np.array([numbers[name] for name in rows["merged"]], dtype=np.int64)
    sizes = strata["stratum_size"].to_numpy().astype(float)
    unusable = rows["unusable"].to_numpy().astype(float)
    units = int(strata["stratum_units"].sum())
    return Estimate(
        language=language,
        rows=int(sizes.sum()),
        sampled=int(strata["sampled"].sum()),
        answered=len(rows),
        rate=stratified_rate(sizes, at, rows["errors"].to_numpy(), rows["units"].to_numpy()),
        expected=float(strata["stratum_expected"].sum()) / units if units else None,
        unusable=stratified_rate(sizes, at, unusable, np.ones(len(rows))).rate or 0.0,
    )


def estimate(record: pl.DataFrame, corrections: pl.DataFrame, normaliser: str) -> list[Estimate]:
    """Return the error rate of the population that an audit was drawn from: of each language, then of all.

    record:      of a review with the strategy `audit`.
    corrections: decisions of people, whichever review it came from.
    Rows without an answer count as not drawn: right as long as people go through the rows in their order, or
    leave rows out for reasons that have nothing to do with their errors. Raises IltError if the record is not
    of an audit, or where a language has too few answers.
    """
    if record["strategy"][0] != "audit":
        raise IltError(
            f"review {record['review'][0]} is not an audit: its rows were chosen, not drawn at random, so "
            "they say nothing of the others; export with --strategy audit"
        )
    strata, rows = _strata(record, _answered(record, corrections, normaliser))
    languages = strata["language"].unique().sort().to_list()
    return [_of(code, strata, rows) for code in (*languages, None)]
