"""Docstrings as Markdown: lists of fields become lists, and what looks like HTML or a link is text."""

from __future__ import annotations

import re
from typing import Any

import griffe

__all__ = ["Fields", "as_markdown"]

_FIELD = re.compile(r"^([a-z_][\w.]*(?:(?:, | \| )[a-z_][\w.]*)*): +(.*)")
"""A line that begins to say what a field, or some, mean."""


def _fields(paragraph: str) -> str:
    """Return a paragraph with its fields as a list, from the first line that is one."""
    lines: list[str] = []
    for line in paragraph.splitlines():
        if match := _FIELD.match(line):
            if not any(one.startswith("- ") for one in lines):
                lines.append("")
            names = ", ".join(f"`{name}`" for name in re.split(r", | \| ", match[1]))
            lines.append(f"- {names}: {match[2]}")
        else:
            lines.append(line)
    return "\n".join(lines).strip("\n")


def as_markdown(docstring: str) -> str:
    """Return a docstring as Markdown."""
    parts = re.split(r"(`[^`]*`)", "\n\n".join(map(_fields, docstring.split("\n\n"))))
    return "".join(
        part if number % 2 else part.replace("<", "&lt;").replace("[", "\\[") for number, part in enumerate(parts)
    )


class Fields(griffe.Extension):
    """Turns every docstring into Markdown before it is rendered."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Change the docstring of an object that has one."""
        if obj.docstring:
            obj.docstring.value = as_markdown(obj.docstring.value)
