"""What tools print: a console on which data steers nothing and is no markup, and marked differences."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import IO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.style import Style
from rich.text import Text

from ilt.escapes import visible
from ilt.evaluation.highlight import direction

__all__ = ["isolated", "marked_text", "plain_console"]

_STYLES = {"equal": "", "delete": "red strike", "insert": "bold green"}
_PLAIN = {"equal": "{}", "delete": "[-{}-]", "insert": "{{+{}+}}"}

_OURS = Style(meta={"isolate": True})
"""Of isolates that do not come from data. It has no colour, so that nothing is printed for it."""


class _PlainConsole(Console):
    """A console that makes visible what could steer the terminal, whatever is printed, tables and titles too."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield the segments of what is printed, with their texts made visible."""
        for segment in super().render(renderable, options):
            if segment.control or (segment.style and segment.style.meta.get("isolate")):
                yield segment
            else:
                yield Segment(visible(segment.text, lines=True), segment.style)


def plain_console(width: int = 130, file: IO[str] | None = None) -> Console:
    """Return a console that prints texts as they are, but for `ilt.escapes.visible`.

    width: where it prints to no terminal. file: None for standard output.
    """
    on_terminal = (file or sys.stdout).isatty()
    return _PlainConsole(file=file, width=None if on_terminal else width, highlight=False, markup=False, emoji=False)


def isolated(text: str | Text, language: str) -> Text:
    """Return a text; a right-to-left one between isolates, so that it cannot reorder its neighbours.

    A terminal that knows bidirectional text then keeps the line in order; others show it as it is stored.
    """
    shown = Text(visible(text)) if isinstance(text, str) else text
    return Text.assemble(("\u2067", _OURS), shown, ("\u2069", _OURS)) if direction(language) == "rtl" else shown


def marked_text(spans: list[tuple[str, str]], language: str, colour: bool) -> Text:
    """Return the spans of `diff_spans` as one rich text: in colours, or with wdiff's marks; see `isolated`."""
    text = Text()
    for kind, part in spans:
        bare, tail = part.rstrip(), part[len(part.rstrip()) :]
        text.append(bare if colour else _PLAIN[kind].format(bare), _STYLES[kind] if colour else "")
        text.append(tail or (" " if kind == "delete" and not colour else ""))
    return isolated(text, language)
