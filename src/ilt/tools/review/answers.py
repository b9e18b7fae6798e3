"""What people answered, in one form whatever file it came in."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field

from ilt.errors import IltError, Problem

__all__ = ["Answer", "Answers", "canonical", "decoded", "named"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What one person said of one utterance, as the file has it.

    where:       file and line or number, for messages.
    language, text_before: what the file says of the row as it went out; checked against the record.
    verdict:     accepted, corrected, unusable, or "" where it was not reviewed.
    text:        what the person heard.
    reviewer:    "" where the file does not say.
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


def canonical(text: str | None) -> str:
    """A text as it is stored and compared: NFC, no spaces at the ends, single spaces between."""
    return " ".join(unicodedata.normalize("NFC", text or "").split())


def named(key: object) -> str:
    """An id as it may stand in a message: nothing in it can steer a terminal. "" for what is no text."""
    return (key if key.isprintable() else repr(key)) if isinstance(key, str) else ""


def decoded(data: bytes, name: str) -> str:
    """The text of a file in UTF-8, or in UTF-16 with its mark. Raises IltError for anything else."""
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
