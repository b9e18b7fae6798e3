"""Blocks of README.md and README.ja.md: the summary of the demo, an excerpt of `ilt diff`, results of real models.

    python docs/build/readme.py     # after `make repro`, docs/build/tour.py, benchmarks/released.py

Nothing is measured here: the summary is drawn by `ilt summary` from data/metrics, the excerpt comes from docs/tour.md,
and the results from benchmarks/results/released.json.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

from ilt import paths
from ilt.evaluation.figures import interval, percent
from ilt.params import load_params, ordered_iterations
from pages import ROOT, block, put

__all__ = ["PAGES", "PENDING", "blocks"]

PAGES = {"en": ROOT / "README.md", "ja": ROOT / "README.ja.md"}
RESULT = ROOT / "benchmarks" / "results" / "released.json"
TOUR = ROOT / "docs" / "tour.md"
PENDING = "being measured"
"""What stands where there is no figure of the code and the demo as they are now."""

HEADS = {
    "en": ("model", "speech", "base, %", "ILT, %", "gain in points [95 %]", "minutes"),
    "ja": ("モデル", "音声", "ベース、%", "ILT、%", "改善、ポイント [95 %]", "分"),
}


def _is_of_this_demo(summary: dict[str, Any]) -> bool:
    """Return whether a summary has the languages and iterations of params.yaml."""
    params = load_params(ROOT / "params.yaml")
    languages = sorted(summary["base"]["test"]["by_language"])
    return languages == sorted(params.corpus.demo.languages) and list(summary) == ["base", *ordered_iterations(params)]


def summary() -> list[str]:
    """Return what `ilt summary` prints, or that it is pending where data/metrics is of another demo."""
    file = ROOT / paths.SUMMARY
    if not file.is_file() or not _is_of_this_demo(paths.read_json(file)):
        return ["```text", PENDING, "```"]
    done = subprocess.run(
        [sys.executable, "-m", "ilt.cli", "summary"], cwd=ROOT, check=True, text=True, stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONIOENCODING": "utf-8", "NO_COLOR": "1"},
    )  # fmt: skip
    return ["```text", *(line.rstrip() for line in done.stdout.rstrip().splitlines()), "```"]


def excerpt() -> list[str]:
    """Return what docs/tour.md shows below the table of its first `ilt diff`: the verdict and one row."""
    lines = TOUR.read_text(encoding="utf-8").splitlines()
    begin = next(number for number, line in enumerate(lines) if line.startswith("$ ilt diff it2 it3"))
    table = next(number for number, line in enumerate(lines) if number > begin and line.startswith("└"))
    below = lines[table + 1 : lines.index("```", table)]
    rows = [number for number, line in enumerate(below) if number and not line.startswith(" ")]
    return ["```text", "$ ilt diff it2 it3 --limit 1", *below[: rows[1]], "```"]


def results(language: str) -> list[str]:
    """Return the table of released models on people's speech, a row for each that was measured."""
    rows = paths.read_json(RESULT)["rows"] if RESULT.is_file() else []
    lines = [HEADS[language], ["---"] * len(HEADS[language])]
    for row in rows:
        errors = [percent(row[key]) for key in ("base", "ilt")]
        lines.append([row["model"], row["speech"], *errors, interval(row["gain"]), f"{row['minutes']:.0f}"])
    if not rows:
        lines.append([PENDING, *[""] * (len(HEADS[language]) - 1)])
    return [f"| {' | '.join(line)} |" for line in lines]


def blocks(language: str) -> dict[str, list[str]]:
    """Return the lines of each block of a README, by its name."""
    return {"summary": summary(), "diff": excerpt(), "results": results(language)}


def main() -> None:
    for language, page in PAGES.items():
        for name, lines in blocks(language).items():
            if block(page, name) != lines:
                put(page, name, lines)


if __name__ == "__main__":
    main()
