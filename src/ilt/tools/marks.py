"""What tools print: a console that takes no text for markup, and marked differences."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ilt.evaluation.highlight import direction, visible

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

__all__ = ["marked_text", "plain_console"]

_STYLES = {"equal": "", "delete": "red strike", "insert": "bold green"}
_PLAIN = {"equal": "{}", "delete": "[-{}-]", "insert": "{{+{}+}}"}


def plain_console(width: int = 130) -> Console:
    """Return a console on standard output that prints texts as they are. width: where that is no terminal."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else width, highlight=False, markup=False, emoji=False)


def marked_text(spans: list[tuple[str, str]], language: str, colour: bool) -> Text:
    """Return the spans of `diff_spans` as one rich text: in colours, or with wdiff's marks.

    What could steer the terminal is made visible. Right-to-left text stands between isolates: a terminal that
    knows bidirectional text then keeps the line in order; others show it as it is stored.
    """
    from rich.text import Text

    text = Text()
    for kind, part in spans:
        bare, tail = visible(part.rstrip()), visible(part[len(part.rstrip()) :])
        text.append(bare if colour else _PLAIN[kind].format(bare), _STYLES[kind] if colour else "")
        text.append(tail or (" " if kind == "delete" and not colour else ""))
    return Text.assemble("\u2067", text, "\u2069") if direction(language) == "rtl" else text
