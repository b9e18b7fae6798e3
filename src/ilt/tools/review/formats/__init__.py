"""The files that go to people and come back: a page, Label Studio's tasks, a spreadsheet."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from ilt.errors import IltError
from ilt.tools.review.answers import Answers, decoded
from ilt.tools.review.formats import label_studio, page, sheet
from ilt.tools.review.outgoing import Outgoing

__all__ = ["WRITERS", "read_answers"]

WRITERS: dict[str, Callable[[Outgoing, Path], list[Path]]] = {
    "html": page.write,
    "label-studio": label_studio.write,
    "csv": sheet.write,
}
"""Writers by the name of the format; each returns all that it wrote."""


def read_answers(path: Path) -> Answers:
    """Read a file of answers; its format is told from its content. Raises IltError if it is of none."""
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
    except RecursionError:
        raise IltError(f"{path.name}: not the answers of a review: nested too deeply") from None
    return (label_studio if isinstance(value, list) else page).read(value, path.name)
