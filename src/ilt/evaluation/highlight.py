"""What changed between two texts, as spans that can be marked without tearing a script apart."""

from __future__ import annotations

import regex
from rapidfuzz.distance import Levenshtein

from ilt.evaluation.normalise import CER_LANGUAGES

__all__ = ["RIGHT_TO_LEFT", "diff_spans", "direction", "isolate"]

RIGHT_TO_LEFT = frozenset({"ar", "arc", "ckb", "dv", "fa", "he", "ks", "ps", "sd", "ug", "ur", "yi"})
"""Languages whose usual script runs from right to left."""

_WORDS = regex.compile(r"\S+\s*")
_CLUSTERS = regex.compile(r"\X")  # a letter with its combining marks is one: a mark alone cannot be shown


def direction(language: str) -> str:
    """`rtl` or `ltr`, as HTML's `dir` has them."""
    return "rtl" if language in RIGHT_TO_LEFT else "ltr"


def isolate(text: str, language: str) -> str:
    """Right-to-left text between Unicode's isolates, so that it cannot reorder what stands beside it."""
    return f"\u2067{text}\u2069" if direction(language) == "rtl" else text


def diff_spans(before: str, after: str, language: str) -> list[tuple[str, str]]:
    """The spans that lead from one text to the other: ("equal" | "delete" | "insert", text) in order.

    Words are the units, or grapheme clusters in the languages scored by CER. What is not inserted makes up
    `before` and what is not deleted `after`, but for spaces at the edges of a change. A replacement is a
    deletion followed by an insertion.
    """
    units = _CLUSTERS if language in CER_LANGUAGES else _WORDS
    old, new = units.findall(before.strip()), units.findall(after.strip())
    spans: list[tuple[str, str]] = []
    moves = Levenshtein.opcodes([unit.strip() or unit for unit in old], [unit.strip() or unit for unit in new])
    gone: list[str] = []
    come: list[str] = []

    def flush() -> None:
        for kind, units in (("delete", gone), ("insert", come)):
            if units:
                spans.append((kind, "".join(units)))
                units.clear()

    for move in moves:
        removed, added = old[move.src_start : move.src_end], new[move.dest_start : move.dest_end]
        if move.tag == "equal":
            flush()
            spans.append(("equal", "".join(added)))
        else:
            gone += removed
            come += added
    flush()
    if units is _CLUSTERS:
        return spans
    # A last word has no space behind it, and Arabic letters would join those of the span that follows.
    apart = [(kind, part if part[-1:].isspace() else f"{part} ") for kind, part in spans[:-1]]
    return apart + spans[-1:]
