"""Measure the gain of an hour of review: rows of a finished run are reviewed, and the run is made again.

python benchmarks/review_gain.py --clone KEPT/ilt [--budget 60] [--iteration it1] [--strategy improve]

`--clone` is a clone in which `dvc repro` has finished (benchmarks/arms.py --keep KEPT makes one); it is
copied. The reviewer is a script that answers with the true text (`pool_reference`), through
`ilt review export` and `ilt review import`. The result is in points of test error for each minute of
audio listened to.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import polars as pl

from clones import ROOT, environment
from ilt import paths
from ilt.evaluation.assess import compare
from ilt.tools.machine import machine
from ilt.tools.review.table import REVIEWS


def _run(clone: Path, *command: str, check: bool = True) -> str:
    done = subprocess.run(command, cwd=clone, env=environment(clone), check=check, stdout=subprocess.PIPE, text=True)
    return done.stdout


def _answers(clone: Path, review: str) -> Path:
    """Write the file that the review page saves, as of somebody who is always right."""
    rows = pl.read_parquet(clone / REVIEWS / f"{review}.parquet").sort("position")
    truth = pl.read_parquet(clone / paths.POOL_REFERENCE).select("id", truth="text")
    answers = [
        {
            "id": row["id"],
            "language": row["language"],
            "verdict": "accepted" if row["truth"] == row["text"] else "corrected",
            "text": row["truth"],
            "text_before": row["text"],
        }
        for row in rows.join(truth, on="id", maintain_order="left").iter_rows(named=True)
    ]
    content = {"format": "ilt.review/1", "review": review, "reviewer": "script", "answers": answers}
    path = clone / "answers.json"
    paths.write_json(path, content, sort_keys=False)
    return path


def _review(clone: Path, args: argparse.Namespace) -> str:
    """Review rows in a clone, and return the name of the review."""
    _run(clone, "git", "add", "-A")
    author = ("-c", "user.name=reviewer", "-c", "user.email=reviewer@example.org")
    _run(clone, "git", *author, "commit", "--quiet", "--allow-empty", "-m", "before the review")
    _run(
        clone, "ilt", "review", "export", "--iteration", args.iteration, "--budget", str(args.budget),
        "--strategy", args.strategy, "--format", "html", "--output", "review.html",
    )  # fmt: skip
    (review,) = (path.stem for path in (clone / REVIEWS).glob("*.parquet"))
    print(_run(clone, "ilt", "review", "import", str(_answers(clone, review)), "--yes"))
    print(_run(clone, "ilt", "review", "import", "answers.json"))
    return review


def _changed_labels(before: Path, after: Path, iteration: str) -> dict[str, float]:
    """Return how many labels of an iteration changed, and in which way."""
    table = paths.labels(iteration, "corrected")
    words = ("ilt", "diff", str(before.resolve() / table), str(table), "--format", "json", "--limit", "1")
    total = json.loads(_run(after, *words, check=False))["total"]
    return {key: total[key] for key in ("reworded", "redecided", "resourced", "churn")}


def _test_errors(without: Path, reviewed: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return test error without and with the review, and the gain of it, by iteration."""
    errors, gains = {}, {}
    for name in list(paths.read_json(reviewed / paths.SUMMARY))[1:]:
        before, after = (pl.read_parquet(folder / paths.predictions(name)) for folder in (without, reviewed))
        gains[name] = compare(before, after, "basic", 2000, 1)
        errors[name] = {
            side: paths.read_json(folder / paths.evaluation(name))["test"]["micro"]
            for side, folder in (("without", without), ("with", reviewed))
        }
    return errors, gains


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clone", type=Path, required=True)
    parser.add_argument("--budget", type=int, default=60)
    parser.add_argument("--iteration", default="it1")
    parser.add_argument("--strategy", choices=["audit", "improve"], default="improve")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks/results/review-gain.json")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        clone = Path(temporary) / "clone"
        shutil.copytree(args.clone, clone, symlinks=True)
        review = _review(clone, args)
        shown = _run(clone, "dvc", "repro")
        print(_run(clone, "ilt", "review", "gain", "--rev", "HEAD"))
        rows = pl.read_parquet(clone / REVIEWS / f"{review}.parquet").select("id")
        durations = pl.read_parquet(clone / paths.UTTERANCES, columns=["id", "duration"])
        minutes = rows.join(durations, on="id")["duration"].sum() / 60
        errors, gains = _test_errors(args.clone, clone)
        result = {
            "machine": machine(),
            "review": review,
            "rows": len(rows),
            "minutes_of_audio": round(minutes, 2),
            "stages_that_ran": [line.split("'")[1] for line in shown.splitlines() if line.startswith("Running stage")],
            "labels": _changed_labels(args.clone, clone, args.iteration),
            "test": errors,
            "gain": gains,
            "points_per_reviewed_minute": round(100 * list(gains.values())[-1]["micro"] / minutes, 3),
        }
    print(json.dumps(result, indent=2))
    paths.write_json(args.output, result, sort_keys=False)


if __name__ == "__main__":
    main()
