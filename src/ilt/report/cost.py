"""Cost and gain of each iteration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ilt.params import TRAINING_STAGES

__all__ = ["Cost", "costs_of", "gain_kind", "spent"]

_KINDS = dict.fromkeys(TRAINING_STAGES, "training") | dict.fromkeys(("label", "correct"), "labelling")
"""Kind of work by stage; of all other stages it is `other`."""


@dataclass(frozen=True)
class Cost:
    """Cost and gain of one iteration.

    minutes:  of all its stages; minutes_of: the same by kind of work; total: of all iterations so far.
    money, total_money: at the declared price per hour, None where there is none.
    gain:     on test over the iteration before, a fraction, with `low` and `high` of its 95 % interval.
    skipped:  the reason, None where the iteration ran.
    forecast: the gain that one more iteration after it was expected to have: see `ilt.report.forecast`.
              None where the iteration was skipped.
    """

    iteration: str
    minutes: float
    minutes_of: dict[str, float]
    total: float
    money: float | None
    total_money: float | None
    gain: dict[str, float]
    skipped: str | None = None
    forecast: dict[str, Any] | None = None

    @property
    def kind(self) -> str:
        """`gain`, `loss`, `unclear`, or `skipped`."""
        return "skipped" if self.skipped else gain_kind(self.gain)


def costs_of(costs: dict[str, dict[str, Any]], summary: dict[str, Any], price_per_hour: float | None) -> list[Cost]:
    """Return the cost of each iteration. The corpus and the base are no part of adapting it, and are not counted.

    costs: by iteration and stage, `seconds` and more, as in data/metrics/costs.json. summary: as in summary.json.
    """
    result, total = [], 0.0
    for iteration in [name for name in summary if name != "base"]:
        kinds = dict.fromkeys(("training", "labelling", "other"), 0.0)
        for stage, entry in costs.get(iteration, {}).items():
            kinds[_KINDS.get(stage, "other")] += float(entry["seconds"]) / 60
        minutes = sum(kinds.values())
        total += minutes
        money = [None if price_per_hour is None else part / 60 * price_per_hour for part in (minutes, total)]
        entry = summary[iteration]
        result.append(
            Cost(
                iteration, minutes, kinds, total, money[0], money[1],
                gain=entry["gain_over_previous"], skipped=entry.get("skipped"), forecast=entry.get("expected_next"),
            )
        )  # fmt: skip
    return result


def spent(minutes: float, money: float | None = None, computing: bool = False) -> str:
    """Return computing time, and money where a price was declared, as text: `6.0 minutes of computing`."""
    if minutes < 1:
        time = f"{60 * minutes:.0f} seconds"
    elif minutes < 120:
        time = f"{minutes:.1f} minutes"
    else:
        time = f"{minutes / 60:.1f} hours"
    priced = "" if money is None else f" ({money:,.2f} at the declared price)"
    return time + (" of computing" if computing else "") + priced


def gain_kind(gain: dict[str, float]) -> str:
    """Return `gain`, `loss`, or `unclear` where the interval holds 0."""
    return "gain" if gain["low"] > 0 else "loss" if gain["high"] < 0 else "unclear"
