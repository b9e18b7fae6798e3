"""Report of a diff: counts, rates and intervals from a comparison. Also its JSON form."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from ilt.evaluation.comparison.changes import Row, changed_rows
from ilt.evaluation.comparison.compare import KINDS, Comparison
from ilt.evaluation.scoring import gain_interval, rate

__all__ = ["SCHEMA", "Counts", "DiffReport", "Interval", "Side", "Truth", "build_report"]

SCHEMA = "ilt.diff/2"
"""Name and version of the JSON form; the version changes when a field is removed or means something else."""

BOOTSTRAP = 2000
"""Resamples of the gain; fewer of very many rows, whose intervals are narrow anyway."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Side(_Model):
    """One of the two tables."""

    name: str = Field(description="the operand, such as it1 or it2:selected")
    revision: str | None = Field(description="git revision or name of an experiment; null: the workspace")
    path: str = Field(description="the table's path in the repository, or the file that was given")
    rows: int


class Counts(_Model):
    """Changes in one language, or in all together."""

    language: str | None = Field(description="language of the rows; null for all together")
    rows_before: int
    rows_after: int
    added: int = Field(description="rows that only the table after has")
    missing: int = Field(description="rows that only the table before has")
    reworded: int = Field(description="rows in both whose text differs")
    redecided: int = Field(description="rows in both whose `selected` differs")
    taken_in: int = Field(description="of the re-decided: selected after and not before")
    dropped: int = Field(description="of the re-decided: selected before and not after")
    resourced: int = Field(description="rows in both whose `source` differs")
    changed: int = Field(description="rows that changed in at least one of the ways that count")
    churn: float = Field(description="changed over all rows of either table, 0 to 1")
    moved: float | None = Field(
        description="edits over units of the texts before, in re-worded rows: WER between old and new, or "
        "CER in languages scored so; can be above 1; null without re-worded rows"
    )
    selected_before: int = Field(description="selected rows, gold apart")
    selected_after: int
    expected_error_before: float | None = Field(description="mean calibrated error of these")
    expected_error_after: float | None


class Interval(_Model):
    """A gain in error rate, positive where labels became truer; 95 % interval by paired bootstrap."""

    micro: float
    low: float
    high: float


class Truth(_Model):
    """Error against references (gold, dev, pool_reference, or a file that was given)."""

    language: str | None
    rows: int = Field(description="re-worded rows that have a reference")
    before: float | None = Field(description="micro error rate of these rows before, as a fraction")
    after: float | None
    gain: Interval | None = Field(description="before minus after; null without such rows")
    selected_before: float | None = Field(description="micro error rate of all selected rows with a reference")
    selected_after: float | None


class DiffReport(_Model):
    """Report of a diff."""

    schema_: str = Field(default=SCHEMA, alias="schema", serialization_alias="schema")
    before: Side
    after: Side
    filters: dict[str, Any] = Field(description="the options that narrowed the comparison")
    total: Counts
    languages: list[Counts]
    truth: list[Truth] = Field(description="all together first; empty where nothing has a reference")
    rows: list[Row] = Field(description="changed rows, most moved first; --limit of them")

    @property
    def different(self) -> bool:
        """True where a row changed in a way that counts."""
        return self.total.changed > 0

    def values(self) -> dict[str, float]:
        """Return the numbers that a condition of `--fail-over` can name, without those that are unknown."""
        numbers = {key: value for key, value in self.total.model_dump().items() if key != "language"}
        if self.truth:
            together = self.truth[0]
            numbers |= {
                "true_error_before": together.before,
                "true_error_after": together.after,
                "selected_error_before": together.selected_before,
                "selected_error_after": together.selected_after,
                "gain": together.gain.micro if together.gain else None,
            }
        return {key: float(value) for key, value in numbers.items() if value is not None}


def _counts(frame: pl.DataFrame, language: str | None) -> Counts:
    """Sum rows of `Comparison.counts`."""
    sums: dict[str, Any] = {name: frame[name].sum() for name in frame.columns if name != "language"}

    def share(over: str, under: str) -> float | None:
        return round(sums[over] / sums[under], 6) if sums.get(under) else None

    names = ("rows_before", "rows_after", *KINDS, "taken_in", "dropped", "changed", "selected_before", "selected_after")
    return Counts(
        language=language,
        **{name: int(sums.get(name, 0)) for name in names},
        churn=share("changed", "union") or 0.0,
        moved=share("edits", "units"),
        expected_error_before=share("expected_before", "expected_rows_before"),
        expected_error_after=share("expected_after", "expected_rows_after"),
    )


def _truth(language: str | None, reworded: pl.DataFrame, selected: pl.DataFrame, samples: int, seed: int) -> Truth:
    """Rates of one language: of its re-worded rows, and of its selected rows from sums of errors and units."""
    units = reworded["units"].to_numpy()
    before, after = ((reworded[f"errors_{side}"].to_numpy(), units) for side in ("before", "after"))
    some = bool(len(units))
    sums = {name: int(selected[name].sum()) for name in selected.columns if name != "language"}
    of_selected = {
        f"selected_{side}": round(sums[f"errors_{side}"] / sums[f"units_{side}"], 6) if sums[f"units_{side}"] else None
        for side in ("before", "after")
    }
    return Truth(
        language=language,
        rows=len(units),
        before=round(rate(*before), 6) if some else None,
        after=round(rate(*after), 6) if some else None,
        gain=Interval(**gain_interval(before, after, samples, seed)) if some else None,
        **of_selected,
    )


def _truths(comparison: Comparison, seed: int) -> list[Truth]:
    reworded, selected = comparison.reworded, comparison.selected
    if not len(selected):
        return []
    samples = int(np.clip(2e8 / max(1, len(reworded)), 200, BOOTSTRAP))
    truths = [_truth(None, reworded, selected, samples, seed)]
    for code in selected["language"].sort():
        same = pl.col("language").eq_missing(pl.lit(code, pl.String))
        truths.append(_truth(code or "?", reworded.filter(same), selected.filter(same), samples, seed))
    return truths


def build_report(
    comparison: Comparison, before: Side, after: Side, filters: dict[str, Any], seed: int = 1
) -> DiffReport:
    """Return rates and intervals of what was counted. seed: of the intervals."""
    counts = comparison.counts
    languages = [
        _counts(counts.filter(pl.col("language").eq_missing(pl.lit(code, pl.String))), code or "?")
        for code in counts["language"]
    ]
    return DiffReport(
        before=before,
        after=after,
        filters=filters,
        total=_counts(counts, None),
        languages=languages,
        truth=_truths(comparison, seed),
        rows=changed_rows(comparison),
    )
