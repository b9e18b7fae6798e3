"""Figures as people read them."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["interval", "percent"]


def percent(value: float | None) -> str:
    """A fraction in percent with one decimal; nothing where there is none."""
    return "" if value is None else f"{100 * value:.1f}"


def interval(gain: Mapping[str, float]) -> str:
    """A gain with its interval (`micro`, `low`, `high`, fractions) in points."""
    return f"{100 * gain['micro']:+.1f} [{100 * gain['low']:+.1f}, {100 * gain['high']:+.1f}]"
