"""When to stop: whether an iteration gained enough for another to follow, and what one more may gain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ilt.figures import interval

__all__ = ["expected_next", "stop_reason"]

FIRST_RATIO = 0.5
"""What the next gain is expected to be of the last one where no trend can be seen yet; our own choice."""


def stop_reason(iteration: str, gain: dict[str, float], min_gain: float | None, split: str) -> str | None:
    """Why nothing should follow an iteration, or None where something should.

    gain: `micro`, `low` and `high` of its gain over the iteration before on `split`, as fractions. It is
    enough where the whole interval lies above `min_gain`; None never stops.
    """
    if min_gain is None or gain["low"] > min_gain:
        return None
    return (
        f"stopped after {iteration}: its gain on {split}, {interval(gain)} points, does not clear "
        f"{100 * min_gain:g}"
    )


def expected_next(gains: Sequence[dict[str, float]]) -> dict[str, Any]:
    """What one more iteration may gain, from the gains of those so far (the first is that over the base).

    Gains of iterations shrink about geometrically, as the pool is used up: the next is the last one times
    the ratio of the last two, held between 0 and 1, and nothing where the last was no gain. The gain over the
    base is of another kind (it holds the adaptation to the domain), so that a ratio needs three iterations;
    before that it is taken as `FIRST_RATIO`. Returns `gain`, `low` and `high` as fractions (the interval of
    the last gain, times the ratio) and `how`. A rule of thumb, not a promise.
    """
    last = gains[-1]
    ratio, how = FIRST_RATIO, f"{FIRST_RATIO:g} of the last gain, since no trend can be seen yet"
    if len(gains) > 2 and gains[-2]["micro"] > 0:
        ratio = min(1.0, max(0.0, last["micro"] / gains[-2]["micro"]))
        how = f"the last gain times {ratio:.2f}, the ratio of the last two"
    if last["micro"] <= 0:
        ratio, how = 0.0, "nothing, since the last iteration gained nothing"
    low, high = ratio * last["low"], ratio * last["high"]
    if ratio == 0.0:
        low, high = min(0.0, last["low"]), max(0.0, last["high"])
    return {
        "gain": round(ratio * max(0.0, last["micro"]), 6),
        "low": round(low, 6),
        "high": round(high, 6),
        "how": how,
    }
