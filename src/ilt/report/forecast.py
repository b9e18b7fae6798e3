"""What one more iteration may gain, told after each iteration, and how the rule did so far."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ilt.evaluation.stopping import expected_next

__all__ = ["expected_after_each", "how_it_did"]

UNKNOWN = "not known: the first gain is that of the adaptation to the domain, and says nothing of the next"


def expected_after_each(gains: Sequence[dict[str, float]]) -> list[dict[str, Any]]:
    """For each iteration that was run, what one more after it was to be expected to gain.

    gains: of each over the one before (`micro`, `low`, `high`, fractions), the first over the base. Returns
    `gain`, a fraction, None after a first that gained; and `how` it comes about (`ilt.evaluation.stopping`).
    There is no interval: that of the last gain, scaled, would not be one.
    """
    found: list[dict[str, Any]] = []
    for number in range(1, len(gains) + 1):
        told = expected_next(gains[:number])
        known = number > 1 or told["gain"] == 0
        found.append({"gain": told["gain"], "how": told["how"]} if known else {"gain": None, "how": UNKNOWN})
    return found


def how_it_did(names: Sequence[str], expected: Sequence[float | None], gains: Sequence[float]) -> str:
    """What the rule had said of iterations that have been run since, beside what they gained.

    As `after it2 it said +1.5, and it3 gained -1.5`; empty where it had said nothing. expected: after each of
    the iterations `names`; gains: of each over the one before; fractions.
    """
    return "; ".join(
        f"after {before} it said {100 * said:+.1f}, and {name} gained {100 * gained:+.1f}"
        for before, name, said, gained in zip(names, names[1:], expected, gains[1:], strict=False)
        if said is not None
    )
