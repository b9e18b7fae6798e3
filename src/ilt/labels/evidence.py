"""Evidence from texts alone: agreement, loops, invented phrases."""

from __future__ import annotations

import functools
from importlib import resources

from rapidfuzz.distance import Levenshtein

__all__ = ["agreement", "deloop", "flags_of", "invented_phrases"]

DATA_FILES = "phrases/*.txt"
"""Data files that decide results beside this code; see `ilt.digest`."""

LOOP_MAX_NGRAM = 10
LOOP_REPEATS = 5


def agreement(one: str | None, other: str | None) -> float | None:
    """Return 1 - normalised character edit distance, in [0, 1], without spaces; None where a text is missing."""
    if one is None or other is None:
        return None
    return float(Levenshtein.normalized_similarity(one.replace(" ", ""), other.replace(" ", "")))


def deloop(units: list[str]) -> list[str]:
    """Cut a trailing loop: keep one of an n-gram (up to 10 units) that ends the text 5 times or more."""
    for size in range(1, LOOP_MAX_NGRAM + 1):
        if len(units) < size * LOOP_REPEATS:
            break
        gram, repeats = units[-size:], 1
        while units[-size * (repeats + 1) : -size * repeats] == gram:
            repeats += 1
        if repeats >= LOOP_REPEATS:
            return units[: len(units) - size * (repeats - 1)]
    return units


@functools.cache
def invented_phrases(language: str) -> frozenset[str]:
    """Return the phrases that Whisper is known to invent in silence, from the language's file in `phrases/`."""
    path = resources.files("ilt.labels") / "phrases" / f"{language}.txt"
    if not path.is_file():
        return frozenset()
    lines = path.read_text(encoding="utf-8").splitlines()
    return frozenset(line.strip().lower() for line in lines if line.strip() and not line.startswith("#"))


def flags_of(text: str, language: str, finished: bool) -> list[str]:
    """Return the flags of a text in itself: empty, loop, invented, unfinished."""
    flags = []
    units = text.split() if " " in text else list(text)
    if not text.strip():
        flags.append("empty")
    if deloop(units) != units:
        flags.append("loop")
    if text.strip().lower().rstrip(".!?") in invented_phrases(language):
        flags.append("invented")
    if not finished:
        flags.append("unfinished")
    return flags
