"""Gather what every table of the project holds about one utterance."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from ilt import paths
from ilt.asr.lineage import AdapterLink
from ilt.corpus.table import POOL_REFERENCE_TABLE, UTTERANCE_TABLE
from ilt.errors import IltError
from ilt.labels.table import CORRECTIONS_TABLE, LABEL_TABLE, PREDICTION_TABLE
from ilt.params import seed_and_normaliser
from ilt.tables import Table

__all__ = ["Step", "Story", "gather", "models"]

TABLES = {"pseudo": "label", "selected": "select", "corrected": "correct"}
"""Label tables of an iteration in the order of its stages, and the stage that wrote each."""

SHOWN = ("id", "language", "speaker", "split", "duration", "text", "audio_hash")
"""Columns of the utterance table that a story holds."""


@dataclass(frozen=True)
class Step:
    """One row of one table. `table` is pseudo, selected, corrected, or predicted where there is a reference."""

    iteration: str
    table: str
    row: dict[str, Any]

    @property
    def name(self) -> str:
        """The iteration and the stage that wrote the table, as `it1 label`; `base` for the base."""
        return "base" if self.iteration == "base" else f"{self.iteration} {TABLES.get(self.table, 'predict')}"


@dataclass(frozen=True)
class Story:
    """One utterance through all iterations.

    utterance:  its row of the utterance table, without audio.
    reference:  what was really said; None where that is not known.
    correction: what a person decided; None where nobody has.
    normaliser: what texts are scored with.
    """

    utterance: dict[str, Any]
    reference: str | None
    correction: dict[str, Any] | None
    steps: list[Step] = field(default_factory=list)
    normaliser: str = "basic"


def _iterations() -> list[str]:
    """Return base and iterations in their order; those that are not in the plan any more come last."""
    plan = paths.plan("report")
    planned = paths.read_json(plan, "parameters")["parameters"]["iterations"] if plan.is_file() else []
    known = ["base", *planned]
    folders = sorted(path.name for path in paths.ITERATIONS.glob("*") if path.is_dir())
    return [*known, *(name for name in folders if name not in known)]


def _row(table: Table, path: Path, key: str) -> dict[str, Any] | None:
    """Return the row of an utterance; None where the file or the row is missing."""
    if not path.is_file():
        return None
    rows = table.read(path, pl.col("id") == key, list(table.schema))
    return rows.row(0, named=True) if len(rows) else None


def _suggestion(key: str) -> str:
    """Return the ids that the user may have meant, as the end of a message."""
    from rapidfuzz import process

    ids = UTTERANCE_TABLE.read(paths.UTTERANCES, columns=["id"])["id"].to_list()
    near = [name for name, *_ in process.extract(key, ids, limit=3)]
    return f"; the nearest ids are {', '.join(near)}" if near else ""


def gather(key: str) -> Story:
    """Return the story of the utterance with this id. Raises IltError where there is none."""
    rows = UTTERANCE_TABLE.read(paths.UTTERANCES, pl.col("id") == key, SHOWN)
    if not len(rows):
        raise IltError(f"there is no utterance {key!r} in {paths.UTTERANCES}{_suggestion(key)}")
    utterance = rows.row(0, named=True)
    known = _row(POOL_REFERENCE_TABLE, paths.POOL_REFERENCE, key)
    steps = []
    for iteration in _iterations():
        places = [(name, LABEL_TABLE, paths.labels(iteration, name)) for name in TABLES]
        if iteration == "base":
            places = places[-1:]
        for name, table, path in [*places, ("predicted", PREDICTION_TABLE, paths.predictions(iteration))]:
            if row := _row(table, path, key):
                steps.append(Step(iteration, name, row))
    return Story(
        utterance=utterance,
        reference=known["text"] if known else utterance["text"],
        correction=_row(CORRECTIONS_TABLE, paths.CORRECTIONS, key),
        steps=steps,
        normaliser=seed_and_normaliser()[1],
    )


def models(language: str) -> dict[str, str]:
    """Return the model of each lineage hash, as `base + it1.focus`: the adapters that this language decodes with."""
    names = {}
    for path in sorted(paths.ITERATIONS.glob("*/lineage*.json")):
        lineage = paths.read_json(path, "id", "hash", "adapters")
        try:
            links = [AdapterLink(**link) for link in lineage["adapters"]]
        except TypeError:
            raise paths.damaged(path, "its adapters are none") from None
        steps = [
            link.stage + ("" if link.scale == 1.0 else f" x {link.scale:g}")
            for link in links
            if link.language in (None, language)
        ]
        names[str(lineage["hash"])] = " + ".join([str(lineage["id"]), *steps])
    return names
