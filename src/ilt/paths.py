"""Where everything lies, relative to the repository root. The same paths stand in dvc.yaml."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ilt.errors import IltError

__all__ = [
    "CORRECTIONS",
    "METRICS",
    "ORIGINS",
    "POOL_REFERENCE",
    "QUARANTINE",
    "REPORT",
    "SOURCES",
    "SUMMARY",
    "UTTERANCES",
    "WORK",
    "adapter",
    "base_predictions",
    "check_output",
    "costs",
    "evaluation",
    "intake",
    "intake_reference",
    "labels",
    "lineage",
    "live",
    "metrics",
    "plan",
    "predictions",
    "read_json",
    "replacing",
    "stop",
    "write_json",
]

DATA = Path("data")
CORPUS = DATA / "corpus"
UTTERANCES = CORPUS / "utterances.parquet"
POOL_REFERENCE = CORPUS / "pool_reference.parquet"
QUARANTINE = CORPUS / "quarantine.parquet"
ORIGINS = CORPUS / "origins.parquet"
SOURCES = CORPUS / "sources.json"
CORRECTIONS = DATA / "corrections" / "corrections.parquet"
METRICS = DATA / "metrics"
SUMMARY = METRICS / "summary.json"
REPORT = DATA / "report"

WORK = Path(".ilt")
"""Checkpoints, finished shards and feature caches: outside every stage's outs, since DVC deletes those."""


def plan(stage: str, iteration: str | None = None) -> Path:
    """The resolved parameters of one stage."""
    return DATA / "plan" / (f"{iteration}/{stage}.json" if iteration else f"{stage}.json")


def intake(iteration: str) -> Path:
    """Which utterances take part in an iteration, or in scoring the base (`base`)."""
    return DATA / "intake" / f"{iteration}.parquet"


def intake_reference(iteration: str) -> Path:
    """What was really said in the part of the pool that takes part."""
    return DATA / "intake" / f"{iteration}.reference.parquet"


def labels(iteration: str, table: str) -> Path:
    """A label table: `pseudo`, `selected` or `fixed`."""
    return DATA / "labels" / iteration / f"{table}.parquet"


def adapter(iteration: str, stage: str) -> Path:
    """The folder of the adapter that a training stage saved."""
    return DATA / "adapters" / iteration / stage


def lineage(iteration: str, stage: str = "fix") -> Path:
    """The lineage of the model as it is after a stage; what fix leaves is the iteration's."""
    return DATA / "lineage" / (f"{iteration}.json" if stage == "fix" else f"{iteration}.{stage}.json")


def predictions(iteration: str) -> Path:
    """What the model of an iteration said on gold, dev, test and retention."""
    return DATA / "predictions" / f"{iteration}.parquet"


def base_predictions(iteration: str) -> Path:
    """What the untouched base said of all that takes part in an iteration."""
    return DATA / "predictions" / "of_base" / f"{iteration}.parquet"


def evaluation(iteration: str) -> Path:
    """The assessment of the model of an iteration."""
    return DATA / "evaluations" / f"{iteration}.json"


def stop(iteration: str) -> Path:
    """Whether an iteration was the last, and why: `{"why": null}` where others follow."""
    return DATA / "stops" / f"{iteration}.json"


def metrics(iteration: str, name: str) -> Path:
    """What a stage of an iteration tells of itself: `focus`, `select`, `correct`, ..."""
    return DATA / "details" / iteration / f"{name}.json"


def live(iteration: str, stage: str) -> Path:
    """What a training tells while it runs; nothing reads it but people."""
    return WORK / "live" / iteration / stage


def costs(iteration: str, stage: str) -> Path:
    """Seconds and memory of a stage; the only outputs that differ from run to run."""
    return DATA / "costs" / iteration / f"{stage}.json"


def check_output(path: Path, folder: bool) -> None:
    """Raise IltError where no file (or `folder`) can be written to `path`; nothing is made or deleted."""
    if path.is_dir() and not folder:
        raise IltError(f"{path} is a folder; name a file")
    if path.exists() and not path.is_dir() and folder:
        raise IltError(f"{path} is a file; name a folder")
    above = next((parent for parent in path.parents if parent.exists()), None)
    if above is not None and not above.is_dir():
        raise IltError(f"{path} cannot be written: {above} is a file, and nothing lies below it")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path to write a file or a folder to; rename it to `path` at the end.

    If the block raises, `path` stays as it was and the temporary is removed. A folder is replaced by a folder
    alone, and a file by a file. Raises IltError for that, and where the folder above cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise IltError(f"{path} cannot be written: {path.parent}: {error.strerror}") from None
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        check_output(path, folder=temporary.is_dir())
        if path.is_dir():
            shutil.rmtree(path)
        temporary.replace(path)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        else:
            temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any, sort_keys: bool = True) -> None:
    """Write JSON in one form, so that equal values are equal bytes."""
    with replacing(path) as temporary:
        text = json.dumps(value, indent=2, sort_keys=sort_keys, ensure_ascii=False, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))
