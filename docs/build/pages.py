"""Blocks that scripts write into pages, between two marks: `<!-- NAME -->` or `<!-- NAME: SCRIPT -->`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from ilt.errors import IltError
from ilt.paths import replacing

__all__ = ["ROOT", "block", "put"]

ROOT = Path(__file__).resolve().parents[2]
"""Folder of the repository."""


def _marked(page: Path, name: str) -> re.Match[str]:
    """Return the match of a block with its marks. Raises IltError unless the page has them once, in order."""
    mark = re.escape(name)
    pattern = rf"(?P<begin><!-- {mark}(?:: [^>]*)? -->\n)(?P<text>.*?)(?P<end><!-- end of {mark} -->)"
    matches = list(re.finditer(pattern, page.read_text(encoding="utf-8"), re.DOTALL))
    if len(matches) != 1:
        raise IltError(f"{page}: expected <!-- {name} --> and <!-- end of {name} --> once, found {len(matches)} times")
    return matches[0]


def block(page: Path, name: str) -> list[str]:
    """Return the lines between the marks of a block. Raises IltError where the page does not have them."""
    return _marked(page, name)["text"].splitlines()


def put(page: Path, name: str, lines: Sequence[str]) -> None:
    """Replace what stands between the marks of a block. Raises IltError where the page does not have them."""
    match = _marked(page, name)
    text = match.string
    with replacing(page) as temporary:
        new = text[: match.end("begin")] + "\n".join(lines) + "\n" + text[match.start("end") :]
        temporary.write_text(new, encoding="utf-8")
