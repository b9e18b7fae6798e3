"""Numbers as text: fractions in percent, gains in points."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["interval", "percent"]


def percent(value: float | None) -> str:
    """Return a fraction in percent with one decimal; an empty text for None."""
    return "" if value is None else f"{100 * value:.1f}"


def interval(gain: Mapping[str, float]) -> str:
    """Return a gain with its interval in points, as `+1.8 [+0.6, +3.0]`.

    gain: `low`, `high` and the gain itself, as `micro` (of an evaluation) or as `gain` (of a contrast between
    arms); all are fractions.
    """
    keys = ("micro" if "micro" in gain else "gain", "low", "high")
    middle, low, high = (f"{100 * gain[key] + 0.0:+.1f}" for key in keys)  # 0.0: no -0
    return f"{middle} [{low}, {high}]"
