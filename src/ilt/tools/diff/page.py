"""A diff as one HTML page without scripts."""

from __future__ import annotations

import html
from importlib import resources

from ilt.evaluation.comparison.changes import DiffReport, Row
from ilt.evaluation.comparison.phrases import decision, headline, remaining, spans_of, table_of, truth_lines
from ilt.evaluation.figures import percent
from ilt.evaluation.highlight import direction

__all__ = ["to_html"]

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_TAGS = {"equal": "{}", "delete": "<del>{}</del>", "insert": "<ins>{}</ins>"}


def _said(inner: str, language: str | None) -> str:
    code = html.escape(language or "")
    return f'<p class="said" lang="{code}" dir="{direction(language or "")}">{inner}</p>'


def _row(row: Row) -> str:
    marked = "".join(_TAGS[kind].format(html.escape(part)) for kind, part in spans_of(row))
    chips = "".join(f"<span class=chip>{kind}</span>" for kind in row.changes)
    name, language = html.escape(row.id), html.escape(row.language or "")
    parts = [f"<header><code>{name}</code><span>{language}</span>{chips}"]
    if "reworded" in row.changes:
        parts.append(f"<span>moved {percent(row.moved)} %</span>")
    if row.true_error_before is not None and row.true_error_after is not None:
        errors = f"{percent(row.true_error_before)} → {percent(row.true_error_after)} %"
        parts.append(f"<span>truly wrong: {errors}</span>")
    parts += ["</header>", _said(marked, row.language)]
    if row.reference is not None:
        parts += ["<small>said</small>", _said(html.escape(row.reference), row.language)]
    if what := decision(row):
        parts.append(f"<small>{html.escape(what)}</small>")
    return f"<article>{''.join(parts)}</article>"


def to_html(report: DiffReport) -> str:
    """The page: self-contained, what rows say is escaped."""
    names, table = table_of(report)
    head = "".join(f"<th>{name}</th>" for name in names)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>" for cells in table)
    title = html.escape(headline(report))
    style = (resources.files("ilt.tools.diff") / "page.css").read_text(encoding="utf-8")
    lines = "".join(f"<p>{html.escape(line)}</p>" for line in truth_lines(report))
    rows = "".join(map(_row, report.rows))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f"<title>{title}</title><style>{style}</style></head><body><main><h1>{title}</h1>"
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
        "<p><small>moved, churn and errors in %; errors of selected rows, gold apart</small></p>"
        f"{lines}{rows}<p>{html.escape(remaining(report))}</p></main></body></html>\n"
    )
