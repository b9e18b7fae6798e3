"""Forecast of the gain of one more iteration, and its record so far."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["expected_after_each", "how_it_did"]

UNKNOWN = "not known: the first gain is that of the adaptation to the domain, and says nothing of the next"
FIRST_RATIO = 0.5
"""Expected ratio of the next gain to the last one where no trend can be seen yet; our own choice."""


def _forecast(gains: Sequence[float]) -> tuple[float | None, str]:
    """Return the expected gain of one more iteration after these, and the rule that gave it."""
    last = gains[-1]
    if last <= 0:
        return 0.0, "nothing, since the last iteration gained nothing"
    if len(gains) == 1:
        return None, UNKNOWN
    if len(gains) == 2 or gains[-2] <= 0:
        return FIRST_RATIO * last, f"{FIRST_RATIO:g} of the last gain, since no trend can be seen yet"
    ratio = min(1.0, last / gains[-2])
    return ratio * last, f"the last gain times {ratio:.2f}, the ratio of the last two"


def expected_after_each(gains: Sequence[float]) -> list[dict[str, Any]]:
    """Return the forecast after each iteration: `gain`, a fraction or None, and `how` it came about.

    gains: of each iteration that ran over the one before (micro, fractions), the first over the base. Gains
    shrink about geometrically, as the pool is used up: the next is the last one times the ratio of the last
    two, held between 0 and 1, and nothing where the last was no gain. The gain over the base is of another
    kind (it holds the adaptation to the domain), so that a ratio needs three iterations; after the second it
    is `FIRST_RATIO`, and after the first there is no forecast. A rule of thumb without an interval: that of
    the last gain, scaled, would not be one.
    """
    forecasts = [_forecast(gains[:number]) for number in range(1, len(gains) + 1)]
    return [{"gain": None if gain is None else round(gain, 6), "how": how} for gain, how in forecasts]


def how_it_did(names: Sequence[str], expected: Sequence[float | None], gains: Sequence[float]) -> str:
    """Return each forecast beside the gain that followed, as `after it2 it said +1.5, and it3 gained -1.5`.

    Empty where no forecast was followed by an iteration. expected: the forecast after each of the iterations
    `names`; gains: of each over the one before; fractions.
    """
    return "; ".join(
        f"after {before} it said {100 * forecast:+.1f}, and {name} gained {100 * gained:+.1f}"
        for before, name, forecast, gained in zip(names, names[1:], expected, gains[1:], strict=False)
        if forecast is not None
    )
