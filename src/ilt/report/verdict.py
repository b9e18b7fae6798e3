"""Verdict: the meaning of the figures, in sentences."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count

import polars as pl

from ilt.evaluation.figures import interval, percent
from ilt.report.cost import gain_kind, spent
from ilt.report.errors import ALL
from ilt.report.forecast import how_it_did
from ilt.report.gather import Report, language_name

__all__ = ["Verdict", "verdict_of"]


@dataclass(frozen=True)
class Verdict:
    """Sentences at the top of the page.

    headline:  test error from the base to the last iteration, and its cost.
    kind:      `gain`, `loss` or `unclear`, of the whole.
    last:      the worth of the last iteration, None where it is the only one.
    retention: the error on the other domain, None where it is not measured.
    languages: the languages that clearly gained.
    stop:      advice on when to stop.
    notes:     warnings.
    """

    headline: str
    kind: str
    last: str | None
    retention: str | None
    languages: str
    stop: str
    notes: list[str]


def _listed(names: list[str]) -> str:
    """Return `a`, `a and b`, or `a, b and c`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else ""


def _headline(report: Report, kind: str) -> str:
    before, after = (percent(report.summary[name]["test"]["micro"]) for name in (report.order[0], report.last))
    gain, total = report.summary[report.last]["gain"], report.costs[-1]
    size = f"{100 * abs(gain['micro']):.1f} points"
    bounds = f"95 % interval {100 * gain['low']:+.1f} to {100 * gain['high']:+.1f}"
    change = {
        "gain": f"fell from {before} to {after} %, by {size} ({bounds})",
        "loss": f"rose from {before} to {after} %, by {size} ({bounds})",
        "unclear": f"went from {before} to {after} %, which may be chance "
        f"(gain {100 * gain['micro']:+.1f} points, {bounds})",
    }[kind]
    return f"Test error {change}, for {spent(total.total, total.total_money, computing=True)}."


def _last(report: Report) -> str | None:
    if len(report.ran) == 1:
        return None
    last = report.ran[-1]
    worth = {"gain": "was worth it", "loss": "made it worse", "unclear": "was not clearly worth it"}[last.kind]
    which = "The last iteration that ran" if report.skipped else "The last iteration"
    return f"{which}, {last.iteration}, {worth}: {interval(last.gain)} points for {spent(last.minutes)}."


def _next(report: Report) -> str:
    """Return the expected gain of one more iteration, and its cost: that of the last one that ran."""
    ran = report.ran
    last = ran[-1]
    if last.forecast is None:
        return ""
    price, gain, how = spent(last.minutes, last.money), last.forecast["gain"], last.forecast["how"]
    if gain is None:
        return f" One more costs about {price}. Its gain is {how}."
    record = how_it_did(
        [cost.iteration for cost in ran],
        [cost.forecast["gain"] if cost.forecast else None for cost in ran],
        [cost.gain["micro"] for cost in ran],
    )
    return (
        f" One more is expected to gain {100 * gain:+.1f} points for about {price}. This is a rule of thumb: {how}."
        + (f" How it did so far: {record}." if record else "")
    )


def _skipped(report: Report) -> str:
    by_reason: dict[str, list[str]] = {}
    for cost in report.skipped:
        by_reason.setdefault(cost.skipped or "", []).append(cost.iteration)
    return "".join(
        f" {_listed(names)} {'was' if len(names) == 1 else 'were'} skipped at no cost: {reason}."
        for reason, names in by_reason.items()
    )


def _together(gain: dict[str, float], several: bool) -> str:
    """Return the gain of one or several iterations, and its kind."""
    kind = {"gain": "which is clear", "loss": "which is clearly a loss", "unclear": "which may be chance"}
    return f"{interval(gain)} points{' together' if several else ''}, {kind[gain_kind(gain)]}"


