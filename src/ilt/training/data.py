"""Data of a training: labelled utterances to learn from, and rows to measure on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl

from ilt.errors import IltError

__all__ = ["Example", "TrainingData", "even_rows", "examples_of"]


@dataclass(frozen=True, slots=True)
class Example:
    """A labelled utterance to train on."""

    id: str
    language: str
    text: str


@dataclass(frozen=True)
class TrainingData:
    """Data of one training.

    gold, pseudo: utterances labelled by people and by the model.
    replay:       labelled utterances of the source domain.
    dev:          rows whose errors select the checkpoint.
    gold_sample:  rows of gold whose errors are logged at each evaluation; none if empty.
    """

    gold: Sequence[Example]
    pseudo: Sequence[Example] = ()
    replay: Sequence[Example] = ()
    dev: pl.DataFrame = field(default_factory=pl.DataFrame)
    gold_sample: pl.DataFrame = field(default_factory=pl.DataFrame)

    @property
    def languages(self) -> list[str]:
        """Languages that have gold, sorted."""
        return sorted({example.language for example in self.gold})

    def of(self, language: str) -> TrainingData:
        """Return the data of one language. Raises IltError where it has no dev rows, or cannot name a folder."""
        groups = (self.gold, self.pseudo, self.replay)
        gold, pseudo, replay = ([e for e in group if e.language == language] for group in groups)
        dev, sample = (rows.filter(pl.col("language") == language) for rows in (self.dev, self.gold_sample))
        if not len(dev):
            raise IltError(
                f"{language} has no dev utterances to choose its adapter by; give it some (or raise "
                "evaluation_rows), or say adapter.scope: shared"
            )
        if not re.fullmatch(r"[\w-]+", language):
            raise IltError(f"the language code {language!r} cannot name a folder, which adapter.scope needs")
        return TrainingData(gold, pseudo, replay, dev, sample)


def examples_of(rows: pl.DataFrame) -> list[Example]:
    """Return rows (`id`, `language`, `text`) as examples, sorted by id."""
    return [Example(*row) for row in rows.sort("id").select("id", "language", "text").iter_rows()]


def even_rows(rows: pl.DataFrame, count: int) -> pl.DataFrame:
    """Return at most `count` rows, spread evenly over languages and ids, sorted by id."""
    if len(rows) <= count:
        return rows.sort("id")
    at = pl.col("_at").cast(pl.Int64)
    chosen = (at * count) // len(rows) != ((at - 1) * count) // len(rows)
    return rows.sort("language", "id").with_row_index("_at").filter(chosen).drop("_at").sort("id")
