"""Estimate the true error of the selected labels from the answers to an audit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

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


def _strata(record: pl.DataFrame, answered: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the strata with enough answers (`merged`, `language`, size and totals) and the rows, by these strata.

    A band with fewer than two answers (or than rows) is taken together with the next one of its language, the
    last of a language with the one before: with that alone, since bands are drawn at different rates. Raises
    IltError where a whole language has too few.
    """
    totals = ("stratum_size", "sampled", "stratum_units", "stratum_expected")
    strata = record.group_by("stratum").agg(pl.col("language", *totals).first())
    strata = strata.join(answered.group_by("stratum").len("answers"), on="stratum", how="left")
    # Bands are named `en 3/12`, in the order of expected error.
    band = pl.col("stratum").str.extract(r" (\d+)/\d+$").cast(pl.Int64)
    strata = strata.with_columns(pl.col("answers").fill_null(0)).sort("language", band, "stratum")
    merged = [
        (entry["stratum"], group[0]["stratum"])
        for bands in strata.partition_by("language", maintain_order=True)
        for group in _merged(bands.to_dicts())
        for entry in group
    ]
    names = pl.DataFrame(merged, schema=["stratum", "merged"], orient="row")
    rows = answered.join(names, on="stratum").sort("id")
    groups = strata.join(names, on="stratum").group_by("merged")
    strata = groups.agg(pl.col("language").first(), pl.col(*totals, "answers").sum()).sort("merged")
    short = strata.filter(pl.col("answers") < pl.min_horizontal(pl.lit(2), "stratum_size"))
    if len(short):
        named = ", ".join(f"{code} ({n})" for code, n in short.select("language", "answers").rows())
        raise IltError(
            f"review {record['review'][0]}: too few answers in {named}; at least two rows of each language "
            "must be reviewed and imported (`ilt review import`)"
        )
    return strata, rows


def _merged(bands: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Return the bands of one language in groups that have enough answers, where the language has."""

    def thin(group: list[dict[str, Any]]) -> bool:
        return sum(band["answers"] for band in group) < min(2, sum(band["stratum_size"] for band in group))

    groups: list[list[dict[str, Any]]] = []
    for band in bands:
        if groups and thin(groups[-1]):
            groups[-1].append(band)
        else:
            groups.append([band])
    while len(groups) > 1 and thin(groups[-1]):
        groups[-2:] = [groups[-2] + groups[-1]]
    return groups


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
