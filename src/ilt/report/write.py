"""The report as files: the page, and Markdown with pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ilt.paths import replacing
from ilt.report.draw import joined, to_png
from ilt.report.gather import Report
from ilt.report.markdown import PICTURES, to_markdown
from ilt.report.page import render
from ilt.report.pictures import Figure, figures_of

__all__ = ["write_report"]

COLUMNS = {"languages": 5, "calibration": 3, "steps": 3}
"""Small charts beside one another in one picture."""


def _pictures(figures: dict[str, list[Figure]]) -> dict[str, Any]:
    """One specification a picture, by name."""
    return {
        name: joined([one.specification for one in figures[name]], COLUMNS.get(name, 1))
        for name in PICTURES
        if figures.get(name)
    }


def write_report(report: Report, folder: Path) -> None:
    """Write `index.html`, and `report.md` with the PNGs that it shows, into a folder, all or nothing."""
    figures = figures_of(report)
    pictures = _pictures(figures)
    with replacing(folder) as temporary:
        temporary.mkdir()
        page = render(report, figures)
        (temporary / "index.html").write_text(page, encoding="utf-8", newline="\n")
        text = to_markdown(report, list(pictures))
        (temporary / "report.md").write_text(text, encoding="utf-8", newline="\n")
        for name, chart in pictures.items():
            (temporary / f"{name}.png").write_bytes(to_png(chart))
