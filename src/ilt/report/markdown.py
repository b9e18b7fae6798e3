"""The report as GitHub-flavoured Markdown, for a pull request; its pictures lie beside it."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from ilt.evaluation.comparison.phrases import spans_of
from ilt.evaluation.figures import interval, percent
from ilt.report.cost import spent, worth
from ilt.report.errors import ALL
from ilt.report.gather import Report, language_name
from ilt.report.page import WORTH, language_rows
from ilt.report.verdict import verdict_of
from ilt.tools.diff.text import cell, grid, isolated, marked_cell

__all__ = ["PICTURES", "to_markdown"]

PICTURES = {
    "errors": "Error over iterations",
    "languages": "Languages, on test (solid) and retention (dotted)",
    "cost": "Cost against gain",
    "fates": "Where the pool went",
    "quality": "How wrong labels truly are",
    "exact": "Precision of the selection: chosen labels without any error",
    "calibration": "Expected against true error on dev",
    "steps": "Error on dev and gold (trained on), and training loss, over the steps of each stage",
}
"""Which figures have a picture, in their order, and their headings."""

EXAMPLES = 5
"""Of each kind; the page has all."""


def _iterations(report: Report) -> list[str]:
    priced = report.price_per_hour is not None
    head = (
        *("iteration", "test", "dev", "retention", "gain on test [95 %]", "", "minutes"),
        *(["money"] if priced else []),
    )
    costs = {cost.iteration: cost for cost in report.costs}
    rows = []
    for name in report.order:
        entry = report.summary[name]
        gain = entry["gain_over_previous"]
        errors = [percent(entry[split]["micro"]) for split in ("test", "dev", "retention")]
        cost = costs.get(name)
        told = ["", "", "", *([""] if priced else [])]
        if cost is not None:
            said = "" if cost.passed else interval(gain)
            money = [] if cost.money is None else [f"{cost.money:,.2f}"]
            told = [said, WORTH[cost.kind], f"{cost.minutes:.1f}", *money]
        rows.append([cell(name), *errors, *told])
    return grid(head, rows, {0, 5})


def _languages(report: Report) -> list[str]:
    """On test, then on retention for languages that only that has."""
    passed = {cost.iteration for cost in report.passed}
    order = [cell(f"{name}, {WORTH['passed']}" if name in passed else name) for name in report.order]
    lines: list[str] = []
    for split, codes in (("test", report.languages), ("retention", report.watched)):
        head = ("language", *order, f"gain on {split} [95 %]", "")
        rows = [
            [
                cell(row["name"]),
                *map(percent, row["errors"]),
                interval(row["gain"]),
                WORTH[worth(row["gain"])],
            ]
            for row in language_rows(report, split, codes)
        ]
        if rows:
            lines += [*([""] if lines else []), *grid(head, rows, {0, len(head) - 1})]
    return lines


def _funnel(report: Report) -> list[str]:
    steps = ("pool", "flagged", "selected", "reworded", "used")
    ran = [cost.iteration for cost in report.ran]
    together = report.funnel.filter(pl.col("language") == ALL, pl.col("iteration").is_in(ran))
    head = ("iteration", "pool", "flagged", "selected", "corrected", "used")
    rows = together.select("iteration", *steps).rows()
    passed = [[cost.iteration, WORTH["passed"], *[""] * 4] for cost in report.passed]
    return grid(head, [[cell(str(value)) for value in row] for row in [*rows, *passed]], {0})


def _worst(report: Report) -> list[str]:
    rows = [
        [cell(row.id), cell(language_name(row.language)), f"{row.errors[-1][1]} of {row.units}",
         isolated(marked_cell(row.spans), row.language)]
        for row in report.worst[:EXAMPLES]
    ]  # fmt: skip
    return grid(("id", "language", "wrong", "said and heard"), rows, {0, 1, 3})


def _changed(report: Report) -> list[str]:
    rows = [
        [cell(row.id), cell(language_name(row.language or "")),
         isolated(marked_cell(spans_of(row)), row.language or ""),
         "" if row.reference is None else isolated(cell(row.reference), row.language or "")]
        for row in report.changed[:EXAMPLES]
    ]  # fmt: skip
    return grid(("id", "language", "before and after", "really said"), rows, {0, 1, 2, 3})


def to_markdown(report: Report, pictures: Sequence[str]) -> str:
    """The report; pictures: the names of those that are there. What comes from data is escaped."""
    verdict = verdict_of(report)
    said = [verdict.retention or "", verdict.languages, verdict.stop, *verdict.notes]
    tables = {"errors": _iterations, "languages": _languages, "fates": _funnel}
    lines = [f"## {cell(verdict.headline)}", ""]
    for sentence in filter(None, said):
        lines += [cell(sentence), ""]
    for name in pictures:
        lines += [f"### {PICTURES[name]}", "", f"![{PICTURES[name]}]({name}.png)", ""]
        if name in tables:
            lines += [*tables[name](report), ""]
    for heading, rows, table in (
        ("The worst test utterances", report.worst, _worst),
        ("The labels that changed most", report.changed, _changed),
    ):
        if rows:
            lines += [f"### {heading}", "", *table(report), ""]
    total = report.costs[-1]
    lines += [
        f"Error rates in %, gains in points. {cell(report.model)}, "
        f"{spent(total.total, total.total_money, computing=True)}; index.html has the sound, all "
        "examples and more figures."
    ]
    return "\n".join(lines) + "\n"
