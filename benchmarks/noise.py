"""How much two trainings differ by chance alone: the last iteration again, with other seeds.

    python benchmarks/noise.py                # in a project whose default has been run; 5 minutes a training

The last iteration of the default and of a variant (the tour's: `select.keep` of 0.3) are run from `select`
on, with everything before them as it is; a training with another seed draws other batches, another
augmentation and another LoRA to begin with. Nothing in the project is changed. Writes
benchmarks/results/noise.json and the table in docs/ablation.md.
"""

from __future__ import annotations

import argparse
import itertools
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from ilt import paths
from ilt.evaluation.assess import compare
from ilt.evaluation.figures import interval, percent
from ilt.labels.table import PREDICTION_TABLE
from ilt.tools.machine import machine
from pages import publish

ROOT = Path(__file__).resolve().parents[1]
PAGE, RESULT = ROOT / "docs" / "ablation.md", ROOT / "benchmarks" / "results" / "noise.json"
STAGES = ("select", "feedback", "correct", "fix", "evaluate")
VARIANTS: dict[str, dict[str, Any]] = {"default": {}, "keep 0.3": {"keep": 0.3}}


def _planned(folder: Path, iteration: str, select: dict[str, Any], seed: int) -> None:
    """Change what the stages of an iteration are told: the selection, and the seed of the trainings."""
    for stage in STAGES:
        path = folder / paths.plan(stage, iteration)
        told = paths.read_json(path)
        if "select" in told:
            told["select"] |= select
        if stage in ("feedback", "fix"):
            told["seed"] = seed
        paths.write_json(path, told)


def _trained(project: Path, iteration: str, select: dict[str, Any], seed: int) -> dict[str, Any]:
    """Errors of the iteration, and its predictions, from a copy of the project's data."""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(project / "data", folder / "data", ignore=shutil.ignore_patterns("report"))
        _planned(folder, iteration, select, seed)
        for stage in STAGES:
            subprocess.run(
                [sys.executable, "-m", f"ilt.stages.{stage}", iteration],
                cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL,
            )  # fmt: skip
        told = paths.read_json(folder / paths.evaluation(iteration))
        predictions = PREDICTION_TABLE.read(folder / paths.predictions(iteration))
    return {"test": told["test"]["micro"], "dev": told["dev"]["micro"], "predictions": predictions}


def measure(project: Path, seeds: list[int]) -> dict[str, Any]:
    plan = paths.read_json(project / paths.plan("report"))
    iteration = plan["iterations"][-1]
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in VARIANTS}
    for seed, (name, select) in itertools.product(seeds, VARIANTS.items()):
        runs[name].append(_trained(project, iteration, select, seed))
        print(f"{name}, seed {seed}: test {percent(runs[name][-1]['test'])} %", flush=True)
    found: dict[str, Any] = {
        "machine": machine(), "iteration": iteration, "seeds": seeds, "runs": {}, "pairs": {},
    }  # fmt: skip
    for name, told in runs.items():
        found["runs"][name] = [{key: run[key] for key in ("test", "dev")} for run in told]
        found["pairs"][name] = [
            compare(one["predictions"], other["predictions"], plan["normaliser"], plan["bootstrap"], plan["seed"])
            for one, other in itertools.combinations(told, 2)
        ]
    return found


def table(found: dict[str, Any]) -> list[str]:
    """The table of docs/ablation.md."""
    seeds = found["seeds"]
    lines = [
        f"| {found['iteration']} | {' | '.join(f'seed {seed}' for seed in seeds)} | mean | deviation | dev "
        "| two of them apart, on test [95 %] |",
        "|---|" + "--:|" * (len(seeds) + 2) + "---|---|",
    ]
    for name, runs in found["runs"].items():
        test = [run["test"] for run in runs]
        cells = [
            name,
            *map(percent, test),
            percent(statistics.mean(test)),
            percent(statistics.stdev(test)),
            ", ".join(percent(run["dev"]) for run in runs),
            ", ".join(interval(pair) for pair in found["pairs"][name]),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    here = found["machine"]
    return [*lines, "", f"*Test error in %; {here['processor']}, {here['cores']} cores.*"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", type=Path, default=Path(), help="a folder whose default has been run")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="of the trainings")
    args = parser.parse_args()
    found = measure(args.project, args.seeds)
    publish(RESULT, found, PAGE, "noise", table(found))


if __name__ == "__main__":
    main()
