"""What could steer a terminal or turn a line around, made visible on its way out."""

from __future__ import annotations

import re

__all__ = ["visible"]

STEERING = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters (C0, DEL and C1), Bidi_Control of PropList.txt, separators of lines, halves of surrogate pairs."""


def visible(text: str, lines: bool = False) -> str:
    """Return a text of data with what could steer a terminal or turn its line around written as `\\u001b`.

    No escape sequence is left, and no mark, embedding, override or isolate of the bidirectional algorithm (UAX 9).
    Messages of `IltError`, the consoles of `ilt.tools.marks` and the templates of pages do this by themselves; what is
    printed in other ways passes through here. lines: keep line feeds. JSON stays the same JSON where they are kept.
    """
    return STEERING.sub(lambda match: "\n" if lines and match[0] == "\n" else f"\\u{ord(match[0]):04x}", text)
