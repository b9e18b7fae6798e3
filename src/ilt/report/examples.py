"""Single utterances to look at: where the last model is worst, and the labels that changed most."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from ilt import paths
from ilt.corpus.table import POOL_REFERENCE_TABLE
from ilt.evaluation.comparison.changes import Row, Side, build_report
from ilt.evaluation.comparison.compare import compare
from ilt.evaluation.highlight import diff_spans
from ilt.evaluation.normalise import normalise

__all__ = ["SHOWN", "Misheard", "changed_labels", "worst"]

SHOWN = 20
"""Examples of each kind."""


@dataclass(frozen=True)
class Misheard:
    """One test utterance. units: of the reference; errors: of each model in the order of the iterations.

    spans: from reference to hypothesis, both normalised as for scoring.
    """

    id: str
    language: str
    reference: str
    hypothesis: str
    spans: list[tuple[str, str]]
    units: int
    errors: list[tuple[str, int]]


def worst(found: pl.DataFrame, normaliser: str) -> list[Misheard]:
    """The test utterances with the highest error rates of the last model, the longer first among equals.

    found: what `ilt.report.errors.scored` gave. Perfect ones are none of them.
    """
    test = found.filter(pl.col("split") == "test")
    order = test["iteration"].unique(maintain_order=True).to_list()
    last = test.filter(pl.col("iteration") == order[-1], pl.col("errors") > 0)
    rate = pl.col("errors") / pl.max_horizontal(pl.lit(1), "units")
    chosen = last.with_columns(_rate=rate).sort("_rate", "errors", "id", descending=[True, True, False]).head(SHOWN)
    by_id = test.join(chosen.select("id"), on="id", how="semi").partition_by("id", as_dict=True)
    return [
        Misheard(
            id=row["id"],
            language=row["language"],
            reference=row["reference"],
            hypothesis=row["hypothesis"],
            spans=diff_spans(
                normalise(row["reference"], row["language"], normaliser),
                normalise(row["hypothesis"], row["language"], normaliser),
                row["language"],
            ),
            units=row["units"],
            errors=list(by_id[(row["id"],)].select("iteration", "errors").drop_nulls().iter_rows()),
        )
        for row in chosen.iter_rows(named=True)
    ]


def changed_labels(before: str, after: str, normaliser: str) -> list[Row]:
    """The pool labels that moved most between two iterations, with what was said where that is known."""
    references = None
    if paths.POOL_REFERENCE.is_file():
        references = POOL_REFERENCE_TABLE.read(paths.POOL_REFERENCE).rename({"text": "reference"})
    one, other = paths.labels(before, "corrected"), paths.labels(after, "corrected")
    found = compare(
        one, other, references if references is not None and len(references) else None, normaliser,
        only=["reworded"], where="split = 'pool'", limit=SHOWN,
    )  # fmt: skip
    sides = [
        Side(name=name, revision=None, path=str(path), rows=int(found.counts[f"rows_{side}"].sum()))
        for name, path, side in ((before, one, "before"), (after, other, "after"))
    ]
    return build_report(found, sides[0], sides[1], {}).rows
