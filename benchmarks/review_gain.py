"""What an hour of a person buys: review rows of a finished run, run again, compare.

python benchmarks/review_gain.py --clone KEPT/ilt [--budget 60] [--iteration it1] [--strategy improve]

`--clone` is a clone in which `dvc repro` has finished (benchmarks/arms.py --keep KEPT makes one); it is
copied. The reviewer is a script that answers with what was really said (`pool_reference`), through
`ilt review export` and `ilt review import`; what it buys is given in points of test error for each minute of
audio listened to.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import tempfile
from pathlib import Path

import polars as pl

from clones import ROOT, environment
from ilt.evaluation.assess import compare
from ilt.paths import write_json
from ilt.tools.machine import machine


def _run(clone: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=clone, env=environment(clone), check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


def _answers(clone: Path, review: str) -> Path:
    """The file that the review page saves, filled in by somebody who always hears what was said."""
    rows = pl.read_parquet(clone / "data/reviews" / f"{review}.parquet").sort("position")
    said = pl.read_parquet(clone / "data/corpus/pool_reference.parquet").select("id", said="text")
    answers = [
        {
            "id": row["id"],
            "language": row["language"],
            "verdict": "accepted" if row["said"] == row["text"] else "corrected",
            "text": row["said"],
            "text_before": row["text"],
        }
        for row in rows.join(said, on="id", maintain_order="left").iter_rows(named=True)
    ]
    told = {"format": "ilt.review/1", "review": review, "reviewer": "script", "answers": answers}
    path = clone / "answers.json"
    path.write_text(json.dumps(told, ensure_ascii=False), encoding="utf-8")
    return path


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
        _run(clone, "git", "add", "-A")
        author = ("-c", "user.name=reviewer", "-c", "user.email=reviewer@example.org")
        _run(clone, "git", *author, "commit", "--quiet", "--allow-empty", "-m", "before the review")
        _run(
            clone, "ilt", "review", "export", "--iteration", args.iteration, "--budget", str(args.budget),
            "--strategy", args.strategy, "--format", "html", "--output", "review.html",
        )  # fmt: skip
        (review,) = (path.stem for path in (clone / "data/reviews").glob("*.parquet"))
        print(_run(clone, "ilt", "review", "import", str(_answers(clone, review)), "--yes"))
        print(_run(clone, "ilt", "review", "import", "answers.json"))
        shown = _run(clone, "dvc", "repro")
        print(_run(clone, "ilt", "review", "gain", "--rev", "HEAD"))
        ran = [line.split("'")[1] for line in shown.splitlines() if line.startswith("Running stage")]
        fixed = f"data/iterations/{args.iteration}/labels/corrected.parquet"
        labels = json.loads(
            subprocess.run(
                ["ilt", "diff", str(args.clone.resolve() / fixed), fixed, "--format", "json", "--limit", "1"],
                cwd=clone, check=False, stdout=subprocess.PIPE, text=True, env=environment(clone),
            ).stdout
        )  # fmt: skip
        rows = pl.read_parquet(clone / "data/reviews" / f"{review}.parquet").select("id")
        utterances = pl.scan_parquet(clone / "data/corpus/utterances.parquet").select("id", "duration").collect()
        minutes = rows.join(utterances, on="id")["duration"].sum() / 60
        iterations = list(json.loads((clone / "data/metrics/summary.json").read_text(encoding="utf-8")))
        gains, errors = {}, {}
        for name in iterations[1:]:
            before, after = (
                pl.read_parquet(folder / "data/predictions" / f"{name}.parquet") for folder in (args.clone, clone)
            )
            gains[name] = compare(before, after, "basic", 2000, 1)
            errors[name] = {
                side: json.loads((folder / f"data/iterations/{name}/evaluation.json").read_text(encoding="utf-8"))[
                    "test"
                ]["micro"]
                for side, folder in (("without", args.clone), ("with", clone))
            }
    last = iterations[-1]
    result = {
        "machine": machine(),
        "review": review,
        "rows": len(rows),
        "minutes_of_audio": round(minutes, 2),
        "stages_that_ran": ran,
        "labels": {key: labels["total"][key] for key in ("reworded", "redecided", "resourced", "churn")},
        "test": errors,
        "gain": gains,
        "points_per_reviewed_minute": round(100 * gains[last]["micro"] / minutes, 3),
    }
    print(json.dumps(result, indent=2))
    write_json(args.output, result, sort_keys=False)


if __name__ == "__main__":
    main()
