"""Figures as people read them."""

from __future__ import annotations

__all__ = ["percent"]


def percent(value: float | None) -> str:
    """A fraction in percent with one decimal; nothing where there is none."""
    return "" if value is None else f"{100 * value:.1f}"
