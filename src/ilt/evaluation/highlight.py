"""Differences between two texts as spans: words, or grapheme clusters, that can be marked in any script."""

from __future__ import annotations

import regex
from rapidfuzz.distance import Levenshtein

from ilt.evaluation.normalise import CER_LANGUAGES

__all__ = ["diff_spans", "direction", "isolate", "visible"]

RIGHT_TO_LEFT = frozenset({"ar", "arc", "ckb", "dv", "fa", "he", "ks", "ps", "sd", "ug", "ur", "yi"})
"""Languages whose usual script runs from right to left."""

_STEERING = regex.compile(r"[\p{Cc}\p{Cs}\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_WORDS = regex.compile(r"\S+\s*")
_CLUSTERS = regex.compile(r"\X")  # a letter with its combining marks is one: a mark alone cannot be shown


def direction(language: str) -> str:
    """Return `rtl` or `ltr`, the values of HTML's `dir`."""
    return "rtl" if language in RIGHT_TO_LEFT else "ltr"


def visible(text: str, lines: bool = False) -> str:
    """Return a text of data with what could steer a terminal or turn its line around written as `\\u001b`.

    These are control characters (C0, DEL and C1, so that no escape sequence is left), embeddings, overrides and
    isolates of the bidirectional algorithm (UAX 9), separators of lines, and halves of surrogate pairs. Everything
    that comes from data passes through here on its way to a terminal or a page, alone or in `isolate` or
    `ilt.tools.marks.marked_text`. lines: keep line feeds. JSON stays the same JSON where they are kept.
    """
    return _STEERING.sub(lambda match: "\n" if lines and match[0] == "\n" else f"\\u{ord(match[0]):04x}", text)


def isolate(text: str, language: str) -> str:
    """Return the text, visible; a right-to-left one between isolates, so that it cannot reorder its neighbours."""
    shown = visible(text)
    return f"\u2067{shown}\u2069" if direction(language) == "rtl" else shown


def diff_spans(before: str, after: str, language: str) -> list[tuple[str, str]]:
    """Return the spans that lead from one text to the other: ("equal" | "delete" | "insert", text) in order.

    Units are words, or grapheme clusters in the languages scored by CER. Equal and deleted spans make up
    `before`, equal and inserted ones `after`, but for spaces at the edges of a change. A replacement is a
    deletion followed by an insertion.
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
                spans.append((kind, "".join(parts)))
                parts.clear()

    for edit in Levenshtein.opcodes([unit.strip() or unit for unit in old], [unit.strip() or unit for unit in new]):
        if edit.tag == "equal":
            flush()
            spans.append(("equal", "".join(new[edit.dest_start : edit.dest_end])))
        else:
            deleted += old[edit.src_start : edit.src_end]
            inserted += new[edit.dest_start : edit.dest_end]
    flush()
    if by_cluster:
        return spans
    # A last word has no space behind it, and Arabic letters would join those of the span that follows.
    return [(kind, part if part[-1:].isspace() else f"{part} ") for kind, part in spans[:-1]] + spans[-1:]
