"""Where the pool went: which labels each iteration used, which it left out, and for what reason."""

from __future__ import annotations

import polars as pl

from ilt import paths
from ilt.evaluation.scoring import frame_errors
from ilt.labels.table import LABEL_TABLE
from ilt.report.errors import ALL

__all__ = ["FATES", "expected", "fates", "flags", "funnel"]

FATES = {
    "sure": "used: expected error is low",
    "least": "used: to reach min_rows",
    "people": "used: people decided",
    "off": "used: selection is off",
    "right": "used: true error is low",
    "budget": "left out: over the budget",
    "doubtful": "left out: expected error too high",
    "wrong": "left out: true error too high",
    "flagged": "left out: flagged",
    "unusable": "left out: people call it unusable",
    "other": "left out: another reason",
}
"""What can become of a pool row, by what `ilt.labels.selection` writes into `reason`."""

_BY_REASON = (
    ("^kept: among the best", "least"),
    ("^kept: (accepted|corrected) by", "people"),
    ("^kept: selection is off", "off"),
    ("^kept: true error", "right"),
    ("^kept", "sure"),
    ("^dropped: unusable, says", "unusable"),
    ("^dropped: rank ", "budget"),
    ("^dropped: expected error", "doubtful"),
    ("^dropped: true error", "wrong"),
)
_TRAINED = {"selected": "feedback", "corrected": "fix"}
"""The label tables that decide, and the training that follows each."""


def _pool(iteration: str, table: str) -> pl.LazyFrame:
    return LABEL_TABLE.scan(paths.labels(iteration, table)).filter(pl.col("split") == "pool")


def _fate() -> pl.Expr:
    reason, flagged = pl.col("reason").fill_null(""), pl.col("flags").list.len() > 0
    fate = pl.when(flagged).then(pl.lit("flagged")).otherwise(pl.lit("other"))
    for pattern, name in reversed(_BY_REASON):
        fate = pl.when(reason.str.contains(pattern)).then(pl.lit(name)).otherwise(fate)
    return fate


def fates(iterations: list[str]) -> pl.DataFrame:
    """Pool rows by what became of them, of each language and (`ALL`) of all together.

    Columns: iteration, stage (feedback, fix), language, fate, rows and share (of the language's rows).
    """
    share = pl.col("rows") / pl.col("rows").sum().over("language")
    parts = [
        pl.concat([rows.with_columns(language=pl.lit(ALL)), rows])
        .group_by("language", "fate")
        .agg(rows=pl.len().cast(pl.Int64))
        .with_columns(iteration=pl.lit(iteration), stage=pl.lit(stage), share=share)
        .select("iteration", "stage", "language", "fate", "rows", "share")
        .sort("language", "fate")
        for iteration in iterations
        for table, stage in _TRAINED.items()
        for rows in [_pool(iteration, table).select("language", fate=_fate())]
    ]
    return pl.concat(pl.collect_all(parts))


def expected(iterations: list[str], normaliser: str) -> dict[str, dict[str, float | None]]:
    """By iteration, what error was expected of the labels that were trained on: `selected` and `fixed`.

    Fractions, weighted by words (or characters) as error rates are, so that they stand beside the true
    error; None where nothing was chosen, or chosen without an expected error (people's).
    """
    found: dict[str, dict[str, float | None]] = {}
    for iteration in iterations:
        found[iteration] = {}
        for table in _TRAINED:
            rows = _pool(iteration, table).filter("selected", pl.col("expected_error").is_not_null()).collect()
            units = frame_errors(rows, "text", "text", normaliser)[1]
            total = float((rows["expected_error"].to_numpy() * units).sum())
            found[iteration][table] = round(total / units.sum(), 6) if units.sum() else None
    return found


def flags(iterations: list[str]) -> pl.DataFrame:
    """How many pool rows have each flag in the table that ends an iteration: iteration, flag, rows."""
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
    """Pool rows left after each step, by iteration and language (`ALL`: all together).

    Columns: iteration, language, pool, flagged (by select), selected (for feedback), reworded (by correct),
    used (for fix), people (decided by people).
    """
    parts = []
    for iteration in iterations:
        after = _pool(iteration, "corrected").select("id", "source", used="selected", last="text")
        both = _pool(iteration, "selected").join(after, on="id", how="left").collect()
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
