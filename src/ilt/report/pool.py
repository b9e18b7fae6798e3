"""Use of the pool: which labels each iteration trained on, which it dropped, and for what reason."""

from __future__ import annotations

import polars as pl

from ilt import paths
from ilt.evaluation.scoring import frame_errors
from ilt.labels.table import LABEL_TABLE
from ilt.report.errors import ALL

__all__ = ["OUTCOMES", "expected_errors", "flags", "funnel", "has_labels", "outcomes"]

_FLAGGED, _OTHER = "dropped: flagged", "dropped: another reason"

OUTCOMES = {
    "used: low expected error": "^kept",
    "used: to reach min_rows": "^kept: among the best",
    "used: decided by people": "^kept: (accepted|corrected) by",
    "used: selection is off": "^kept: selection is off",
    "used: low true error": "^kept: true error",
    "dropped: over the budget": "^dropped: rank ",
    "dropped: expected error too high": "^dropped: expected error",
    "dropped: true error too high": "^dropped: true error",
    _FLAGGED: None,
    "dropped: unusable, say people": "^dropped: unusable, says",
    _OTHER: None,
}
"""Outcomes of a pool row, each with a pattern of the `reason` that `ilt.labels.selection` writes.

Where two patterns match, the later one holds.
"""

_TRAINED = {"selected": "feedback", "corrected": "fix"}
"""The label tables that decide, and the training that follows each."""


def _pool(iteration: str, table: str) -> pl.LazyFrame:
    return LABEL_TABLE.scan(paths.labels(iteration, table)).filter(pl.col("split") == "pool")


def has_labels(iteration: str) -> bool:
    """Return whether an iteration labelled the pool: the base does only where `baseline.pool` is true."""
    labelled = _pool(iteration, "corrected").select(pl.col("text").is_not_null().any())
    return bool(labelled.collect().item())


def _outcome() -> pl.Expr:
    flagged = pl.col("flags").list.len() > 0
    outcome = pl.when(flagged).then(pl.lit(_FLAGGED)).otherwise(pl.lit(_OTHER))
    for text, pattern in OUTCOMES.items():
        if pattern:
            matches = pl.col("reason").fill_null("").str.contains(pattern)
            outcome = pl.when(matches).then(pl.lit(text)).otherwise(outcome)
    return outcome


def outcomes(iterations: list[str]) -> pl.DataFrame:
    """Count pool rows by outcome, of each language and (`ALL`) of all together.

    Columns: iteration, stage (feedback, fix), language, outcome, rows and share (of the language's rows).
    """
    share = pl.col("rows") / pl.col("rows").sum().over("language")
    parts = [
        pl.concat([rows.with_columns(language=pl.lit(ALL)), rows])
        .group_by("language", "outcome")
        .agg(rows=pl.len().cast(pl.Int64))
        .with_columns(iteration=pl.lit(iteration), stage=pl.lit(stage), share=share)
        .select("iteration", "stage", "language", "outcome", "rows", "share")
        .sort("language", "outcome")
        for iteration in iterations
        for table, stage in _TRAINED.items()
        for rows in [_pool(iteration, table).select("language", outcome=_outcome())]
    ]
    return pl.concat(pl.collect_all(parts))


def expected_errors(iterations: list[str], normaliser: str) -> dict[str, dict[str, float | None]]:
    """Return the mean expected error of the labels that were trained on, by iteration and table.

    Tables are `selected` and `corrected`. Fractions, weighted by words (or characters) as error rates are, so
    that they stand beside the true error; None where no label with an expected error was chosen.
    """
    errors: dict[str, dict[str, float | None]] = {}
    for iteration in iterations:
        errors[iteration] = {}
        for table in _TRAINED:
            rows = _pool(iteration, table).filter("selected", pl.col("expected_error").is_not_null()).collect()
            units = frame_errors(rows, "text", "text", normaliser)[1]
            total = float((rows["expected_error"].to_numpy() * units).sum())
            errors[iteration][table] = round(total / units.sum(), 6) if units.sum() else None
    return errors


def flags(iterations: list[str]) -> pl.DataFrame:
    """Count pool rows by flag in the table that ends an iteration: iteration, flag, rows."""
    parts = [
        _pool(iteration, "corrected")
        .select(flag=pl.col("flags").explode())
        .drop_nulls()
        .group_by("flag")
        .agg(rows=pl.len().cast(pl.Int64))
        .select(pl.lit(iteration).alias("iteration"), "flag", "rows")
        .sort(["rows", "flag"], descending=[True, False])
        for iteration in iterations
    ]
    return pl.concat(pl.collect_all(parts))


def funnel(iterations: list[str]) -> pl.DataFrame:
    """Count pool rows after each step, by iteration and language (`ALL`: all together, first).

    Columns: iteration, language, pool, flagged (by select), selected (for feedback), reworded (by correct),
    used (for fix), people (decided by people).
    """
    parts = []
    for iteration in iterations:
        corrected = _pool(iteration, "corrected").select("id", "source", used="selected", last="text")
        both = _pool(iteration, "selected").join(corrected, on="id", how="left").collect()
        counts = {
            "pool": pl.len(),
            "flagged": (pl.col("flags").list.len() > 0).sum(),
            "selected": pl.col("selected").sum(),
            "reworded": pl.col("text").ne_missing(pl.col("last")).sum(),
            "used": pl.col("used").sum(),
            "people": (pl.col("source_right") == "human").sum(),
        }
        sums = [expression.cast(pl.Int64).alias(name) for name, expression in counts.items()]
        by_language = both.group_by("language").agg(sums).sort("language")
        together = both.select(pl.lit(ALL).alias("language"), *sums).head(1)
        parts.append(pl.concat([together, by_language]).select(pl.lit(iteration).alias("iteration"), pl.all()))
    return pl.concat(parts)
