"""What every rendering of a diff says in the same words."""

from __future__ import annotations

from ilt.evaluation.comparison.changes import Counts, DiffReport, Row, Side, Truth
from ilt.evaluation.figures import percent
from ilt.evaluation.highlight import diff_spans

__all__ = [
    "HEADINGS",
    "arrow",
    "decision",
    "headline",
    "remaining",
    "spans_of",
    "table_of",
    "truth_lines",
]

HEADINGS = (
    "language",
    "rows",
    "added",
    "missing",
    "re-worded",
    "moved",
    "taken in",
    "left out",
    "re-sourced",
    "churn",
    "expected error",
    "true error",
)
"""Columns of the table by language. moved, churn and errors in percent; errors are those of selected rows."""


def arrow(before: object, after: object) -> str:
    """`a → b`, or one of them where they are equal or the other is missing."""
    one, other = ("" if value is None else str(value) for value in (before, after))
    if one == other or not other:
        return one
    return f"{one} → {other}" if one else other


def _side(side: Side) -> str:
    return f"{side.name} of {side.revision}" if side.revision else side.name


def headline(report: DiffReport) -> str:
    """Both tables, and whether there is a difference."""
    total = report.total
    union = total.rows_before + total.added
    what = (
        f"{total.changed} of {union} rows differ ({percent(total.churn)} %)"
        if report.different
        else f"no difference in {union} rows"
    )
    return f"{_side(report.before)} → {_side(report.after)}: {what}"


def table_of(report: DiffReport) -> tuple[list[str], list[list[str]]]:
    """Head and cells of the table by language, all together first; columns that say nothing are left out."""
    truths = {truth.language: truth for truth in report.truth}
    rows = [_cells(counts, truths.get(counts.language)) for counts in (report.total, *report.languages)]
    used = [at for at in range(len(HEADINGS)) if any(row[at] for row in rows)]
    return [HEADINGS[at] for at in used], [[row[at] for at in used] for row in rows]


def _cells(counts: Counts, truth: Truth | None) -> tuple[str, ...]:
    return (
        counts.language or "all",
        arrow(counts.rows_before, counts.rows_after),
        *(str(value or "") for value in (counts.added, counts.missing, counts.reworded)),
        percent(counts.moved),
        *(str(value or "") for value in (counts.taken_in, counts.skipped, counts.resourced)),
        percent(counts.churn),
        arrow(percent(counts.expected_error_before), percent(counts.expected_error_after)),
        arrow(percent(truth.selected_before), percent(truth.selected_after)) if truth else "",
    )


def truth_lines(report: DiffReport) -> list[str]:
    """Whether the changes made labels truer."""
    if not report.truth:
        return ["No references here, so nobody can say whether labels became truer."]
    truth = report.truth[0]
    if not report.total.reworded:
        return ["No row was re-worded."]
    if truth.gain is None:
        return ["No re-worded row has a reference."]
    gain = truth.gain
    word = "truer" if gain.low > 0 else "worse" if gain.high < 0 else "neither surely truer nor worse"
    return [
        f"{truth.rows} re-worded rows with a reference: {percent(truth.before)} → {percent(truth.after)} % "
        f"wrong; labels are {word}: gain {100 * gain.micro:+.1f} points "
        f"[{100 * gain.low:+.1f}, {100 * gain.high:+.1f}]"
    ]


def spans_of(row: Row) -> list[tuple[str, str]]:
    """What changed in the text of a row, as `diff_spans` has it."""
    before, after = ((side.text or "") if side else "" for side in (row.before, row.after))
    return diff_spans(before, after, row.language or "")


def decision(row: Row) -> str:
    """Decision and source of a row, before and after, where they differ or the row is in one table only."""
    one, other = row.before, row.after
    if one is None or other is None:
        label = other or one
        what = "only after" if one is None else "only before"
        return f"{what}: {label.reason or label.source or ''}" if label else what
    said = []
    if "redecided" in row.changes:
        said.append(arrow(one.reason or _kept(one.selected), other.reason or _kept(other.selected)))
    if "resourced" in row.changes:
        said.append(arrow(one.source or "no source", other.source or "no source"))
    return "; ".join(said)


def _kept(selected: bool | None) -> str:
    return {True: "kept", False: "dropped", None: "undecided"}[selected]


def remaining(report: DiffReport) -> str:
    """How many changed rows are not shown, or nothing."""
    more = report.total.changed - len(report.rows)
    return f"... and {more} more changed rows (--limit 0 shows all)" if more > 0 else ""
