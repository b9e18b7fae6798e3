"""What each run left, as a small file in git: runs of several machines and days meet in one result.

A record counts as long as what it depends on is the same, as DVC would see it: what the stages are told, the
code and the files in git that they depend on, the base model, and the manifest. Where a change of the code is
to change no result, that can be shown: see `carry_over`.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from ilt.errors import IltError
from ilt.params import check_params, parse_yaml, read_yaml
from ilt.paths import write_json
from ilt.stages.plan import resolve
from ilt.tools.experiments.ablation.results import RESULTS, Outcome
from ilt.tools.experiments.ablation.running import Run
from ilt.tools.machine import machine
from ilt.tools.revisions import filesystem

__all__ = [
    "RECORDS",
    "Record",
    "carry_over",
    "code_digest",
    "is_done",
    "is_recorded",
    "params_digest",
    "read_former",
    "read_record",
    "write_record",
]

RECORDS = RESULTS / "ablation"

OTHER_STAGES = ("plan", "sources", "report")
"""Stages whose code changes no prediction: what they tell the others is hashed in itself."""


@dataclass(frozen=True)
class Record:
    """A run that is over.

    ours: what it left; base: the untouched base, as it measured it; machine: where; code: a hash of the code
    that does, or has been shown to do, the same.
    """

    ours: Outcome
    base: Outcome
    machine: dict[str, Any]
    code: str

    def differences(self, other: Record) -> int:
        """In how many test utterances two records differ; -1: not in these, but in dev or retention."""
        pairs = [(self.ours, other.ours), (self.base, other.base)]
        if any(one.said != two.said or not np.array_equal(one.units, two.units) for one, two in pairs):
            return len(self.ours.units)
        found = max(int((one.errors != two.errors).sum()) for one, two in pairs)
        same = all((one.dev, one.retention) == (two.dev, two.retention) for one, two in pairs)
        return found if found or same else -1


def _path(run: Run) -> Path:
    return RECORDS / f"{run.name.removeprefix('ablate-')}.json"


def params_digest(values: dict[str, Any]) -> str:
    """A hash of what the stages are told by a params.yaml; of a manifest, its text and not its place counts.

    Raises IltError for parameters that cannot be, and where the manifest is missing.
    """
    told = resolve(check_params(values))
    told = {name: values for name, values in told.items() if name not in ("report", "sources")}
    corpus = told["corpus"]["corpus"]
    for key in ("manifest", "pool_reference"):
        if corpus[key] is not None:
            path = Path(corpus[key])
            if not path.is_file():
                raise IltError(f"corpus.{key}: there is no {path}")
            corpus[key] = hashlib.sha256(path.read_bytes()).hexdigest()
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _watched(model_files: str) -> list[str]:
    """What dvc.yaml says that the stages of a run depend on and none of them makes, and the base model."""
    stages = read_yaml(Path("dvc.yaml"), "it says what the stages depend on")["stages"]
    bodies = {name: stage.get("do", stage) for name, stage in stages.items()}
    made = [out for body in bodies.values() for out in body.get("outs", [])]
    found = {
        dep
        for name, body in bodies.items()
        if name not in OTHER_STAGES
        for dep in body.get("deps", [])
        if "${" not in dep and not any(dep == out or dep.startswith(f"{out}/") for out in made)
    }
    return [*sorted(found), model_files]


def _files(watched: list[str], revision: str | None) -> Iterator[tuple[str, bytes]]:
    """Name and content of all files below the paths `watched`, in order."""
    files = None if revision is None else filesystem(revision)
    for place in watched:
        if files is None:
            path = Path(place)
            parts = [path] if path.is_file() else [part for part in path.rglob("*") if part.is_file()]
            names = sorted(part.as_posix() for part in parts if "__pycache__" not in part.parts)
            yield from ((name, Path(name).read_bytes()) for name in names)
        else:
            for found in sorted(files.find(place)):
                yield found.lstrip("/"), files.cat_file(found)


def code_digest(model_files: str, revision: str | None = None) -> str:
    """A hash of the code of the stages and of the base model, in the workspace or in a revision."""
    total = hashlib.sha256()
    for name, content in _files(_watched(model_files), revision):
        total.update(f"{name} {hashlib.sha256(content).hexdigest()}\n".encode())
    return total.hexdigest()


def is_done(run: Run, known: Container[str]) -> bool:
    """Whether the run is among the experiments that are known, with stages that were told the same."""
    if run.name not in known:
        return False
    wanted = params_digest(run.values)
    found = filesystem(run.name).read_text("params.yaml", encoding="utf-8")
    try:
        return params_digest(parse_yaml(found, f"params.yaml of {run.name}")) == wanted
    except IltError:  # an experiment of a former version, with parameters that there are no more
        return False


class _Told(BaseModel):
    """An outcome in a record. errors: of each test utterance, as text with spaces."""

    model_config = ConfigDict(extra="forbid")

    errors: str
    dev: float | None
    retention: float | None
    minutes: float


class _File(BaseModel):
    """A record as it is written. params, code: hashes; said: of the references; units: as `errors`.

    ran: the code that it ran with, where `code` is another that was shown to do the same.
    """

    model_config = ConfigDict(extra="forbid")

    run: dict[str, str | int]
    params: str
    code: str
    ran: str | None = None
    machine: dict[str, Any]
    said: str
    units: str
    ours: _Told
    base: _Told


def _told(outcome: Outcome) -> _Told:
    errors = " ".join(map(str, outcome.errors.tolist()))
    return _Told(errors=errors, dev=outcome.dev, retention=outcome.retention, minutes=outcome.minutes)


def _names(run: Run) -> dict[str, str | int]:
    return {"data": run.data, "seed": run.seed, "arm": run.arm}


def _write(run: Run, told: _File) -> None:
    write_json(_path(run), told.model_dump(exclude={"ran"} if told.ran is None else None), sort_keys=False)


def write_record(run: Run, code: str, ours: Outcome, base: Outcome) -> Record:
    """Leave what a run came to in `RECORDS`, to be committed. The machine is this one."""
    threads = os.environ.get("OMP_NUM_THREADS", "")
    where = machine() | ({"threads": int(threads)} if threads.isdigit() else {})
    found = _File(
        run=_names(run), params=params_digest(run.values), code=code, machine=where, said=ours.said,
        units=" ".join(map(str, ours.units.tolist())), ours=_told(ours), base=_told(base),
    )  # fmt: skip
    _write(run, found)
    return Record(ours, base, where, code)


def read_record(run: Run, code: str) -> Record | None:
    """What a run came to, where that was recorded with the same parameters and code; else None.

    Raises IltError for a file that is no record, as one that git could not merge.
    """
    found = _read(run)
    return found if found is not None and found.code == code else None


def read_former(run: Run, code: str) -> Record | None:
    """The same for a record of the same parameters and any *other* code."""
    found = _read(run)
    return found if found is not None and found.code != code else None


def is_recorded(run: Run) -> bool:
    """Whether there is a record of the run, of whatever code and parameters."""
    return _path(run).is_file()


def carry_over(run: Run, code: str) -> None:
    """Let the record of a run count for other code, which was shown to do the same."""
    found = _File.model_validate_json(_path(run).read_text(encoding="utf-8"))
    ran = found.ran or found.code
    _write(run, found.model_copy(update={"code": code, "ran": None if ran == code else ran}))


def _read(run: Run) -> Record | None:
    path = _path(run)
    if not path.is_file():
        return None
    try:
        found = _File.model_validate_json(path.read_text(encoding="utf-8"))
        units, *errors = (
            np.array([int(number) for number in text.split()])
            for text in (found.units, found.ours.errors, found.base.errors)
        )
    except ValueError as error:
        raise IltError(
            f"{path} is no record of a run ({str(error).splitlines()[0]}); "
            "take one side of a merge, or delete it, and the run is made again"
        ) from None
    if found.run != _names(run) or any(len(one) != len(units) for one in errors):
        raise IltError(f"{path} is not a record of {run.name}; delete it, and the run is made again")
    if found.params != params_digest(run.values):
        return None
    outcomes = [
        Outcome(arm, run.seed, found.said, counts, units, told.dev, told.retention, told.minutes)
        for arm, counts, told in zip((run.arm, "base"), errors, (found.ours, found.base), strict=True)
    ]
    return Record(outcomes[0], outcomes[1], found.machine, found.code)
