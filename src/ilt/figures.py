"""Figures as people read them."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["interval", "percent"]


def percent(value: float | None) -> str:
    """A fraction in percent with one decimal; nothing where there is none."""
    return "" if value is None else f"{100 * value:.1f}"


def interval(gain: Mapping[str, float]) -> str:
    """A gain with its interval (`micro`, `low`, `high`, fractions) in points."""
    middle, low, high = (f"{100 * gain[key] + 0.0:+.1f}" for key in ("micro", "low", "high"))  # 0.0: no -0
    return f"{middle} [{low}, {high}]"
