"""What each run left, as a small file in git: runs of several machines and days meet in one result.

A record holds what decided it, as `plan` wrote it for the run: the base model, and of each stage the parameters and the
digest of its code. It counts as long as the run would be planned so now. That a change of code changed no result can be
shown: see `Record.carried`.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import Field, ValidationError

from ilt import paths
from ilt.asr.lineage import base_lineage
from ilt.errors import IltError
from ilt.evaluation.scoring import frame_errors, rate
from ilt.params import Section, check_params, ordered_iterations
from ilt.stages.plan import plan_files, resolve
from ilt.tools.experiments.ablation.file import Run
from ilt.tools.experiments.ablation.results import RESULTS, Outcome
from ilt.tools.experiments.dvc import commit, minutes_of, predictions_of
from ilt.tools.machine import machine
from ilt.tools.revisions import filesystem, read_json

__all__ = [
    "FORMER_CODE",
    "NOT_RECORDED",
    "RECORDS",
    "Identity",
    "Record",
    "planned_identity",
    "read_record",
    "record_of",
]

RECORDS = RESULTS / "ablation"

FORMER_CODE, NOT_RECORDED = "of former code", "not recorded"

NO_PREDICTION = ("sources", "report")
"""Stages that change no prediction: what `sources` finds is the base model, and a manifest."""


class Identity(Section):
    """What decides a run. model: hash of the base. stages: by plan file, its `parameters` and `code`."""

    model: str
    stages: dict[str, dict[str, Any]]

    def part(self, name: str) -> dict[str, Any]:
        """Return the `parameters` or the `code` of all stages."""
        return {stage: plan[name] for stage, plan in self.stages.items()}

    def why_other(self, now: Identity) -> str:
        """Return why a record of this identity does not count for the one of now; nothing where it does."""
        if self.model != now.model:
            return "of another base model"
        if self.part("parameters") != now.part("parameters"):
            return "of other parameters"
        return FORMER_CODE if self.part("code") != now.part("code") else ""


class Record(Section):
    """A run that is over. ours: its result; base: the untouched base, as it measured it; commit, machine: where it ran.

    ran: by plan file, the code that it ran with, where `identity` has other code that was shown to do the same.
    """

    data: str
    commit: str
    machine: dict[str, Any]
    ours: Outcome
    base: Outcome
    ran: dict[str, str] = Field(default_factory=dict)
    identity: Identity

    def differences(self, other: Record) -> int:
        """Return in how many test utterances two records differ; -1: not in these, but in dev or retention."""
        pairs = [(self.ours, other.ours), (self.base, other.base)]
        if any(one.references != two.references or one.units != two.units for one, two in pairs):
            return len(self.ours.units)
        count = max(sum(a != b for a, b in zip(one.errors, two.errors, strict=True)) for one, two in pairs)
        same = all((one.dev, one.retention) == (two.dev, two.retention) for one, two in pairs)
        return count if count or same else -1

    def carried(self, now: Identity) -> Record:
        """Return the record for other code, which was shown to do the same."""
        ran, code = self.identity.part("code") | self.ran, now.part("code")
        changed = {stage: digest for stage, digest in ran.items() if digest != code[stage]}
        return self.model_copy(update={"identity": now, "ran": changed})

    def write(self) -> None:
        """Leave the record in `RECORDS`, to be committed."""
        paths.write_json(_path(self.data, self.ours.seed, self.ours.arm), self.model_dump(mode="json"), sort_keys=False)


def _path(data: str, seed: int, arm: str) -> Path:
    return RECORDS / f"{data}-s{seed}-{arm.replace('_', '-')}.json"


def read_record(run: Run) -> Record | str:
    """Return the record of a run, whatever decided it, or in words why there is none that can be read.

    Raises IltError for a file that is no record, as one that git could not merge.
    """
    path = _path(run.data, run.seed, run.arm)
    if not path.is_file():
        return NOT_RECORDED
    try:
        if "said" in (content := json.loads(path.read_text(encoding="utf-8"))):
            return "of former code, from before version 0.2"
        record = Record.model_validate(content)
        if (record.data, record.ours.seed, record.ours.arm) == (run.data, run.seed, run.arm):
            return record
        why = "it is of another run"
    except ValidationError as error:
        why = f"{'.'.join(map(str, error.errors()[0]['loc']))}: {error.errors()[0]['msg']}"
    except (TypeError, ValueError) as error:
        why = str(error)
    raise IltError(
        f"{path} is no record of {run.name} ({why}); take one side of a merge, or delete it, and the run is made again"
    )


@functools.cache
def _hash_of_base(model_id: str, revision: str | None) -> str:
    return base_lineage(model_id, revision).hash


def _identity(model: str, plans: dict[str, Any]) -> Identity:
    """Return an identity without what changes no prediction; of a manifest, the text counts and not the place."""
    stages = {name: plans[name] for name in sorted(plans) if name not in NO_PREDICTION}
    corpus = dict(stages["corpus"]["parameters"]["corpus"])
    for key in ("manifest", "pool_reference"):
        if corpus[key] is not None:
            path = Path(corpus[key])
            if not path.is_file():
                raise IltError(f"corpus.{key}: there is no {path}")
            corpus[key] = hashlib.sha256(path.read_bytes()).hexdigest()
    parameters = stages["corpus"]["parameters"] | {"corpus": corpus}
    return Identity(model=model, stages=stages | {"corpus": stages["corpus"] | {"parameters": parameters}})


def planned_identity(run: Run) -> Identity:
    """Return what would decide a run now. Raises IltError for parameters that cannot be."""
    params = check_params(run.values)
    return _identity(_hash_of_base(params.model.id, params.model.revision), plan_files(resolve(params)))


def record_of(run: Run) -> Record:
    """Return the record of a run that is an experiment here. Raises FileNotFoundError where DVC's cache lacks it."""
    threads = os.environ.get("OMP_NUM_THREADS", "")
    where = machine() | ({"threads": int(threads)} if threads.isdigit() else {})
    files, root = filesystem(run.name), paths.DATA / "plan"
    plans = [Path(name.lstrip("/")) for name in files.find(root.as_posix())]
    content = {path.relative_to(root).with_suffix("").as_posix(): read_json(files, path) for path in plans}
    if "corpus" not in content:
        raise FileNotFoundError(root)
    identity = _identity(read_json(files, paths.lineage("base"))["hash"], content)
    ours, base = _outcome(run, files), _outcome(run, files, base=True)
    return Record(data=run.data, commit=commit(), machine=where, ours=ours, base=base, identity=identity)


def _outcome(run: Run, files: Any, base: bool = False) -> Outcome:
    """Return the result of an experiment; base: of the untouched base, as that experiment measured it."""
    params = check_params(run.values)
    order = ordered_iterations(params)
    frame = predictions_of(files, "base" if base else run.last).sort("id")
    splits = {split: frame.filter(pl.col("split") == split) for split in ("test", "dev", "retention")}
    counts = {
        split: frame_errors(rows, "reference", "hypothesis", params.evaluate.normaliser)
        for split, rows in splits.items()
    }
    rates = {split: round(rate(*counts[split]), 6) if len(splits[split]) else None for split in ("dev", "retention")}
    return Outcome(
        arm="base" if base else run.arm,
        seed=run.seed,
        references=hashlib.sha256("\n".join(splits["test"]["reference"]).encode()).hexdigest(),
        errors=counts["test"][0].tolist(),
        units=counts["test"][1].tolist(),
        minutes=0.0 if base else round(minutes_of(files, order[: order.index(run.last) + 1]), 2),
        **rates,
    )
