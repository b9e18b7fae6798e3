"""Early stopping: an iteration must gain enough for another to follow."""

from __future__ import annotations

from ilt.evaluation.figures import interval

__all__ = ["stop_reason"]


def stop_reason(iteration: str, gain: dict[str, float], min_gain: float | None, split: str) -> str | None:
    """Return the early-stopping reason, or None.

    gain: `micro`, `low` and `high` of the iteration's gain over the one before on `split`, as fractions. It
    stops unless the whole interval lies above `min_gain`; a `min_gain` of None never stops.
    """
    if min_gain is None or gain["low"] > min_gain:
        return None
    return f"stopped after {iteration}: its gain on {split}, {interval(gain)} points, does not clear {100 * min_gain:g}"
