"""Differences between trainings that chance alone makes: the demo with other seeds of its trainings.

    python benchmarks/seeds.py FOLDER [--seeds 5] [-S KEY=VALUE ...]    # goes on after a stop

Each seed is a project of its own in FOLDER, made by `ilt init --demo`, with a shared DVC cache, so that the corpus and
the base are computed once. Corpus and test set are the same; `train.seed` differs. Writes
benchmarks/results/demo-seeds.json (without -S): by iteration the mean and the standard deviation over seeds of test,
dev and retention error, the gain over the iteration before, and the minutes. docs/build/tables.py puts the table into
docs/ablation.md.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from ilt.paths import read_json, write_json
from ilt.tools.machine import machine

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "benchmarks" / "results" / "demo-seeds.json"
PAGE = ROOT / "docs" / "ablation.md"
SPLITS = ("test", "dev", "retention")


def _environment() -> dict[str, str]:
    search = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": search, "PYTHONPATH": str(ROOT / "src")}


def _run(folder: Path, *command: str) -> None:
    subprocess.run(command, cwd=folder, env=_environment(), check=True)


def _project(folder: Path, seed: int, changes: list[str]) -> Path:
    """Return the finished project of a seed, run where it is not."""
    project = folder / f"seed{seed}"
    if not (project / "dvc.yaml").is_file():
        _run(folder, "ilt", "init", project.name, "--demo")
        _run(project, "dvc", "config", "--local", "cache.dir", str(folder / "cache"))
    yaml, path = YAML(), project / "params.yaml"
    values = yaml.load(path.read_text(encoding="utf-8"))
    for change in (f"train.seed={seed}", *changes):
        key, _, value = change.partition("=")
        *sections, name = key.split(".")
        at = values
        for section in sections:
            at = at.setdefault(section, {})
        at[name] = YAML(typ="safe").load(value)
    with path.open("w", encoding="utf-8") as file:
        yaml.dump(values, file)
    _run(project, "dvc", "repro")
    return project


def _minutes(costs: dict[str, Any]) -> float:
    return round(sum(one["seconds"] for stages in costs.values() for one in stages.values()) / 60, 2)


def collect(projects: dict[int, Path]) -> dict[str, Any]:
    """Return the table over seeds from the summaries of finished projects."""
    summaries = {seed: read_json(project / "data/metrics/summary.json") for seed, project in projects.items()}
    rows: dict[str, Any] = {}
    for name in next(iter(summaries.values())):
        row: dict[str, Any] = {}
        for split in SPLITS:
            values = [round(100 * summary[name][split]["micro"], 2) for summary in summaries.values()]
            deviation = statistics.stdev(values) if len(values) > 1 else 0.0
            row[split] = {"seeds": values, "mean": round(statistics.mean(values), 2), "sd": round(deviation, 2)}
        row["gain"] = [round(100 * summary[name]["gain_over_previous"]["micro"], 2) for summary in summaries.values()]
        rows[name] = row
    costs = {seed: _minutes(read_json(project / "data/metrics/costs.json")) for seed, project in projects.items()}
    return {"seeds": sorted(projects), "iterations": rows, "minutes": list(costs.values()), "machine": machine()}


def tables() -> dict[str, list[str]]:
    """Return the table of `PAGE` by the name of its mark: errors in %, gains in points."""
    lines = ["| | test, mean ± deviation | dev | retention | gain on test, by seed |", "|---|---|---|---|---|"]
    rows = read_json(RESULT)["iterations"] if RESULT.is_file() else {}
    for name, row in rows.items():
        errors = [f"{row[split]['mean']:.1f} ± {row[split]['sd']:.1f}" for split in SPLITS]
        gains = "" if name == "base" else ", ".join(f"{gain:+.1f}" for gain in row["gain"])
        lines.append(f"| {' | '.join([name, *errors, gains])} |")
    return {"seeds": lines if rows else [*lines, "| being measured | | | | |"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("-S", dest="changes", action="append", default=[])
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    projects = {seed: _project(options.folder.resolve(), seed, options.changes) for seed in range(1, options.seeds + 1)}
    result = collect(projects)
    for name, row in result["iterations"].items():
        print(name, *(f"{split} {row[split]['mean']:.1f} +- {row[split]['sd']:.2f}" for split in SPLITS), row["gain"])
    if not options.changes:
        write_json(RESULT, result)


if __name__ == "__main__":
    main()
