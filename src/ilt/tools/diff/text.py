"""A diff on the terminal and in Markdown."""

from __future__ import annotations

import html
import sys
from collections.abc import Sequence
from typing import IO

from ilt.evaluation.comparison.changes import DiffReport, Row
from ilt.evaluation.comparison.phrases import decision, headline, remaining, spans_of, table_of, truth_lines
from ilt.evaluation.figures import percent
from ilt.evaluation.highlight import direction, isolate
from ilt.tools.marks import marked_text

__all__ = ["cell", "grid", "isolated", "marked_cell", "print_text", "to_markdown"]


def _kinds(row: Row) -> str:
    moved = f", moved {percent(row.moved)} %" if "reworded" in row.changes else ""
    errors = (row.true_error_before, row.true_error_after)
    truth = f", truly {percent(errors[0])} → {percent(errors[1])} % wrong" if None not in errors else ""
    return ", ".join(row.changes) + moved + truth


def print_text(report: DiffReport, file: IO[str] | None = None) -> None:
    """Print a diff through rich: colours on a terminal, wdiff's marks elsewhere."""
    from rich.console import Console
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    out = file or sys.stdout
    console = Console(file=out, width=None if out.isatty() else 130, highlight=False)
    console.print(Text(headline(report), "bold"))
    if not report.different:
        return
    table = Table(title="moved, churn and errors in %; errors of selected rows, gold apart")
    head, rows = table_of(report)
    for name in head:
        table.add_column(name, justify="left" if name == "language" else "right", no_wrap=True)
    for cells in rows:
        table.add_row(*cells)
    console.print(table)
    for line in truth_lines(report):
        console.print(Text(line))
    for row in report.rows:
        where = f"  {row.language or '?'}  {row.split or ''}  "
        console.print(Text.assemble((row.id, "bold"), where, (_kinds(row), "dim")))
        marked = marked_text(spans_of(row), row.language or "", console.is_terminal)
        console.print(Padding(marked, (0, 0, 0, 4), expand=False))
        if said := decision(row):
            console.print(Padding(Text(said, "dim"), (0, 0, 0, 4), expand=False))
        if row.reference is not None:
            told = Text.assemble(("said: ", "dim"), isolate(row.reference, row.language or ""))
            console.print(Padding(told, (0, 0, 0, 4), expand=False))
    if more := remaining(report):
        console.print(Text(more, "dim"))


_MARKUP = frozenset("\\`*_{}[]()|~")


def cell(text: str) -> str:
    """Text that neither Markdown nor HTML takes for markup."""
    escaped = html.escape(text.replace("\n", " "), quote=False)
    return "".join(f"&#{ord(letter)};" if letter in _MARKUP else letter for letter in escaped)


def marked_cell(spans: Sequence[tuple[str, str]]) -> str:
    """What `diff_spans` gave, for a cell."""
    tags = {"equal": "{}", "delete": "<del>{}</del>", "insert": "<ins>{}</ins>"}
    return "".join(tags[kind].format(cell(part)) for kind, part in spans)


def isolated(inner: str, language: str) -> str:
    """A cell whose direction cannot reorder what stands beside it."""
    return f'<bdi dir="{direction(language)}">{inner}</bdi>'


def grid(head: Sequence[str], rows: Sequence[Sequence[str]], left: set[int]) -> list[str]:
    """The lines of a table; left: the columns that are aligned so. Cells are markup already."""
    ruler = [":--" if at in left else "--:" for at in range(len(head))]
    return ["| " + " | ".join(cells) + " |" for cells in (head, ruler, *rows)]


def to_markdown(report: DiffReport) -> str:
    """A diff as GitHub-flavoured Markdown; what rows say is escaped."""
    lines = [f"## {cell(headline(report))}", ""]
    if not report.different:
        return lines[0] + "\n"
    lines += [*grid(*table_of(report), {0}), ""]
    lines += ["moved, churn and errors in %; errors of selected rows, gold apart.", ""]
    lines += [*map(cell, truth_lines(report)), ""]
    rows = [
        (
            cell(row.id),
            row.language or "",
            cell(_kinds(row)),
            isolated(marked_cell(spans_of(row)), row.language or ""),
            cell(decision(row)),
            "" if row.reference is None else isolated(cell(row.reference), row.language or ""),
        )
        for row in report.rows
    ]
    lines += grid(("id", "language", "changes", "text", "decision", "said"), rows, set(range(6)))
    if more := remaining(report):
        lines += ["", more]
    return "\n".join(lines) + "\n"
