"""Paths of a project, relative to its root. dvc.yaml is rendered from them."""

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
    "ITERATIONS",
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
    "damaged",
    "details",
    "evaluation",
    "folder",
    "intake",
    "intake_reference",
    "labels",
    "lineage",
    "plan",
    "predictions",
    "read_json",
    "replacing",
    "stop",
    "training_log",
    "write_json",
]

DATA = Path("data")
ITERATIONS = DATA / "iterations"
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
    """Return the plan file of one stage: its resolved parameters and the digest of its code."""
    return DATA / "plan" / (f"{iteration}/{stage}.json" if iteration else f"{stage}.json")


def folder(iteration: str) -> Path:
    """Return the folder that holds all that one iteration made; `base` is iteration 0."""
    return ITERATIONS / iteration


def intake(iteration: str) -> Path:
    """Return the table of the utterances that take part in an iteration."""
    return folder(iteration) / "intake.parquet"


def intake_reference(iteration: str) -> Path:
    """Return the true texts of the part of the pool that takes part, for audits alone."""
    return folder(iteration) / "pool_reference.parquet"


def labels(iteration: str, table: str) -> Path:
    """Return a label table: `pseudo`, `selected` or `corrected`."""
    return folder(iteration) / "labels" / f"{table}.parquet"


def adapter(iteration: str, stage: str) -> Path:
    """Return the folder of the adapter that a training stage saved."""
    return folder(iteration) / "adapters" / stage


def lineage(iteration: str, stage: str = "fix") -> Path:
    """Return the lineage of the model after a stage; the one after fix is the iteration's own."""
    return folder(iteration) / ("lineage.json" if stage == "fix" else f"lineage.{stage}.json")


def predictions(iteration: str) -> Path:
    """Return the hypotheses of an iteration's model on gold, dev, test and retention."""
    return folder(iteration) / "predictions.parquet"


def base_predictions(iteration: str) -> Path:
    """Return the hypotheses of the untouched base on all that takes part in an iteration."""
    return folder(iteration) / "base_predictions.parquet"


def evaluation(iteration: str) -> Path:
    """Return the scores of the model of an iteration."""
    return folder(iteration) / "evaluation.json"


def stop(iteration: str) -> Path:
    """Return the early-stopping decision of an iteration: `{"why": null}` where iterations follow."""
    return folder(iteration) / "stop.json"


def details(iteration: str, stage: str) -> Path:
    """Return the report of one stage: a training history, a calibration, ..."""
    return folder(iteration) / "details" / f"{stage}.json"


def training_log(iteration: str, stage: str) -> Path:
    """Return the CSV that a training appends to while it runs; nothing reads it but people."""
    return WORK / "log" / iteration / f"{stage}.csv"


def costs(iteration: str, stage: str) -> Path:
    """Return seconds, memory and versions of a stage: the only outputs that differ from run to run."""
    return folder(iteration) / "costs" / f"{stage}.json"


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


def damaged(path: Path, reason: str) -> IltError:
    """Return the error for a file of the project that is there and cannot be read."""
    return IltError(
        f"{path} is damaged ({reason}): `dvc checkout --force {path}` restores it (`git restore {path}` where git "
        "keeps it), else `dvc repro` makes it again"
    )


def read_json(path: Path, *keys: str) -> Any:
    """Read a JSON file. keys: of an object, all needed. Raises IltError where the file is missing or damaged."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise IltError(f"{path} is missing; run `dvc checkout {path}`, or `dvc repro`") from None
    except OSError as error:
        raise IltError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:  # not UTF-8, not JSON, or nested too deeply
        raise damaged(path, f"not JSON: {error}") from None
    if keys and (missing := [key for key in keys if not isinstance(value, dict) or key not in value]):
        raise damaged(path, f"without {', '.join(missing)}")
    return value
