"""The files that go to people and come back: a page, Label Studio's tasks, a spreadsheet."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from ilt.errors import IltError
from ilt.paths import check_output, replacing
from ilt.tools.review.exchange import Answers, Outgoing, decoded
from ilt.tools.review.formats import label_studio, page, sheet
from ilt.tools.review.formats.clipfiles import Files
from ilt.tools.review.table import record_review

__all__ = ["FORMATS", "read_answers", "write"]


@dataclass(frozen=True)
class Format:
    """A kind of file for people.

    suffix: of the file; returned: what comes back.
    files:  makes the content of the file, and of what belongs beside it.
    """

    suffix: str
    returned: str
    files: Callable[[Outgoing, Path], Files]


FORMATS = {
    "html": Format(".html", "the JSON file that it saves", page.files),
    "label-studio": Format(".json", "the project's JSON export", label_studio.files),
    "csv": Format(".csv", "the sheet filled in", sheet.files),
}


def write(outgoing: Outgoing, record: pl.DataFrame, format: str, output: Path) -> list[Path]:
    """Write the files of an export and the record of its choice: all of them, or none.

    Returns the paths of the files, and last that of the record. Raises IltError where one cannot be written.
    """
    files = FORMATS[format].files(outgoing, output)
    for path, content in files.items():
        check_output(path, folder=not isinstance(content, bytes))
    try:
        # Under temporary names; renamed in reverse order, when the record lies in its place.
        with ExitStack() as stack:
            for path, content in files.items():
                temporary = stack.enter_context(replacing(path))
                if isinstance(content, bytes):
                    temporary.write_bytes(content)
                else:
                    _write_folder(temporary, content)
            recorded = record_review(record)
    except OSError as error:
        raise IltError(f"the review cannot be written, and nothing was: {error}") from None
    return [*files, recorded]


def _write_folder(folder: Path, content: Mapping[str, bytes]) -> None:
    folder.mkdir()
    for name, data in content.items():
        (folder / name).write_bytes(data)


def read_answers(path: Path) -> Answers:
    """Read a file of answers, whose content shows its format. Raises IltError if it is of none."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise IltError(f"{path}: cannot be read: {error.strerror}") from None
    text = decoded(data, path.name)
    start = text.lstrip()[:200].lower()
    if start.startswith(("<!doctype", "<html")):
        raise IltError(
            f"{path.name}: this is the review page itself; import the JSON file that its button "
            "`Download answers` saves"
        )
    if not start.startswith(("{", "[")):
        return sheet.read(text, path.name)
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise IltError(f"{path.name}:{error.lineno}: not JSON: {error.msg}; was it cut short?") from None
    except (ValueError, RecursionError):  # a number of thousands of digits, or nested too deeply
        raise IltError(f"{path.name}: not the answers of a review") from None
    return (label_studio if isinstance(value, list) else page).read(value, path.name)
