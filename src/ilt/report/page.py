"""The report as one HTML page that needs no server, no network and no script."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

import polars as pl
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ilt.escapes import visible
from ilt.evaluation.figures import interval, percent
from ilt.evaluation.highlight import direction
from ilt.evaluation.normalise import CER_LANGUAGES
from ilt.paths import replacing
from ilt.report.cost import gain_kind
from ilt.report.errors import ALL
from ilt.report.gather import Report, language_name
from ilt.report.pictures import figures_of
from ilt.report.pool import OUTCOMES
from ilt.report.verdict import verdict_of

__all__ = ["write_report"]

DATA_FILES = "page/page.*"

CONTEXTS = {"full": "its full audio context", "batch": "an audio context cut to the batch"}
KINDS = {"gain": "clear gain", "loss": "worse", "unclear": "not clear", "skipped": "skipped"}
"""Words for the kinds of gain."""


def _language_rows(report: Report, split: str, codes: list[str]) -> list[dict[str, Any]]:
    """Return a row a language: its rates by iteration and its gain on a split, and its gain on retention."""
    errors = {(row["split"], row["language"], row["iteration"]): row["error"]
              for row in report.errors.iter_rows(named=True)}  # fmt: skip
    gains = {(row["split"], row["language"]): row for row in report.gains.iter_rows(named=True)}
    return [
        {
            "code": code,
            "name": language_name(code),
            "unit": "CER" if code in CER_LANGUAGES else "WER",
            "errors": [errors.get((split, code, name)) for name in report.order],
            "gain": gains[split, code],
            "retention": gains.get(("retention", code)),
        }
        for code in codes
    ]


def _funnels(report: Report) -> list[dict[str, Any]]:
    """Return the funnel of each iteration that ran, the last first.

    rows: by language. flags: (flag, rows). outcomes: before `fix`, the rows of each language in the order of
    `reasons`.
    """
    funnels = []
    for iteration in reversed([cost.iteration for cost in report.ran]):
        funnel, flags, outcomes = (
            frame.filter(pl.col("iteration") == iteration) for frame in (report.funnel, report.flags, report.outcomes)
        )
        counts = {
            (language, outcome): count
            for language, outcome, count in outcomes.filter(stage="fix").select("language", "outcome", "rows").rows()
        }
        reasons = [outcome for outcome in OUTCOMES if (ALL, outcome) in counts]
        by_language = [
            (language, [counts.get((language, outcome), 0) for outcome in reasons]) for language in funnel["language"]
        ]
        funnels.append(
            {
                "iteration": iteration, "rows": funnel.to_dicts(), "flags": flags.select("flag", "rows").rows(),
                "reasons": reasons, "outcomes": by_language,
            }
        )  # fmt: skip
    return funnels


def _shown(value: Any) -> Any:
    """Return what an expression of the template gave, visible where it is text of data and no markup."""
    return visible(value, lines=True) if isinstance(value, str) and not isinstance(value, Markup) else value


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("ilt.report", "page"),
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_shown,
    )  # fmt: skip
    environment.filters |= {"percent": percent, "interval": interval, "direction": direction, "gain_kind": gain_kind}
    environment.globals |= {"language_name": language_name, "KINDS": KINDS, "CONTEXTS": CONTEXTS, "ALL": ALL}
    return environment


def _render(report: Report) -> str:
    """Return the page as text; texts of data are escaped."""
    # vl-convert escapes the texts in its markup.
    figures = {part: [Markup(svg) for svg in several] for part, several in figures_of(report).items()}
    style = (resources.files("ilt.report") / "page" / "page.css").read_text(encoding="utf-8")
    return (
        _environment()
        .get_template("page.html")
        .render(
            report=report,
            verdict=verdict_of(report),
            figures=figures,
            languages=_language_rows(report, "test", report.languages),
            retention_only=_language_rows(report, "retention", report.retention_languages),
            costs={cost.iteration: cost for cost in report.costs},
            funnels=_funnels(report),
            churn={row["iteration"]: row for row in report.series["churn"].iter_rows(named=True)},
            style=Markup(style),
        )
    )


def write_report(report: Report, folder: Path) -> None:
    """Write `index.html` into a folder, which is replaced."""
    with replacing(folder) as temporary:
        temporary.mkdir()
        (temporary / "index.html").write_text(_render(report), encoding="utf-8", newline="\n")
