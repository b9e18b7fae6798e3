"""Marked differences on a terminal: colours, or wdiff's marks where it has none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ilt.evaluation.highlight import direction

if TYPE_CHECKING:
    from rich.text import Text

__all__ = ["marked_text"]

_STYLES = {"equal": "", "delete": "red strike", "insert": "bold green"}
_PLAIN = {"equal": "{}", "delete": "[-{}-]", "insert": "{{+{}+}}"}


def marked_text(spans: list[tuple[str, str]], language: str, colour: bool) -> Text:
    """Return the spans of `ilt.evaluation.highlight.diff_spans` as one rich text.

    Right-to-left text stands between isolates: a terminal that knows bidirectional text then keeps the line in
    order, and others show it as it is stored.
    """
    from rich.text import Text

    text = Text()
    for kind, part in spans:
        bare, tail = part.rstrip(), part[len(part.rstrip()) :]
        text.append(bare if colour else _PLAIN[kind].format(bare), _STYLES[kind] if colour else "")
        text.append(tail or (" " if kind == "delete" and not colour else ""))
    return Text.assemble("\u2067", text, "\u2069") if direction(language) == "rtl" else text
