"""The report of a diff: what is counted, what moved, and whether labels became truer. Also its JSON form."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from ilt.evaluation.comparison.compare import KINDS, Comparison
from ilt.evaluation.scoring import gain_interval, rate

__all__ = ["SCHEMA", "Counts", "DiffReport", "Interval", "Label", "Row", "Side", "Truth", "build_report"]

SCHEMA = "ilt.tools.diff/1"
"""Name and version of the JSON form; the version changes when a field is removed or means something else."""

BOOTSTRAP = 2000


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Side(_Model):
    """One of the two tables."""

    name: str = Field(description="what was asked for, such as it1 or it2:selected")
    revision: str | None = Field(description="git revision or name of an experiment; null: the workspace")
    path: str = Field(description="the table's path in the repository, or the file that was given")
    rows: int


class Counts(_Model):
    """What changed in one language, or in all together."""

    language: str | None = Field(description="language of the rows; null for all together")
    rows_before: int
    rows_after: int
    added: int = Field(description="rows that only the table after has")
    missing: int = Field(description="rows that only the table before has")
    reworded: int = Field(description="rows in both whose text differs")
    redecided: int = Field(description="rows in both whose `selected` differs")
    taken_in: int = Field(description="of the re-decided: selected after and not before")
    skipped: int = Field(description="of the re-decided: selected before and not after")
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


class Label(_Model):
    """What a table says of a row."""

    text: str | None
    source: str | None
    selected: bool | None
    reason: str | None
    expected_error: float | None


class Row(_Model):
    """One changed row."""

    id: str
    language: str | None
    split: str | None
    changes: list[str] = Field(description=f"of {', '.join(KINDS)}")
    moved: float = Field(description="edits over units of the text before, at most 1")
    before: Label | None = Field(description="null for an added row")
    after: Label | None = Field(description="null for a missing row")
    reference: str | None = None
    true_error_before: float | None = Field(default=None, description="at most 1")
    true_error_after: float | None = None


class DiffReport(_Model):
    """All that a diff has to say."""

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
        return self.total.changed > 0

    def values(self) -> dict[str, float]:
        """What `--fail-over` can speak of."""
        numbers = {key: value for key, value in self.total.model_dump().items() if key != "language"}
        if self.truth:
            all_ = self.truth[0]
            numbers |= {
                "true_error_before": all_.before,
                "true_error_after": all_.after,
                "selected_error_before": all_.selected_before,
                "selected_error_after": all_.selected_after,
                "gain": all_.gain.micro if all_.gain else None,
            }
        return {key: float(value) for key, value in numbers.items() if value is not None}


def _counts(frame: pl.DataFrame, language: str | None) -> Counts:
    """`frame`: rows of `Comparison.counts` that are to be summed."""
    sums: dict[str, Any] = {name: frame[name].sum() for name in frame.columns if name != "language"}

    def share(over: str, under: str) -> float | None:
        return round(sums[over] / sums[under], 6) if sums.get(under) else None

    return Counts(
        language=language,
        **{name: int(sums.get(name, 0)) for name in (
            "rows_before", "rows_after", *KINDS, "taken_in", "skipped", "changed",
            "selected_before", "selected_after",
        )},
        churn=share("changed", "union") or 0.0,
        moved=share("edits", "units"),
        expected_error_before=share("expected_before", "expected_rows_before"),
        expected_error_after=share("expected_after", "expected_rows_after"),
    )  # fmt: skip


def _truths(found: Comparison, seed: int) -> list[Truth]:
    if not len(found.chosen):
        return []
    truth = found.truth
    before, after, units = (np.concatenate(part) for part in (truth.before, truth.after, truth.units))
    codes = pl.concat(truth.languages)
    samples = int(np.clip(2e8 / max(1, len(units)), 200, BOOTSTRAP))
    result = []
    parts: list[tuple[str | None, np.ndarray, pl.DataFrame]]
    parts = [(None, np.ones(len(units), bool), found.chosen)]
    for code in found.chosen["language"].sort():
        same = codes.is_null() if code is None else codes == code
        chosen = found.chosen.filter(pl.col("language").eq_missing(pl.lit(code)))
        parts.append((code or "?", same.fill_null(value=False).to_numpy(), chosen))
    for language, here, chosen in parts:
        one, other = (before[here], units[here]), (after[here], units[here])
        sums = {name: int(chosen[name].sum()) for name in chosen.columns if name != "language"}
        some = bool(here.any())
        result.append(
            Truth(
                language=language,
                rows=int(here.sum()),
                before=round(rate(*one), 6) if some else None,
                after=round(rate(*other), 6) if some else None,
                gain=Interval(**gain_interval(one, other, samples, seed)) if some else None,
                **{
                    f"selected_{side}": round(sums[f"errors_{side}"] / sums[f"units_{side}"], 6)
                    if sums[f"units_{side}"]
                    else None
                    for side in ("before", "after")
                },
            )
        )
    return result


def _label(row: dict[str, Any], side: str) -> Label | None:
    if not row[f"here_{side}"]:
        return None
    return Label(**{name: row[f"{name}_{side}"] for name in Label.model_fields})


def _row(row: dict[str, Any]) -> Row:
    units = max(1, row.get("units") or 0)
    errors = {side: row.get(f"errors_{side}") for side in ("before", "after")}
    return Row(
        id=row["id"],
        language=row["language"],
        split=row["split"],
        changes=[kind for kind in KINDS if row[kind]],
        moved=round(row["moved"], 6),
        before=_label(row, "before"),
        after=_label(row, "after"),
        reference=row.get("reference"),
        **{
            f"true_error_{side}": None
            if error is None or not row[f"here_{side}"]
            else round(min(1.0, error / units), 6)
            for side, error in errors.items()
        },
    )


def build_report(found: Comparison, before: Side, after: Side, filters: dict[str, Any], seed: int = 1) -> DiffReport:
    """Rates and intervals from what was counted."""
    by_language = [
        _counts(found.counts.filter(pl.col("language").eq_missing(code)), code or "?")
        for code in found.counts["language"].to_list()
    ]
    return DiffReport(
        before=before,
        after=after,
        filters=filters,
        total=_counts(found.counts, None),
        languages=by_language,
        truth=_truths(found, seed),
        rows=[_row(row) for row in found.rows.iter_rows(named=True)],
    )
