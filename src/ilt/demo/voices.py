"""Which voices speak in which part of the demo: no voice is heard in two of them."""

from __future__ import annotations

import random

from ilt.demo.espeak import variants

__all__ = ["PARTS", "voices"]

PARTS = {"base": 56, "retention": 6, "gold": 6, "pool": 18, "dev": 6, "test": 11}
"""How many of eSpeak NG's voice variants each part gets."""

_UNUSABLE = frozenset({"Demonic"})


def voices(part: str) -> list[str]:
    """The voice variants of a part (a key of `PARTS`), always the same ones."""
    names = [name for name in variants() if name not in _UNUSABLE]
    random.Random(20_250_711).shuffle(names)
    start = 0
    for key, count in PARTS.items():
        if key == part:
            return sorted(names[start : start + count])
        start += count
    raise ValueError(f"unknown part {part!r}; there are {', '.join(PARTS)}")
