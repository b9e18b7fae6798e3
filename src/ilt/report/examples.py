"""Single utterances to look at: the worst of the last model, and the labels that changed most."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from ilt import paths
from ilt.corpus.table import POOL_REFERENCE_TABLE
from ilt.evaluation.comparison.changes import Row, changed_rows
from ilt.evaluation.comparison.compare import Filters, compare
from ilt.evaluation.highlight import diff_spans
from ilt.evaluation.normalise import normalise

__all__ = ["SHOWN", "WorstUtterance", "most_changed_labels", "worst_utterances"]

SHOWN = 20
"""Examples of each kind."""


@dataclass(frozen=True)
class WorstUtterance:
    """One test utterance with errors.

    spans:  from reference to hypothesis, both normalised as for scoring.
    units:  of the reference.
    errors: (iteration, errors) of each model that was scored on it, in order.
    """

    id: str
    language: str
    reference: str
    spans: list[tuple[str, str]]
    units: int
    errors: list[tuple[str, int]]


def worst_utterances(scores: pl.DataFrame, normaliser: str) -> list[WorstUtterance]:
    """Return the test utterances with the highest error rates of the last model, at most `SHOWN`.

    scores: from `ilt.report.errors.score_utterances`. Of equal rates, more errors go first.
    """
    test = scores.filter(pl.col("split") == "test")
    last = test.filter(pl.col("iteration") == test["iteration"][-1], pl.col("errors") > 0)
    rate = pl.col("errors") / pl.max_horizontal(pl.lit(1), "units")
    chosen = last.with_columns(_rate=rate).sort("_rate", "errors", "id", descending=[True, True, False]).head(SHOWN)
    by_id = test.join(chosen.select("id"), on="id", how="semi").partition_by("id", as_dict=True)
    return [
        WorstUtterance(
            id=row["id"],
            language=row["language"],
            reference=row["reference"],
            spans=diff_spans(
                normalise(row["reference"], row["language"], normaliser),
                normalise(row["hypothesis"], row["language"], normaliser),
                row["language"],
            ),
            units=row["units"],
            errors=list(by_id[(row["id"],)].select("iteration", "errors").iter_rows()),
        )
        for row in chosen.iter_rows(named=True)
    ]


def most_changed_labels(before: str, after: str, normaliser: str) -> list[Row]:
    """Return the pool labels that moved most between two iterations, at most `SHOWN`, with true texts if known."""
    references = None
    if paths.POOL_REFERENCE.is_file():
        references = POOL_REFERENCE_TABLE.read(paths.POOL_REFERENCE).rename({"text": "reference"})
    comparison = compare(
        paths.labels(before, "corrected"), paths.labels(after, "corrected"),
        references if references is not None and len(references) else None, normaliser,
        Filters(only=["reworded"], where="split = 'pool'", limit=SHOWN),
    )  # fmt: skip
    return changed_rows(comparison)
