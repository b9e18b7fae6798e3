"""When to stop: whether an iteration gained enough for another to follow."""

from __future__ import annotations

from ilt.evaluation.figures import interval

__all__ = ["stop_reason"]


def stop_reason(iteration: str, gain: dict[str, float], min_gain: float | None, split: str) -> str | None:
    """Why nothing should follow an iteration, or None where something should.

    gain: `micro`, `low` and `high` of its gain over the iteration before on `split`, as fractions. It is
    enough where the whole interval lies above `min_gain`; None never stops.
    """
    if min_gain is None or gain["low"] > min_gain:
        return None
    return f"stopped after {iteration}: its gain on {split}, {interval(gain)} points, does not clear {100 * min_gain:g}"
