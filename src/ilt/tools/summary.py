"""`ilt summary`: error rates, gains and costs of the iterations that ran."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ilt import paths
from ilt.evaluation.figures import interval, percent

if TYPE_CHECKING:
    from rich.table import Table

    from ilt.report.summary import SoFar

__all__ = ["summary"]

TITLE = "Error rates in % (WER; CER for ko and the like); gain is on test, over the iteration before"
COLUMNS = ("test", "macro", "dev", "retention", "gain [95 %]", "gap", "pool labels", "selected", "share", "corrected")
LABEL_FIGURES = ("pool_error", "selected_error", "selected_share", "corrected_error")
"""Figures of the last four columns."""

Entries = dict[str, Any]
"""The content of data/metrics/summary.json: scores by iteration, the base first."""


def summary(
    languages: Annotated[
        bool, typer.Option(help="Also show the error of each language, on test and retention.")
    ] = False,
) -> None:
    """Show the iterations: error rates, gains and the quality of the labels, in percent.

    While `dvc repro` runs: those that are finished, what they cost and what one more may gain.
    """
    from ilt.escapes import visible
    from ilt.report.summary import so_far
    from ilt.tools.marks import plain_console

    run = so_far()
    if run is None and not paths.SUMMARY.is_file():
        print(f"ERROR: {paths.SUMMARY} is missing; run `dvc repro` first", file=sys.stderr)
        raise typer.Exit(1)
    # Git keeps the summary, DVC's cache what it is made of: a clone may have the former alone.
    entries: Entries = run.summary if run else paths.read_json(paths.SUMMARY, "base")
    console = plain_console()
    console.print(_iterations(entries))
    for line in _notes(entries, run):
        console.print(visible(line))
    for split in ("test", "retention") if languages else ():
        if any(entry[split]["by_language"] for entry in entries.values()):
            console.print(f"{split.capitalize()} error in % by language")  # a title would be wrapped
            console.print(_by_language(entries, split))


def _iterations(entries: Entries) -> Table:
    from rich.table import Table

    table = Table(title=TITLE)
    table.add_column("iteration", no_wrap=True)
    for name in COLUMNS:
        table.add_column(name, justify="right", no_wrap=True)
    for name, entry in entries.items():
        labels = entry["labels"]
        gain = "skipped" if "skipped" in entry else interval(entry["gain_over_previous"])
        figures = (
            entry["test"]["micro"], entry["test"]["macro"], entry["dev"]["micro"], entry["retention"]["micro"],
            entry["train_dev_gap"], *(labels.get(key) for key in LABEL_FIGURES),
        )  # fmt: skip
        cells = [percent(value) for value in figures]
        table.add_row(name, *cells[:4], "" if name == "base" else gain, *cells[4:])
    return table


def _by_language(entries: Entries, split: str) -> Table:
    from rich.table import Table

    codes = sorted({code for entry in entries.values() for code in entry[split]["by_language"]})
    table = Table("iteration")
    for code in codes:
        table.add_column(code, justify="right")
    for name, entry in entries.items():
        rates = entry[split]["by_language"]
        mark = " (skipped)" if "skipped" in entry else ""
        table.add_row(name + mark, *(percent(rates.get(code)) for code in codes))
    return table


def _notes(entries: Entries, run: SoFar | None) -> list[str]:
    """Return the lines below the table: what was skipped, the forecast, costs, the gain, what has not run."""
    last = list(entries)[-1]
    lines = [f"{name}: skipped, {entry['skipped']}" for name, entry in entries.items() if "skipped" in entry]
    lines += [*_forecast(entries), *_costs(entries, run)]
    if last != "base":
        lines.append(f"{last} over the base, on test: {interval(entries[last]['gain'])} points")
    if run and run.rest:
        lines.append(f"not run yet with these parameters: {', '.join(run.rest)}")
    return lines


def _forecast(entries: Entries) -> list[str]:
    """Return what one more iteration may gain, and how the rule did for the iterations before."""
    from ilt.report.forecast import how_it_did

    ran = [name for name, entry in entries.items() if "expected_next" in entry]
    if not ran:
        return []
    expected = [entries[name]["expected_next"]["gain"] for name in ran]
    rule = entries[ran[-1]]["expected_next"]["how"]
    if expected[-1] is None:
        return [f"one more iteration: {rule}"]
    record = how_it_did(ran, expected, [entries[name]["gain_over_previous"]["micro"] for name in ran])
    line = f"one more iteration: perhaps {100 * expected[-1]:+.1f} points ({rule})"
    return [line, f"how that rule did so far: {record}"] if record else [line]


def _costs(entries: Entries, run: SoFar | None) -> list[str]:
    """Return what each iteration cost; nothing where that is not known."""
    from ilt.report.cost import costs_of, spent

    path = paths.METRICS / "costs.json"
    if len(entries) < 2 or (run is None and not path.is_file()):
        return []
    seconds, price = (run.costs, run.price_per_hour) if run else (paths.read_json(path), None)
    costs = costs_of(seconds, entries, price)
    each = ", ".join(f"{cost.iteration} {spent(cost.minutes, cost.money)}" for cost in costs)
    return [f"computing: {each}; together {spent(costs[-1].total, costs[-1].total_money)}"]
