"""What the figures mean, in sentences."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count

import polars as pl

from ilt.evaluation.figures import interval, percent
from ilt.report.cost import Cost, spent, worth
from ilt.report.errors import ALL
from ilt.report.forecast import how_it_did
from ilt.report.gather import Report, language_name

__all__ = ["Verdict", "listed", "verdict_of"]


@dataclass(frozen=True)
class Verdict:
    """headline: base to last, what it cost, whether the last iteration was worth it; in one sentence.

    kind:      `gain`, `loss` or `unclear`, of the whole.
    retention: what happened to the other domain, None where it is not measured.
    languages: which of them gained for sure.
    stop:      where one would stop; notes: what the reader ought to know beside it.
    """

    headline: str
    kind: str
    retention: str | None
    languages: str
    stop: str
    notes: list[str]


def listed(names: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else ""


def _headline(report: Report, kind: str, total: Cost, last: Cost) -> str:
    before, after = (report.summary[name]["test"]["micro"] for name in (report.order[0], report.last))
    gain = report.summary[report.last]["gain"]
    price = spent(total.total, total.total_money, computing=True)
    bounds = f"95 % interval {100 * gain['low']:+.1f} to {100 * gain['high']:+.1f}"
    size = f"{100 * abs(gain['micro']):.1f} points"
    way = f"from {percent(before)} to {percent(after)} %"
    said = {
        "gain": f"Test error fell {way}, by {size} ({bounds}), for {price}",
        "loss": f"Test error rose {way}, by {size} ({bounds}), for {price}",
        "unclear": f"Test error went {way}, which may be chance (gain {100 * gain['micro']:+.1f} points, "
        f"{bounds}), for {price}",
    }[kind]
    if len(report.ran) == 1:
        return f"{said}."
    word = {"gain": "was worth it", "loss": "made it worse", "unclear": "was not clearly worth it"}
    told = f"{word[last.kind]}: {interval(last.gain)} for {spent(last.minutes)}"
    which = "the last iteration that was run" if report.passed else "the last iteration"
    return f"{said}; {which}, {last.iteration}, {told}."


def _next(report: Report) -> str:
    """What one more iteration is expected to gain, and to cost: as much as the last that was run."""
    ran = report.ran
    last = ran[-1]
    if last.expected is None:
        return ""
    price, gain, how = spent(last.minutes, last.money), last.expected["gain"], last.expected["how"]
    if gain is None:
        return f" One more costs about {price}; what it gains is {how}."
    before = how_it_did(
        [cost.iteration for cost in ran],
        [cost.expected["gain"] if cost.expected else None for cost in ran],
        [cost.gain["micro"] for cost in ran],
    )
    return f" One more is expected to gain {100 * gain:+.1f} points for about {price} ({how}); a rule of thumb" + (
        f": {before}." if before else "."
    )


def _passed(report: Report) -> str:
    if not report.passed:
        return ""
    by_reason: dict[str, list[str]] = {}
    for cost in report.passed:
        by_reason.setdefault(cost.passed or "", []).append(cost.iteration)
    return "".join(f" {listed(names)} passed the model through at no cost: {why}." for why, names in by_reason.items())


def _stop(report: Report) -> str:
    return _last_clear(report) + _passed(report) + _next(report)


def _gained(gain: dict[str, float], together: bool) -> str:
    """What iterations gained, and how sure that is."""
    sure = {"gain": "which is clear", "loss": "which is clearly a loss", "unclear": "which may be chance"}
    return f"{interval(gain)} points{' together' if together else ''}, {sure[worth(gain)]}"


def _last_clear(report: Report) -> str:
    costs = report.ran
    clear = [number for number, cost in enumerate(costs) if cost.kind == "gain"]
    if not clear:
        whole = report.last_over[report.order[0]]
        alone = "No iteration by itself has a gain that is clear of 0"
        if worth(whole) == "gain":
            return f"{alone}; they gained {_gained(whole, len(costs) > 1)}."
        return f"{alone}: look at the labels before you spend more."
    best = clear[-1]
    if best == len(costs) - 1 and report.passed:
        return f"{costs[best].iteration} is the last iteration that was run, and its gain is clear of 0."
    if best == len(costs) - 1:
        name = next(each for number in count(1) if (each := f"it{number}") not in report.order)
        return (
            f"{costs[best].iteration} still gained for sure, so one more may pay: "
            f"dvc exp run -S '+iterations.{name}={{prev: {report.last}}}'."
        )
    after = costs[best + 1 :]
    money = None if after[0].money is None else sum(cost.money or 0.0 for cost in after)
    names = listed([cost.iteration for cost in after])
    worse = [cost.iteration for cost in after if cost.kind == "loss"]
    return (
        f"{costs[best].iteration} is the last iteration whose own gain is clear of 0; what came after it "
        f"({names}) took {spent(sum(cost.minutes for cost in after), money)} and gained "
        f"{_gained(report.last_over[costs[best].iteration], len(after) > 1)}"
        + (f"; {listed(worse)} made it worse." if worse else ".")
    )


def _languages(report: Report) -> str:
    test = report.gains.filter(pl.col("split") == "test", pl.col("language") != ALL)
    kinds = {row["language"]: worth(row) for row in test.iter_rows(named=True)}
    sure = sum(kind == "gain" for kind in kinds.values())
    lost = [language_name(code) for code, kind in kinds.items() if kind == "loss"]
    unclear = [language_name(code) for code, kind in kinds.items() if kind == "unclear"]
    said = {0: "No language gained for sure", len(kinds): f"All {len(kinds)} languages gained for sure"}.get(
        sure, f"{sure} of {len(kinds)} languages gained for sure"
    )
    if sure:
        gained = [row for row in test.sort("micro").iter_rows(named=True) if kinds[row["language"]] == "gain"]
        ends = [f"{100 * row['micro']:+.1f} ({language_name(row['language'])})" for row in (gained[0], gained[-1])]
        said += f", from {ends[0]} to {ends[1]} points" if sure > 1 else f", by {ends[0]} points"
    if unclear and sure:
        said += f"; not clear: {listed(unclear)}"
    return said + (f"; worse: {listed(lost)}." if lost else "; none got worse." if unclear else ".")


def _retention(report: Report) -> str | None:
    found = report.gains.filter(pl.col("split") == "retention", pl.col("language") == ALL)
    if not len(found):
        return None
    row = found.row(0, named=True)
    change = {"gain": "fell", "loss": "rose", "unclear": "went"}[worth(row)]
    chance = ", which may be chance" if worth(row) == "unclear" and row["micro"] else ""
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
        heard = report.errors.filter(pl.col("split") == "test", pl.col("language") == code)["iteration"]
        lacking = [name for name in report.order if name not in heard]
        if not lacking:
            continue
        since = report.order[report.order.index(lacking[-1]) + 1]
        notes.append(
            f"{language_name(code)} was added with {since}: error rates of all languages before do not have "
            "it, and gains compare what both models were scored on."
        )
    if report.mode != "merge_and_reset":
        notes.append(f"This is a control arm: adapter.mode is {report.mode}.")
    return notes


def verdict_of(report: Report) -> Verdict:
    """The verdict, from the gain on test and its interval."""
    kind = worth(report.summary[report.last]["gain"])
    return Verdict(
        headline=_headline(report, kind, report.costs[-1], report.ran[-1]),
        kind=kind,
        retention=_retention(report),
        languages=_languages(report),
        stop=_stop(report),
        notes=_notes(report),
    )
