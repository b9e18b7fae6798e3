"""Where a model comes from: the tables that it was trained on, and what was measured of it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from ilt import paths
from ilt.asr.lineage import Lineage
from ilt.errors import IltError

__all__ = ["Fingerprint", "fingerprint", "measured"]

Fingerprint = dict[str, str]


def _tables(lineage: Lineage) -> list[Path]:
    """The utterance table, and the label tables of each iteration that the adapters belong to."""
    iterations = dict.fromkeys(link.iteration for link in lineage.adapters)
    labels = [paths.labels(name, table) for name in iterations for table in ("selected", "corrected")]
    return [paths.UTTERANCES, *labels]


def fingerprint(lineage: Lineage) -> Fingerprint:
    """SHA-256 of each table that the model was trained on, by path, and of them all together under `data`.

    Raises IltError if one is missing.
    """
    found: Fingerprint = {}
    for path in _tables(lineage):
        if not path.is_file():
            raise IltError(
                f"{path} is missing, which the model card names by its hash; "
                "run `dvc pull`, `dvc checkout` or `dvc repro`"
            )
        with path.open("rb") as file:
            found[path.as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    whole = hashlib.sha256("\n".join(f"{name} {value}" for name, value in found.items()).encode())
    return {"data": whole.hexdigest(), **found}


def measured(iteration: str) -> dict[str, Any]:
    """What the pipeline measured of an iteration's model: from data/evaluations, else data/metrics."""
    if paths.evaluation(iteration).is_file():
        found: dict[str, Any] = paths.read_json(paths.evaluation(iteration))
        return found
    summary: dict[str, dict[str, Any]] = paths.read_json(paths.SUMMARY) if paths.SUMMARY.is_file() else {}
    if iteration not in summary:
        raise IltError(
            f"nothing was measured of {iteration} ({paths.evaluation(iteration)} is missing and "
            f"{paths.SUMMARY} does not have it); run `dvc repro evaluate@{iteration}`"
        )
    return summary[iteration]