def _last_clear(report: Report) -> str:
    """Name the last iteration that clearly gained, and sum up those after it."""
    costs = report.ran
    clear = [number for number, cost in enumerate(costs) if cost.kind == "gain"]
    if not clear:
        whole = report.gains_of_last[report.order[0]]
        if gain_kind(whole) == "gain":
            return f"No single iteration clearly gained, but they gained {_together(whole, len(costs) > 1)}."
        return "No iteration clearly gained: look at the labels before you spend more."
    best = clear[-1]
    name = costs[best].iteration
    if best == len(costs) - 1 and report.skipped:
        return f"{name} is the last iteration that ran, and it clearly gained."
    if best == len(costs) - 1:
        new = next(each for number in count(1) if (each := f"it{number}") not in report.order)
        return (
            f"{name} still clearly gained, so one more may pay: "
            f"dvc exp run -S '+iterations.{new}={{prev: {report.last}}}'."
        )
    after = costs[best + 1 :]
    money = None if after[0].money is None else sum(cost.money or 0.0 for cost in after)
    names = _listed([cost.iteration for cost in after])
    worse = [cost.iteration for cost in after if cost.kind == "loss"]
    return (
        f"{name} is the last iteration that clearly gained. {names}, which followed, took "
        f"{spent(sum(cost.minutes for cost in after), money)} and gained "
        f"{_together(report.gains_of_last[name], len(after) > 1)}."
        + (f" {_listed(worse)} made it worse." if worse else "")
    )


def _languages(report: Report) -> str:
    test = report.gains.filter(pl.col("split") == "test", pl.col("language") != ALL)
    kinds = {row["language"]: gain_kind(row) for row in test.iter_rows(named=True)}
    sure = sum(kind == "gain" for kind in kinds.values())
    worse = [language_name(code) for code, kind in kinds.items() if kind == "loss"]
    unclear = [language_name(code) for code, kind in kinds.items() if kind == "unclear"]
    every = f"All {len(kinds)} languages" if len(kinds) > 1 else language_name(next(iter(kinds)))
    who = {0: "No language", len(kinds): every}.get(sure, f"{sure} of {len(kinds)} languages")
    sentence = f"{who} clearly gained"
    if sure:
        gained = [row for row in test.sort("micro").iter_rows(named=True) if kinds[row["language"]] == "gain"]
        ends = [f"{100 * row['micro']:+.1f} ({language_name(row['language'])})" for row in (gained[0], gained[-1])]
        sentence += f", from {ends[0]} to {ends[1]} points" if sure > 1 else f", by {ends[0]} points"
    if unclear and sure:
        sentence += f"; not clear: {_listed(unclear)}"
    return sentence + (f"; worse: {_listed(worse)}." if worse else "; none got worse." if unclear else ".")


def _retention(report: Report) -> str | None:
    rows = report.gains.filter(pl.col("split") == "retention", pl.col("language") == ALL)
    if not len(rows):
        return None
    row = rows.row(0, named=True)
    kind = gain_kind(row)
    change = {"gain": "fell", "loss": "rose", "unclear": "went"}[kind]
    chance = ", which may be chance" if kind == "unclear" and row["micro"] else ""
    return (
        f"On the domain that the base comes from (retention), error {change} from "
        f"{percent(row['before'])} to {percent(row['after'])} % (gain {interval(row)}){chance}."
    )


def _notes(report: Report) -> list[str]:
    notes = []
    best = min(report.order, key=lambda name: report.summary[name]["dev"]["micro"])
    if report.summary[best]["dev"]["micro"] < report.summary[report.last]["dev"]["micro"]:
        rates = [percent(report.summary[name]["dev"]["micro"]) for name in (best, report.last)]
        notes.append(
            f"On dev, {best} is better than {report.last} ({rates[0]} against {rates[1]} %): consider keeping {best}."
        )
    for code in report.languages:
        scored = report.errors.filter(pl.col("split") == "test", pl.col("language") == code)["iteration"]
        lacking = [name for name in report.order if name not in scored]
        if not lacking:
            continue
        since = report.order[report.order.index(lacking[-1]) + 1]
        notes.append(
            f"{language_name(code)} was added with {since}: error rates of all languages before do not include "
            "it, and gains compare the utterances that both models were scored on."
        )
    if report.settings.mode != "merge_and_reset":
        notes.append(f"This is a control arm: adapter.mode is {report.settings.mode}.")
    return notes


def verdict_of(report: Report) -> Verdict:
    """Return the verdict, from the gain on test and its interval."""
    kind = gain_kind(report.summary[report.last]["gain"])
    return Verdict(
        headline=_headline(report, kind),
        kind=kind,
        last=_last(report),
        retention=_retention(report),
        languages=_languages(report),
        stop=_last_clear(report) + _skipped(report) + _next(report),
        notes=_notes(report),
    )
