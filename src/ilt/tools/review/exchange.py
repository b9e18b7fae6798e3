"""What goes out to people and what comes back, in one form whatever file it travels in."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from ilt.corpus.clips import Clip
from ilt.corpus.text import INVISIBLE
from ilt.errors import IltError, Problem
from ilt.escapes import visible
from ilt.evaluation.highlight import diff_spans, direction

__all__ = ["Answer", "Answers", "Outgoing", "Row", "canonical", "decoded", "named"]


@dataclass(frozen=True, slots=True)
class Row:
    """One utterance to review. previous_text: of the label before; "" where there was none."""

    id: str
    language: str
    text: str
    previous_text: str
    clip: Clip

    @property
    def spans(self) -> list[tuple[str, str]]:
        """The change from the previous text, as `diff_spans` gives it; empty where nothing changed."""
        if self.previous_text.strip() in ("", self.text.strip()):
            return []
        return diff_spans(self.previous_text, self.text, self.language)

    @property
    def direction(self) -> str:
        """`ltr` or `rtl`."""
        return direction(self.language)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One export: the review's name and its rows in the order in which people see them."""

    review: str
    iteration: str
    strategy: str
    rows: Sequence[Row]


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of one person for one utterance, as the file has it.

    where:    file and line or number, for messages.
    language, text_before: of the row as it went out; checked against the record.
    verdict:  accepted, corrected, unusable, or "" where it was not reviewed.
    text:     what is said.
    reviewer: "" where the file does not name one.
    """

    where: str
    id: str
    review: str
    language: str
    text_before: str
    verdict: str
    text: str
    reviewer: str


@dataclass
class Answers:
    """All answers of a file, in their order, and what was wrong with it."""

    format: str
    rows: list[Answer] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def add(self, where: str, values: Mapping[str, Any], hint: str) -> None:
        """Add an answer of these fields; where one is no text, a problem that ends in `hint`."""
        names = [entry.name for entry in fields(Answer)][1:]
        if wrong := [name for name in names if not isinstance(values.get(name), str)]:
            reason = f"expected text in {', '.join(wrong)}; {hint}"
            self.problems.append(Problem(where, named(values.get("id")), reason))
        else:
            self.rows.append(Answer(where, **{name: values[name] for name in names}))


def canonical(text: str | None) -> str:
    """Return a text as it is stored and compared: NFC, nothing invisible, single spaces, and none at the ends."""
    return " ".join(unicodedata.normalize("NFC", INVISIBLE.sub("", text or "")).split())


def named(key: object) -> str:
    """Return an id for a message; "" for what is no text."""
    return visible(key) if isinstance(key, str) else ""


def decoded(data: bytes, name: str) -> str:
    """Return the text of a file in UTF-8, or in UTF-16 with its mark. Raises IltError for anything else."""
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise IltError(
            f"{name}:{line}: not UTF-8 (byte {error.start}); save the file as UTF-8 (in a spreadsheet: "
            "CSV UTF-8) and import it again"
        ) from None
    if "\0" in text:
        raise IltError(f"{name}: holds NUL characters; expected a text file: CSV or JSON")
    return text
