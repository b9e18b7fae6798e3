"""Evidence from texts alone: agreement, and flags of loops, invented phrases and texts without words."""

from __future__ import annotations

from rapidfuzz.distance import Levenshtein

from ilt.labels.invented import is_invented
from ilt.labels.loops import deloop
from ilt.labels.units import units_of

__all__ = ["agreement", "flags_of"]


def agreement(one: str | None, other: str | None) -> float | None:
    """Return 1 - normalised character edit distance, in [0, 1], without spaces; None where a text is missing."""
    if one is None or other is None:
        return None
    return float(Levenshtein.normalized_similarity(one.replace(" ", ""), other.replace(" ", "")))


def flags_of(text: str, language: str, finished: bool, alias: str | None = None) -> list[str]:
    """Return the flags of a text in itself: empty (no letter or digit), loop, invented, unfinished.

    finished: whether decoding came to an end. alias: the language that the model is told in its place.
    """
    languages = (language, alias or language)
    flags = {
        "empty": not units_of(text),
        "loop": deloop(text, *languages) != text,
        "invented": is_invented(text, *languages),
        "unfinished": not finished,
    }
    return [name for name, holds in flags.items() if holds]
