"""Voices of each part of the demo; no voice is in two of them."""

from __future__ import annotations

import random

from ilt.demo.espeak import variants

__all__ = ["PARTS", "voices"]

PARTS = {"base": 56, "retention": 6, "gold": 6, "pool": 18, "dev": 6, "test": 11}
"""Number of eSpeak NG's voice variants in each part."""

_UNUSABLE = frozenset({"Demonic"})


def voices(part: str) -> list[str]:
    """Return the voice variants of a part (a key of `PARTS`), always the same ones. Raises ValueError for another."""
    names = [name for name in variants() if name not in _UNUSABLE]
    random.Random(20_250_711).shuffle(names)
    start = 0
    for key, count in PARTS.items():
        if key == part:
            return sorted(names[start : start + count])
        start += count
    raise ValueError(f"unknown part {part!r}; expected one of {', '.join(PARTS)}")
