"""A diff as one HTML page without scripts."""

from __future__ import annotations

import html
from importlib import resources

from ilt.escapes import visible
from ilt.evaluation.comparison.changes import Row
from ilt.evaluation.figures import percent
from ilt.evaluation.highlight import direction
from ilt.tools.diff.phrases import NOTE, decision, headline, remaining, table_of, truth_line
from ilt.tools.diff.report import DiffReport

__all__ = ["to_html"]

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_TAGS = {"equal": "{}", "delete": "<del>{}</del>", "insert": "<ins>{}</ins>"}


def _escaped(text: str) -> str:
    """Return a text of data as it can stand in the page: no markup, and nothing that turns a line around."""
    return html.escape(visible(text, lines=True))


def _transcript(inner: str, language: str | None) -> str:
    code = _escaped(language or "")
    return f'<p class="transcript" lang="{code}" dir="{direction(language or "")}">{inner}</p>'


def _row(row: Row) -> str:
    marked = "".join(_TAGS[kind].format(_escaped(part)) for kind, part in row.spans)
    chips = "".join(f"<span class=chip>{kind}</span>" for kind in row.changes)
    name, language = _escaped(row.id), _escaped(row.language or "")
    parts = [f"<header><code>{name}</code><span>{language}</span>{chips}"]
    if "reworded" in row.changes:
        parts.append(f"<span>moved {percent(row.moved)} %</span>")
    if row.true_error_before is not None and row.true_error_after is not None:
        errors = f"{percent(row.true_error_before)} → {percent(row.true_error_after)} %"
        parts.append(f"<span>true error {errors}</span>")
    parts += ["</header>", _transcript(marked, row.language)]
    if row.reference is not None:
        parts += ["<small>reference</small>", _transcript(_escaped(row.reference), row.language)]
    if change := decision(row):
        parts.append(f"<small>{_escaped(change)}</small>")
    return f"<article>{''.join(parts)}</article>"


def to_html(report: DiffReport) -> str:
    """Return the page, self-contained; texts of rows are escaped."""
    names, table = table_of(report)
    head = "".join(f"<th>{name}</th>" for name in names)
    body = "".join("<tr>" + "".join(f"<td>{_escaped(cell)}</td>" for cell in cells) + "</tr>" for cells in table)
    title = _escaped(headline(report))
    style = (resources.files("ilt.tools.diff") / "page.css").read_text(encoding="utf-8")
    rows = "".join(map(_row, report.rows))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f"<title>{title}</title><style>{style}</style></head><body><main><h1>{title}</h1>"
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
        f"<p><small>{NOTE}</small></p><p>{_escaped(truth_line(report))}</p>{rows}"
        f"<p>{_escaped(remaining(report))}</p></main></body></html>\n"
    )
