"""All that the pipeline knows about one utterance, from every table that has it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from ilt import paths
from ilt.asr.lineage import AdapterLink
from ilt.errors import IltError
from ilt.labels.table import CORRECTIONS_TABLE, LABEL_TABLE, PREDICTION_TABLE
from ilt.params import seed_and_normaliser

__all__ = ["Step", "Story", "gather", "models"]

TABLES = {"pseudo": "label", "selected": "select", "corrected": "correct"}
"""Tables of an iteration in the order of its stages, and the stage that wrote each."""


@dataclass(frozen=True)
class Step:
    """One row of one table. `table` is pseudo, selected, fixed, or predicted where the truth is known."""

    iteration: str
    table: str
    row: dict[str, Any]

    @property
    def stage(self) -> str:
        return TABLES.get(self.table, "evaluate")


@dataclass(frozen=True)
class Story:
    """One utterance through all iterations.

    utterance: its row of the utterance table, without audio. said: what was really said, if known.
    correction: what a person decided, if anybody did. normaliser: what texts are scored with.
    """

    utterance: dict[str, Any]
    said: str | None
    correction: dict[str, Any] | None
    steps: list[Step] = field(default_factory=list)
    normaliser: str = "basic"


def _iterations() -> list[str]:
    """Base and iterations, in their order; those that are not in the plan any more come last."""
    plan = paths.plan("report")
    known = ["base", *(paths.read_json(plan)["iterations"] if plan.is_file() else [])]
    there = sorted(path.name for path in (paths.DATA / "labels").glob("*") if path.is_dir())
    return [*known, *(name for name in there if name not in known)]


def _row(path: Path, key: str) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    rows = pl.scan_parquet(path).filter(pl.col("id") == key).collect()
    return rows.row(0, named=True) if len(rows) else None


def _like(key: str) -> str:
    """Ids that the user may have meant."""
    from rapidfuzz import process

    ids = pl.scan_parquet(paths.UTTERANCES).select("id").collect()["id"].to_list()
    found = [name for name, *_ in process.extract(key, ids, limit=3)]
    return f"; the nearest ids are {', '.join(found)}" if found else ""


def gather(key: str) -> Story:
    """The story of the utterance with this id. Raises IltError where there is none."""
    if not paths.UTTERANCES.is_file():
        raise IltError(f"{paths.UTTERANCES} is missing; run `dvc repro` or `dvc checkout`")
    columns = ["id", "language", "speaker", "split", "duration", "text", "audio_hash"]
    found = pl.scan_parquet(paths.UTTERANCES).filter(pl.col("id") == key).select(columns).collect()
    if not len(found):
        raise IltError(f"there is no utterance {key!r} in {paths.UTTERANCES}{_like(key)}")
    utterance = found.row(0, named=True)
    reference = _row(paths.POOL_REFERENCE, key)
    said = reference["text"] if reference else utterance["text"]
    correction = None
    if paths.CORRECTIONS.is_file():
        rows = CORRECTIONS_TABLE.read(paths.CORRECTIONS).filter(pl.col("id") == key)
        correction = rows.row(0, named=True) if len(rows) else None
    steps = []
    for name in _iterations():
        for table in TABLES:
            if (name == "base" and table != "corrected") or not (path := paths.labels(name, table)).is_file():
                continue
            if row := _row(path, key):
                steps.append(Step(name, table, {column: row.get(column) for column in LABEL_TABLE.schema}))
        if row := _row(paths.predictions(name), key):
            steps.append(Step(name, "predicted", {column: row.get(column) for column in PREDICTION_TABLE.schema}))
    return Story(utterance, said, correction, steps, seed_and_normaliser()[1])


def models(language: str) -> dict[str, str]:
    """What each lineage hash stands for: the base and the adapters that hear this language."""
    found = {}
    for path in sorted((paths.DATA / "lineage").glob("*.json")):
        told = paths.read_json(path)
        links = [AdapterLink(**link) for link in told["adapters"]]
        steps = [
            link.stage + ("" if link.scale == 1.0 else f" x {link.scale:g}")
            for link in links
            if link.language in (None, language)
        ]
        found[str(told["hash"])] = " + ".join([str(told["id"]), *steps])
    return found
