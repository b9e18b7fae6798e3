"""CSV for a spreadsheet: nothing in it can run as a formula, and every text comes back as it was."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

from ilt.errors import IltError, Problem
from ilt.tools.review.exchange import Answers, Outgoing, named
from ilt.tools.review.formats.clipfiles import Files, clip_name, clips

__all__ = ["files", "read", "safe", "unsafe"]

COLUMNS = ("id", "review", "language", "audio", "previous_text", "text_before", "text", "verdict", "reviewer")
NEEDED = ("id", "review", "language", "text_before", "text", "verdict")

_START = "[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]"  # the last four are full-width = + - @
_DANGEROUS = re.compile(f"'*{_START}")
_GUARDED = re.compile(f"''*{_START}")


def safe(cell: str) -> str:
    """Return a cell that no spreadsheet takes for a formula: an apostrophe before = + - @, tab and line breaks.

    Rule after OWASP, "CSV Injection". A cell that has such apostrophes of its own gets one more, so that
    `unsafe` gives every text back.
    """
    return f"'{cell}" if _DANGEROUS.match(cell) else cell


def unsafe(cell: str) -> str:
    """Return the text that `safe` was given."""
    return cell[1:] if _GUARDED.match(cell) else cell


def files(outgoing: Outgoing, output: Path) -> Files:
    """Return a CSV (UTF-8 with a byte order mark, which spreadsheets need) and the folder of clips beside it.

    Raises IltError where people have filled in the file that is there.
    """
    _check_empty(output)
    lines = io.StringIO(newline="")
    writer = csv.writer(lines, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for number, row in enumerate(outgoing.rows):
        cells = (
            row.id, outgoing.review, row.language, clip_name(output, number),
            row.previous_text, row.text, row.text, "", "",
        )  # fmt: skip
        writer.writerow([safe(cell) for cell in cells])
    return {output: lines.getvalue().encode("utf-8-sig"), **clips(outgoing, output)}


def _check_empty(output: Path) -> None:
    """Raise IltError where `output` holds answers, or is no sheet of a review."""
    if not output.is_file():
        return
    try:
        rows = read(output.read_text(encoding="utf-8-sig"), str(output)).rows
    except (IltError, UnicodeDecodeError):
        raise IltError(f"--output {output} is there and is no sheet of a review; name another file") from None
    if filled := sum(bool(row.verdict) for row in rows):
        raise IltError(
            f"--output {output} is there, with the answers to {filled} rows: take it in first "
            f"(`ilt review import {output}`) and move it away, or name another file"
        )


def _lines(text: str, name: str) -> Iterator[tuple[int, list[str]]]:
    """Give the rows of a CSV with the line that each starts on. The header shows what separates the cells."""
    header = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=header.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    line = 1
    try:
        for cells in reader:
            yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        raise IltError(f"{name}:{line}: not CSV: {error}; was it cut short, or edited as text?") from None


def read(text: str, name: str) -> Answers:
    """Read a CSV that came back; `;` or tab may part the cells, too. Raises IltError if it is none."""
    rows = _lines(text, name)
    header = [cell.strip().lower() for cell in next(rows, (1, []))[1]]
    missing = [column for column in NEEDED if column not in header]
    if missing:
        raise IltError(
            f"{name}:1: not the answers of a review: the header lacks {', '.join(missing)}; expected the CSV "
            "that `ilt review export` wrote, the JSON of the review page, or Label Studio's JSON export"
        )
    repeated = sorted({column for column in header if column and header.count(column) > 1})
    if repeated:
        raise IltError(f"{name}:1: the header has {', '.join(repeated)} more than once")
    answers = Answers("CSV")
    for line, cells in rows:
        where = f"{name}:{line}"
        if not any(cell.strip() for cell in cells):
            continue
        value = {column: unsafe(cell) for column, cell in zip(header, cells, strict=False)}
        if len(cells) != len(header):
            what = f"{len(cells)} cells, expected {len(header)} as in the header; quote cells that hold commas"
            answers.problems.append(Problem(where, named(value.get("id")), what))
            continue
        plain = {column: value[column].strip() for column in ("review", "language")}
        plain |= {"verdict": value["verdict"].strip().lower(), "reviewer": value.get("reviewer", "").strip()}
        answers.add(where, value | plain, "was the file edited?")
    return answers
