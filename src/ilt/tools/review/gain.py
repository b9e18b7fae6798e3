"""Measure the gain of a review: test error before and after it, for each minute of audio that people listened to."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from ilt import paths
from ilt.corpus.table import UTTERANCE_TABLE
from ilt.errors import IltError
from ilt.evaluation.assess import compare
from ilt.evaluation.scoring import frame_errors, rate
from ilt.labels.table import LABEL_TABLE, PREDICTION_TABLE
from ilt.params import Params, ordered_iterations
from ilt.tools.review.export import read_corrections
from ilt.tools.revisions import read_columns

__all__ = ["Bought", "Gain", "gain_since"]


@dataclass(frozen=True)
class Gain:
    """Micro test error of one iteration before and after, and their difference with a 95 % interval."""

    iteration: str
    before: float
    after: float
    micro: float
    low: float
    high: float


@dataclass(frozen=True)
class Bought:
    """The decisions of people since a revision, and the gains over it.

    rows, corrected, unusable: decisions that are new or changed since. minutes: their audio.
    """

    rows: int
    corrected: int
    unusable: int
    minutes: float
    gains: list[Gain]

    @property
    def per_minute(self) -> float:
        """Points of test error of the last iteration for a minute of audio."""
        return 100 * self.gains[-1].micro / self.minutes


def _decided(revision: str) -> pl.DataFrame:
    """Return the decisions that are new or changed since the revision."""
    now = read_corrections()
    then = read_columns(paths.CORRECTIONS, revision)
    if then is not None:
        now = now.join(then, on=["id", "verdict", "text"], how="anti", nulls_equal=True)
    if now.is_empty():
        raise IltError(
            f"{paths.CORRECTIONS} has no decision that was not in {revision}; name the revision before the review"
        )
    return now


def _taken_up(decided: pl.DataFrame, iteration: str) -> None:
    """Raise IltError unless the labels of the workspace were made with these decisions."""
    columns = ["id", "source", "selected", "text"]
    labels = LABEL_TABLE.read(paths.labels(iteration, "corrected"), columns=columns).rename({"text": "label"})
    unusable = pl.col("verdict") == "unusable"
    heeded = (pl.col("source") == "human") & (pl.col("label") == pl.col("text"))
    heeded = pl.when(unusable).then(~pl.col("selected")).otherwise(heeded)
    stale = decided.join(labels, on="id", how="left").filter(~heeded.fill_null(False))
    if len(stale):
        raise IltError(
            f"{paths.labels(iteration, 'corrected')} does not know the decision on {stale['id'].sort()[0]!r} "
            f"({len(stale)} in all); run `dvc repro` first"
        )


def gain_since(revision: str, params: Params) -> Bought:
    """Compare the predictions of the workspace with those of a revision, iteration by iteration.

    Both must have been reproduced. The gain is that of the review if nothing else was changed between the two,
    which is for the user to see to. Raises IltError where something of either is missing.
    """
    decided, settings = _decided(revision), params.evaluate
    durations = UTTERANCE_TABLE.read(paths.UTTERANCES, columns=["id", "duration"])
    gains = []
    for iteration in ordered_iterations(params):
        before = read_columns(paths.predictions(iteration), revision)
        if before is None:
            raise IltError(
                f"{paths.predictions(iteration)} is not in {revision}, or its contents are neither in the "
                "cache nor in a remote"
            )
        _taken_up(decided, iteration)
        after = PREDICTION_TABLE.read(paths.predictions(iteration))
        test = [f.filter(pl.col("split") == "test").sort("id") for f in (before, after)]
        if not test[0]["id"].equals(test[1]["id"]):
            raise IltError(f"the test utterances of {revision} are others than those of the workspace")
        gain = compare(before, after, settings.normaliser, settings.bootstrap, params.seed)
        errors = [rate(*frame_errors(f, "reference", "hypothesis", settings.normaliser)) for f in test]
        gains.append(Gain(iteration, *errors, **gain))
    minutes = float(decided.join(durations, on="id")["duration"].sum()) / 60
    verdicts = decided["verdict"]
    return Bought(
        rows=len(decided),
        corrected=int((verdicts == "corrected").sum()),
        unusable=int((verdicts == "unusable").sum()),
        minutes=minutes,
        gains=gains,
    )
