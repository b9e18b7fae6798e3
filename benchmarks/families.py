"""Does every stage run with every model family? One small iteration of the real pipeline with each.

    python benchmarks/families.py [FAMILY ...]

Each family is a small model made by a recipe, put into a repository of its own, where `dvc repro` runs. A
stage passes if DVC has its outputs. Writes benchmarks/results/families.json (families that were not asked for
stay as they were) and the table in docs/models.md.
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
from ilt.paths import write_json
from pages import put

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "benchmarks" / "results" / "families.json"
PAGE = ROOT / "docs" / "models.md"
STAGES = (
    "plan", "sources", "corpus", "baseline", "focus", "label", "select", "feedback", "correct", "fix",
    "evaluate", "report",
)  # fmt: skip
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
    """params.yaml of the repository for one small iteration, changed."""
    values: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    values["corpus"]["demo"] |= {"languages": ["de", "en"], **COUNTS}
    for stage in ("focus", "feedback", "fix"):
        values[stage] |= {"steps": 16, "epochs": None, "batch_size": 8, "evaluations": 2}
        values[stage] |= {"learning_rate": 2e-3}
    values["select"] |= {"keep": 0.8, "max_expected_error": 1.0, "min_rows": 6}
    values["correct"] |= {"keep": 0.8, "max_expected_error": 1.0}
    values["evaluate"]["bootstrap"] = 100
    values["iterations"] = {"it1": {"prev": "base"}}
    values["model"] |= {"id": "model", "files": "model"}
    for name, value in changes.items():
        *sections, key = name.split(".")
        section = values
        for part in sections:
            section = section[part]
        section[key] = value
    return values


def run(family: Family) -> dict[str, Any]:
    """What each stage came to, and the error rates on test before and after."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "repository"
        tracked = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, check=True, text=True, stdout=-1
        )
        for file in tracked.stdout.splitlines():
            if file.startswith(("src/", "data/corrections/", ".dvc", ".gitignore", "dvc.yaml")):
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / file, folder / file)
        for base in ("data/models/demo-whisper", "data/corrections"):
            shutil.copytree(ROOT / base, folder / base, dirs_exist_ok=True)
        family.make(folder / "model")
        (folder / "params.yaml").write_text(yaml.safe_dump(_parameters(family.changes), sort_keys=False))
        env = os.environ | {"PYTHONPATH": str(folder / "src"), "OMP_NUM_THREADS": "1"}
        for command in ("git init -q", "git add -A"):
            subprocess.run(command.split(), cwd=folder, check=True)
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
    """The Markdown table: a row a family, a column a stage."""
    lines = ["| | " + " | ".join((*STAGES, "test error, %")) + " |", "|---" * (len(STAGES) + 2) + "|"]
    for name, stages in found.items():
        marks = ["yes" if stages.get(stage) else "**no**" for stage in STAGES]
        rates = " → ".join(f"{100 * rate:.1f}" for rate in stages.get("test", []))
        lines.append(f"| {name} | " + " | ".join((*marks, rates)) + " |")
    return lines


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
        put(PAGE, "families", "families", table(found))
    print("\n".join(table(found)))
    if not all(stages.get(stage) for stages in found.values() for stage in STAGES):
        sys.exit(1)


if __name__ == "__main__":
    main()
