"""What goes out to people: the rows of a review with their sound and what changed in their texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ilt.corpus.clips import Clip
from ilt.evaluation.highlight import diff_spans, direction

__all__ = ["Outgoing", "Row", "make_row"]


@dataclass(frozen=True, slots=True)
class Row:
    """One utterance to review.

    spans:     what changed from the previous text: ("equal" | "delete" | "insert", text) in order; empty
               where there was no previous text or it is the same.
    direction: `ltr` or `rtl`.
    """

    id: str
    language: str
    text: str
    previous_text: str
    spans: list[tuple[str, str]]
    direction: str
    clip: Clip


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One export: the review's name and its rows in the order in which people see them."""

    review: str
    iteration: str
    strategy: str
    rows: Sequence[Row]


def make_row(key: str, language: str, text: str, previous: str | None, clip: Clip) -> Row:
    """A row, with the differences of its texts."""
    changed = previous is not None and previous.strip() != text.strip()
    spans = diff_spans(previous or "", text, language) if changed else []
    return Row(key, language, text, previous or "", spans, direction(language), clip)
