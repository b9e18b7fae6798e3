"""What each run left, as a small file in git: runs of several machines and days meet in one result.

A record counts as long as what it depends on is the same: the parameters, the manifest, the base model, and
the code of the stages that ran.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ilt.ablation.results import RESULTS, Outcome
from ilt.ablation.running import Run
from ilt.errors import IltError
from ilt.machine import machine
from ilt.overrides import resolved
from ilt.params import check_params, read_yaml
from ilt.paths import read_json, write_json
from ilt.revisions import filesystem

__all__ = ["RECORDS", "Record", "code_digest", "params_digest", "read_record", "write_record"]

RECORDS = RESULTS / "ablation"

OTHER_STAGES = ("plan", "sources", "report")
"""Stages whose code changes no prediction: what they tell the others is in parameters and manifest."""


@dataclass(frozen=True)
class Record:
    """A run that is over. ours: what it left; base: the untouched base, as it measured it; machine: where."""

    ours: Outcome
    base: Outcome
    machine: dict[str, Any]


def _path(run: Run) -> Path:
    return RECORDS / f"{run.name.removeprefix('ablate-')}.json"


def params_digest(run: Run) -> str:
    """A hash of what the parameters come to; of a manifest, its content and not its place counts."""
    params = resolved(check_params(run.values))
    values = json.loads(json.dumps(params, default=lambda part: part.model_dump()))
    corpus = values["corpus"]
    for key in ("manifest", "pool_reference"):
        if corpus[key] is not None:
            path = Path(corpus[key])
            if not path.is_file():
                raise IltError(f"corpus.{key}: there is no {path}")
            corpus[key] = hashlib.sha256(path.read_bytes()).hexdigest()
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _watched(model_files: str) -> list[str]:
    """What dvc.yaml says that the stages of a run depend on in code, and the base model."""
    stages = read_yaml(Path("dvc.yaml"), "it says what the stages depend on")["stages"]
    found = {
        dep
        for name, stage in stages.items()
        if name not in OTHER_STAGES
        for dep in stage.get("do", stage).get("deps", [])
        if dep.startswith("src/")
    }
    return [*sorted(found), model_files]


def _files(watched: list[str], revision: str | None) -> Iterator[tuple[str, bytes]]:
    """Name and content of all files below the paths `watched`, in order."""
    files = None if revision is None else filesystem(revision)
    for place in watched:
        if files is None:
            path = Path(place)
            names = [path] if path.is_file() else sorted(part for part in path.rglob("*") if part.is_file())
            yield from (
                (name.as_posix(), name.read_bytes()) for name in names if "__pycache__" not in name.parts
            )
        else:
            for found in sorted(files.find(place)):
                yield found.lstrip("/"), files.cat_file(found)


def code_digest(model_files: str, revision: str | None = None) -> str:
    """A hash of the code of the stages and of the base model, in the workspace or in a revision."""
    total = hashlib.sha256()
    for name, content in _files(_watched(model_files), revision):
        total.update(f"{name} {hashlib.sha256(content).hexdigest()}\n".encode())
    return total.hexdigest()


def _told(outcome: Outcome) -> dict[str, Any]:
    return {
        "errors": " ".join(map(str, outcome.errors.tolist())),
        "dev": outcome.dev,
        "retention": outcome.retention,
        "minutes": outcome.minutes,
    }


def write_record(run: Run, code: str, ours: Outcome, base: Outcome) -> Record:
    """Leave what a run came to in `RECORDS`, to be committed."""
    threads = os.environ.get("OMP_NUM_THREADS")
    where = machine() | ({"threads": int(threads)} if threads else {})
    found = {
        "run": {"data": run.data, "seed": run.seed, "arm": run.arm},
        "params": params_digest(run),
        "code": code,
        "machine": where,
        "said": ours.said,
        "units": " ".join(map(str, ours.units.tolist())),
        "ours": _told(ours),
        "base": _told(base),
    }
    write_json(_path(run), found, sort_keys=False)
    return Record(ours, base, where)


def read_record(run: Run, code: str) -> Record | None:
    """What a run came to, where that was recorded with the same parameters and code; else None."""
    path = _path(run)
    if not path.is_file():
        return None
    found = read_json(path)
    if found["code"] != code or found["params"] != params_digest(run):
        return None

    def outcome(name: str, arm: str) -> Outcome:
        one = found[name]
        errors, units = (np.array([int(n) for n in text.split()]) for text in (one["errors"], found["units"]))
        return Outcome(
            arm, run.seed, found["said"], errors, units, one["dev"], one["retention"], one["minutes"]
        )

    return Record(outcome("ours", run.arm), outcome("base", "base"), found["machine"])
