"""Differences between two texts as spans: words, or grapheme clusters, that can be marked in any script."""

from __future__ import annotations

import regex
from rapidfuzz.distance import Levenshtein

from ilt.escapes import visible
from ilt.evaluation.normalise import CER_LANGUAGES

__all__ = ["diff_spans", "direction"]

RIGHT_TO_LEFT = frozenset({"ar", "arc", "ckb", "dv", "fa", "he", "ks", "ps", "sd", "ug", "ur", "yi"})
"""Languages whose usual script runs from right to left."""

_WORDS = regex.compile(r"\S+\s*")
_CLUSTERS = regex.compile(r"\X")  # a letter with its combining marks is one: a mark alone cannot be shown


def direction(language: str) -> str:
    """Return `rtl` or `ltr`, the values of HTML's `dir`."""
    return "rtl" if language in RIGHT_TO_LEFT else "ltr"


def diff_spans(before: str, after: str, language: str) -> list[tuple[str, str]]:
    """Return the spans that lead from one text to the other: ("equal" | "delete" | "insert", text) in order.

    Units are words, or grapheme clusters in the languages scored by CER. Equal and deleted spans make up
    `before`, equal and inserted ones `after`, but for spaces at the edges of a change. A replacement is a
    deletion followed by an insertion. The texts of the spans are `visible`, since they are there to be shown.
    """
    by_cluster = language in CER_LANGUAGES
    units = _CLUSTERS if by_cluster else _WORDS
    old, new = units.findall(before.strip()), units.findall(after.strip())
    spans: list[tuple[str, str]] = []
    deleted: list[str] = []
    inserted: list[str] = []

    def flush() -> None:
        for kind, parts in (("delete", deleted), ("insert", inserted)):
            if parts:
                spans.append((kind, visible("".join(parts))))
                parts.clear()

    for edit in Levenshtein.opcodes([unit.strip() or unit for unit in old], [unit.strip() or unit for unit in new]):
        if edit.tag == "equal":
            flush()
            spans.append(("equal", visible("".join(new[edit.dest_start : edit.dest_end]))))
        else:
            deleted += old[edit.src_start : edit.src_end]
            inserted += new[edit.dest_start : edit.dest_end]
    flush()
    if by_cluster:
        return spans
    # A last word has no space behind it, and Arabic letters would join those of the span that follows.
    return [(kind, part if part[-1:].isspace() else f"{part} ") for kind, part in spans[:-1]] + spans[-1:]
