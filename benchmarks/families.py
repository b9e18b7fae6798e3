"""Does every stage run with every model family? One small iteration of the real pipeline with each.

    python benchmarks/families.py [FAMILY ...]

Each family is a small model made by a recipe, put into a project of its own, where `dvc repro` runs. A stage
passes if DVC has its outputs. Writes benchmarks/results/families.json (families that were not asked for stay as
they were); docs/build/tables.py puts the table into docs/models.md.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

import whisper_families
from clones import environment
from ilt.params import read_params
from ilt.paths import write_json
from ilt.stages._stage import ORDER

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "benchmarks" / "results" / "families.json"
PAGE = ROOT / "docs" / "models.md"
STAGES = ORDER
COUNTS = {"gold": 8, "pool": 16, "dev": 10, "test": 10, "retention": 4}


@dataclass(frozen=True)
class Family:
    """A model family: a recipe that writes a small model to a folder, and parameters by dotted name."""

    make: Callable[[Path], object]
    changes: dict[str, Any] = field(default_factory=dict)


FAMILIES = {
    "whisper, 80 mel": Family(whisper_families.mel_80),
    "whisper, 128 mel": Family(whisper_families.mel_128),
    "whisper, English-only": Family(
        whisper_families.english_only, {"corpus.demo.languages": ["en"], "corpus.demo.gold": 16}
    ),
    "qwen2-audio": Family(lambda folder: shutil.copytree(ROOT / "data" / "models" / "demo-qwen2-audio", folder)),
}


def _parameters(changes: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters of the demo for one small iteration, changed."""
    values: dict[str, Any] = read_params(ROOT / "params.yaml")
    values["corpus"]["demo"] |= {"languages": ["de", "en"], **COUNTS}
    values["train"] |= {"steps": 16, "batch_size": 8, "evaluations": 2, "learning_rate": 2e-3}
    values["select"] |= {"keep": 0.8, "max_expected_error": 1.0, "min_rows": 6}
    values["correct"] |= {"keep": 0.8, "max_expected_error": 1.0}
    values["evaluate"]["bootstrap"] = 100
    values["iterations"] = {"it1": {"prev": "base"}}
    values["model"]["id"] = "model"
    for name, value in changes.items():
        *sections, key = name.split(".")
        section = values
        for part in sections:
            section = section[part]
        section[key] = value
    return values


def run(family: Family) -> dict[str, Any]:
    """Return whether each stage ran in a project with the family's model, and the error rates on test."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "project"
        env = environment(ROOT) | {"OMP_NUM_THREADS": "1"}
        init = [sys.executable, "-m", "ilt.cli", "init", folder.name, "--demo"]
        subprocess.run(init, cwd=name, env=env, check=True, stdout=subprocess.DEVNULL)
        family.make(folder / "model")
        text = yaml.safe_dump(_parameters(family.changes), sort_keys=False)
        (folder / "params.yaml").write_text(text, encoding="utf-8")
        subprocess.run(["git", "add", "-A"], cwd=folder, check=True)
        done = subprocess.run(
            ["dvc", "repro"], cwd=folder, env=env, check=False, text=True, stdout=-1, stderr=subprocess.STDOUT
        )
        lock = folder / "dvc.lock"
        passed = set(yaml.safe_load(lock.read_text())["stages"]) if lock.is_file() else set()
        found: dict[str, Any] = {stage: any(entry.split("@")[0] == stage for entry in passed) for stage in STAGES}
        if done.returncode:
            print(done.stdout[-3000:], file=sys.stderr)
            return found
        summary = json.loads((folder / "data/metrics/summary.json").read_text())
        return found | {"test": [round(summary[it]["test"]["micro"], 4) for it in ("base", "it1")]}


def table(found: dict[str, dict[str, Any]]) -> list[str]:
    """Return a Markdown table: a row a stage, a column a family, and the errors at last."""
    stages = [key for key in next(iter(found.values())) if key != "test"]
    rows = [
        [f"`{stage}`", *("yes" if family.get(stage) else "**no**" for family in found.values())] for stage in stages
    ]
    rates = [" → ".join(f"{100 * rate:.1f}" for rate in family.get("test", [])) for family in found.values()]
    lines = [["stage", *found], ["---"] * (1 + len(found)), *rows, ["test error, %", *rates]]
    return [f"| {' | '.join(line)} |" for line in lines]


def tables() -> dict[str, list[str]]:
    """Return the table of `PAGE` by the name of its mark."""
    return {"families": table(json.loads(RESULT.read_text(encoding="utf-8")))}


def main() -> None:
    wanted = sys.argv[1:] or list(FAMILIES)
    os.chdir(ROOT)
    found: dict[str, Any] = {}
    for name in wanted:
        if name not in FAMILIES:
            sys.exit(f"there is no family {name!r}; expected some of {', '.join(FAMILIES)}")
        result = run(FAMILIES[name])
        print(name, result, file=sys.stderr)
        known = json.loads(RESULT.read_text()) if RESULT.is_file() else {}
        found = {other: known.get(other) for other in FAMILIES} | {name: result}
        found = {other: stages for other, stages in found.items() if stages}
        write_json(RESULT, found, sort_keys=False)
    print("\n".join(table(found)))
    if not all(stages.get(stage) for stages in found.values() for stage in STAGES):
        sys.exit(1)


if __name__ == "__main__":
    main()
