"""The report as one HTML page that needs no server, no network and no script."""

from __future__ import annotations

from importlib import resources
from typing import Any

import polars as pl
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ilt.evaluation.comparison.phrases import spans_of
from ilt.evaluation.figures import interval, percent
from ilt.evaluation.highlight import direction
from ilt.evaluation.normalise import CER_LANGUAGES
from ilt.report.cost import worth
from ilt.report.draw import to_svg
from ilt.report.errors import ALL
from ilt.report.gather import Report, language_name
from ilt.report.pictures import Figure
from ilt.report.pool import FATES
from ilt.report.verdict import verdict_of

__all__ = ["WORTH", "language_rows", "render"]

WORTH = {"gain": "clear gain", "loss": "worse", "unclear": "not clear of 0", "passed": "passed through"}


def _drawn(part: str, figure: Figure) -> Markup:
    # What vl-convert made is markup; texts in it are escaped by ElementTree.
    specification = dict(figure.specification)
    if part == "languages":
        del specification["title"]  # stands above it, with the gain
    return Markup(to_svg(specification, figure.alt))


def language_rows(report: Report, split: str, codes: list[str]) -> list[dict[str, Any]]:
    """A row a language: its rates by iteration and its gain on a split, and its change on retention."""
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
    """The funnel of each iteration that was run, the last first.

    rows: by language; flags: how many rows have which; fates: how many of each language went which way before
    `fix`, in the order of `reasons`.
    """
    found = []
    for cost in reversed(report.ran):
        iteration = cost.iteration
        rows = report.funnel.filter(pl.col("iteration") == iteration).to_dicts()
        flags = report.flags.filter(pl.col("iteration") == iteration).select("flag", "rows").rows()
        here = report.fates.filter(pl.col("iteration") == iteration, pl.col("stage") == "fix")
        counts = {(language, fate): count for language, fate, count in
                  here.select("language", "fate", "rows").iter_rows()}  # fmt: skip
        there = [fate for fate in FATES if (ALL, fate) in counts]
        fates = [(row["language"], [counts.get((row["language"], fate), 0) for fate in there]) for row in rows]
        reasons = [FATES[fate] for fate in there]
        found.append({"iteration": iteration, "rows": rows, "flags": flags, "reasons": reasons, "fates": fates})
    return found


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("ilt.report", "page"),
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {"percent": percent, "interval": interval, "direction": direction, "worth": worth}
    environment.globals |= {
        "language_name": language_name, "spans_of": spans_of,
        "WORTH": WORTH, "ALL": ALL,
    }  # fmt: skip
    return environment


def render(report: Report, figures: dict[str, list[Figure]]) -> str:
    """The page as text, with what `figures_of` gave; what comes from data is escaped."""
    drawn = {part: [_drawn(part, one) for one in several] for part, several in figures.items()}
    style = (resources.files("ilt.report") / "page" / "page.css").read_text(encoding="utf-8")
    page = _environment().get_template("page.html")
    return page.render(
        report=report,
        verdict=verdict_of(report),
        figures=drawn,
        languages=language_rows(report, "test", report.languages),
        watched=language_rows(report, "retention", report.watched),
        costs={cost.iteration: cost for cost in report.costs},
        funnels=_funnels(report),
        churn={row["iteration"]: row for row in report.series["churn"].iter_rows(named=True)},
        style=Markup(style),
    )
