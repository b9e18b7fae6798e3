"""Sentences and table of a diff, the same in all forms of output."""

from __future__ import annotations

from ilt.evaluation.comparison.changes import Row
from ilt.evaluation.figures import interval, percent
from ilt.tools.diff.report import Counts, DiffReport, Side, Truth

__all__ = ["NOTE", "decision", "headline", "remaining", "table_of", "truth_line"]

HEADINGS = (
    "language",
    "rows",
    "added",
    "missing",
    "re-worded",
    "moved",
    "taken in",
    "dropped",
    "re-sourced",
    "churn",
    "expected error",
    "true error",
)
"""Columns of the table by language."""

NOTE = "moved, churn and errors in %; errors of selected rows, gold apart"
"""What the columns hold."""


def _arrow(before: object, after: object) -> str:
    """Return `a → b`, or one of them where they are equal or the other is missing."""
    one, other = ("" if value is None else str(value) for value in (before, after))
    if one == other or not other:
        return one
    return f"{one} → {other}" if one else other


def _side(side: Side) -> str:
    return f"{side.name} of {side.revision}" if side.revision else side.name


def headline(report: DiffReport) -> str:
    """Return the names of both tables and the number of rows that differ."""
    total = report.total
    union = total.rows_before + total.added
    what = (
        f"{total.changed} of {union} rows differ ({percent(total.churn)} %)"
        if report.different
        else f"no difference in {union} rows"
    )
    return f"{_side(report.before)} → {_side(report.after)}: {what}"


def table_of(report: DiffReport) -> tuple[list[str], list[list[str]]]:
    """Return head and cells of the table by language, all together first, without columns that are empty."""
    truths = {truth.language: truth for truth in report.truth}
    rows = [_cells(counts, truths.get(counts.language)) for counts in (report.total, *report.languages)]
    used = [at for at in range(len(HEADINGS)) if any(row[at] for row in rows)]
    return [HEADINGS[at] for at in used], [[row[at] for at in used] for row in rows]


def _cells(counts: Counts, truth: Truth | None) -> tuple[str, ...]:
    return (
        counts.language or "all",
        _arrow(counts.rows_before, counts.rows_after),
        *(str(value or "") for value in (counts.added, counts.missing, counts.reworded)),
        percent(counts.moved),
        *(str(value or "") for value in (counts.taken_in, counts.dropped, counts.resourced)),
        percent(counts.churn),
        _arrow(percent(counts.expected_error_before), percent(counts.expected_error_after)),
        _arrow(percent(truth.selected_before), percent(truth.selected_after)) if truth else "",
    )


def truth_line(report: DiffReport) -> str:
    """Return a sentence on whether the changes made labels truer."""
    if not report.truth:
        return "Nothing has a reference, so it is not known whether labels became truer."
    truth = report.truth[0]
    if not report.total.reworded:
        return "No row was re-worded."
    if truth.gain is None:
        return "No re-worded row has a reference."
    gain = truth.gain
    word = "truer" if gain.low > 0 else "worse" if gain.high < 0 else "neither clearly truer nor worse"
    return (
        f"{truth.rows} re-worded rows with a reference: {percent(truth.before)} → {percent(truth.after)} % "
        f"wrong; labels are {word}: gain {interval(gain.model_dump())} points"
    )


def decision(row: Row) -> str:
    """Return decision and source of a row, before and after, where they differ or one table lacks the row."""
    before, after = row.before, row.after
    if before is None or after is None:
        label = after or before
        side = "only after" if before is None else "only before"
        return f"{side}: {label.reason or label.source or ''}" if label else side
    changes = []
    if "redecided" in row.changes:
        changes.append(_arrow(before.reason or _kept(before.selected), after.reason or _kept(after.selected)))
    if "resourced" in row.changes:
        changes.append(_arrow(before.source or "no source", after.source or "no source"))
    return "; ".join(changes)


def _kept(selected: bool | None) -> str:
    return {True: "kept", False: "dropped", None: "undecided"}[selected]


def remaining(report: DiffReport) -> str:
    """Return how many changed rows are not shown; an empty text where all are."""
    more = report.total.changed - len(report.rows)
    return f"... and {more} more changed rows (--limit 0 shows all)" if more > 0 else ""
