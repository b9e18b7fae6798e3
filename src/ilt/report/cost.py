"""What each iteration cost and what it gained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["KINDS", "Cost", "costs_of", "spent", "worth"]

KINDS = {
    "training": ("focus", "feedback", "fix"),
    "labelling": ("label", "correct"),
    "other": ("select", "evaluate"),
}
"""Stages by what they do."""


@dataclass(frozen=True)
class Cost:
    """One iteration. minutes: of all its stages, by kind in `minutes_of`; total: of all iterations so far.

    money, total_money: at the declared price per hour, None where there is none.
    gain: on test over the iteration before, a fraction, with `low` and `high` of its 95 % interval.
    passed: why it was not run but passed the model of the one before through, None where it was run.
    expected: what one more iteration after it was expected to gain: `gain` (None where nothing is known yet)
    and `how`, see `ilt.report.forecast`; None where it was not run.
    """

    iteration: str
    minutes: float
    minutes_of: dict[str, float]
    total: float
    money: float | None
    total_money: float | None
    gain: dict[str, float]
    passed: str | None = None
    expected: dict[str, Any] | None = None

    @property
    def kind(self) -> str:
        """`gain`, `loss`, `unclear`, or `passed` where nothing was tried."""
        return "passed" if self.passed else worth(self.gain)


def costs_of(costs: dict[str, dict[str, Any]], summary: dict[str, Any], price_per_hour: float | None) -> list[Cost]:
    """The costs of each iteration; those of the corpus and of scoring the base are not part of adapting it.

    costs: by iteration and stage, `seconds` and more, as in data/metrics/costs.json.
    """
    result, total = [], 0.0
    for iteration in [name for name in summary if name != "base"]:
        seconds = {stage: float(entry["seconds"]) for stage, entry in costs.get(iteration, {}).items()}
        kinds = {kind: sum(seconds.get(stage, 0.0) for stage in stages) / 60 for kind, stages in KINDS.items()}
        minutes = sum(seconds.values()) / 60
        total += minutes
        money = [None if price_per_hour is None else spent / 60 * price_per_hour for spent in (minutes, total)]
        entry = summary[iteration]
        told = entry["gain_over_previous"], entry.get("skipped"), entry.get("expected_next")
        result.append(Cost(iteration, minutes, kinds, total, money[0], money[1], *told))
    return result


def spent(minutes: float, money: float | None = None, computing: bool = False) -> str:
    """Computing time, and money where a price was declared, as people say it."""
    priced = "" if money is None else f" ({money:,.2f} at the declared price)"
    if minutes < 1:
        said = f"{60 * minutes:.0f} seconds"
    elif minutes < 120:
        said = f"{minutes:.1f} minutes"
    else:
        said = f"{minutes / 60:.1f} hours"
    return said + (" of computing" if computing else "") + priced


def worth(gain: dict[str, float]) -> str:
    """Whether a gain is one: `gain`, `loss`, or `unclear` where the interval holds 0."""
    return "gain" if gain["low"] > 0 else "loss" if gain["high"] < 0 else "unclear"
