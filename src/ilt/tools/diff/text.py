"""A diff on the terminal and in Markdown."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import IO

from ilt.escapes import visible
from ilt.evaluation.comparison.changes import Row
from ilt.evaluation.figures import percent
from ilt.evaluation.highlight import direction
from ilt.tools.diff.phrases import NOTE, decision, headline, remaining, table_of, truth_line
from ilt.tools.diff.report import DiffReport
from ilt.tools.marks import isolated, marked_text, plain_console

__all__ = ["print_text", "to_markdown"]


def _kinds(row: Row) -> str:
    moved = f", moved {percent(row.moved)} %" if "reworded" in row.changes else ""
    errors = (row.true_error_before, row.true_error_after)
    truth = f", true error {percent(errors[0])} → {percent(errors[1])} %" if None not in errors else ""
    return ", ".join(row.changes) + moved + truth


def print_text(report: DiffReport, file: IO[str] | None = None) -> None:
    """Print a diff through rich: colours on a terminal, wdiff's marks elsewhere."""
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    console = plain_console(file=file)
    console.print(Text(visible(headline(report)), "bold"))
    if not report.different:
        return
    table = Table(title=NOTE)
    head, rows = table_of(report)
    for name in head:
        table.add_column(name, justify="left" if name == "language" else "right", no_wrap=True)
    for cells in rows:
        table.add_row(*cells)
    console.print(table)
    console.print(Text(truth_line(report)))
    for row in report.rows:
        place = visible(f"  {row.language or '?'}  {row.split or ''}  ")
        console.print(Text.assemble((visible(row.id), "bold"), place, (_kinds(row), "dim")))
        lines = [marked_text(row.spans, row.language or "", console.is_terminal)]
        if change := decision(row):
            lines.append(Text(visible(change), "dim"))
        if row.reference is not None:
            lines.append(Text.assemble(("reference: ", "dim"), isolated(row.reference, row.language or "")))
        for line in lines:
            console.print(Padding(line, (0, 0, 0, 4), expand=False))
    if more := remaining(report):
        console.print(Text(more, "dim"))


_MARKUP = frozenset("\\`*_{}[]()|~")


def _cell(text: str) -> str:
    """Escape what Markdown or HTML would take for markup, and what could turn a line around."""
    escaped = html.escape(visible(text.replace("\n", " ")), quote=False)
    return "".join(f"&#{ord(letter)};" if letter in _MARKUP else letter for letter in escaped)


def _marked(spans: Sequence[tuple[str, str]]) -> str:
    tags = {"equal": "{}", "delete": "<del>{}</del>", "insert": "<ins>{}</ins>"}
    return "".join(tags[kind].format(_cell(part)) for kind, part in spans)


def _isolated(inner: str, language: str | None) -> str:
    """Wrap a cell so that its direction cannot reorder what stands beside it."""
    return f'<bdi dir="{direction(language or "")}">{inner}</bdi>'


def _grid(head: Sequence[str], rows: Sequence[Sequence[str]], left: int) -> list[str]:
    """Return the lines of a table, its first `left` columns aligned to the left. Cells are markup already."""
    ruler = [":--" if at < left else "--:" for at in range(len(head))]
    return ["| " + " | ".join(cells) + " |" for cells in (head, ruler, *rows)]


def to_markdown(report: DiffReport) -> str:
    """Return a diff as GitHub-flavoured Markdown; texts of rows are escaped."""
    lines = [f"## {_cell(headline(report))}", ""]
    if not report.different:
        return lines[0] + "\n"
    head, cells = table_of(report)
    lines += [
        *_grid(head, [list(map(_cell, row)) for row in cells], left=1),
        "",
        f"{NOTE}.",
        "",
        _cell(truth_line(report)),
        "",
    ]
    rows = [
        (
            _cell(row.id),
            _cell(row.language or ""),
            _cell(_kinds(row)),
            _isolated(_marked(row.spans), row.language),
            _cell(decision(row)),
            "" if row.reference is None else _isolated(_cell(row.reference), row.language),
        )
        for row in report.rows
    ]
    lines += _grid(("id", "language", "changes", "text", "decision", "reference"), rows, left=6)
    if more := remaining(report):
        lines += ["", more]
    return "\n".join(lines) + "\n"
