"""The review page: one HTML file that needs no server and no network, and the answers that it saves."""

from __future__ import annotations

import base64
import hashlib
import json
from importlib import resources
from pathlib import Path
from typing import Any

from ilt.errors import IltError
from ilt.escapes import visible
from ilt.tools.review.exchange import Answers, Outgoing
from ilt.tools.review.formats.clipfiles import Files

__all__ = ["FORMAT", "files", "read"]

FORMAT = "ilt.review/1"


def _inlined(value: Any) -> str:
    """Return JSON that may stand in a <script> element: nothing in it can end the element or a line of script."""
    text = visible(json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _hash(source: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(source.encode()).digest()).decode("ascii")


def render(outgoing: Outgoing) -> str:
    """Return the page as text. Its policy admits this one script, this one style sheet and inlined sound alone."""
    folder = resources.files("ilt.tools.review") / "page"
    page, script, style = ((folder / name).read_text(encoding="utf-8") for name in ("page.html", "page.js", "page.css"))
    payload = {
        "format": FORMAT,
        "review": outgoing.review,
        "iteration": outgoing.iteration,
        "strategy": outgoing.strategy,
        "rows": [
            {
                "id": row.id,
                "language": row.language,
                "direction": row.direction,
                "text": row.text,
                "previous": row.previous_text,
                "spans": row.spans,
                "seconds": row.clip.seconds,
                "peaks": row.clip.peaks,
                "audio": row.clip.data_uri,
            }
            for row in outgoing.rows
        ],
    }
    parts = {
        "__SCRIPT_HASH__": _hash(script),
        "__STYLE_HASH__": _hash(style),
        "__STYLE__": style,
        "__SCRIPT__": script,
        "__DATA__": _inlined(payload),  # last, so that nothing is looked for in what people wrote
    }
    for placeholder, part in parts.items():
        before, here, after = page.partition(placeholder)
        if not here:
            raise IltError(f"page.html lacks {placeholder}; the installation is damaged: install ilt again")
        page = before + part + after
    return page


def files(outgoing: Outgoing, output: Path) -> Files:
    """Return the page, and nothing beside it."""
    return {output: render(outgoing).encode()}


def read(value: Any, name: str) -> Answers:
    """Read the answers that the page saved, as parsed. Raises IltError if they are something else."""
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        format = value.get("format") if isinstance(value, dict) else None
        raise IltError(f"{name}: not the answers of a review: expected format {FORMAT!r}, got {format!r}")
    review, reviewer, entries = value.get("review"), value.get("reviewer", ""), value.get("answers")
    if not isinstance(review, str) or not isinstance(reviewer, str) or not isinstance(entries, list):
        raise IltError(f"{name}: expected `review` and `reviewer` as text and `answers` as a list")
    answers = Answers("review page")
    for number, entry in enumerate(entries, 1):
        values = entry if isinstance(entry, dict) else {}
        values = values | {"review": review, "reviewer": reviewer.strip()}
        answers.add(f"{name}: answer {number}", values, "was the file edited?")
    return answers
