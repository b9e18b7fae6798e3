"""Measure the gain of a review: test error before and after it, for each minute of audio that people listened to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

from ilt import paths
from ilt.corpus.table import UTTERANCE_TABLE
from ilt.errors import IltError
from ilt.evaluation.assess import compare
from ilt.evaluation.scoring import frame_errors, rate
from ilt.labels.table import LABEL_TABLE, PREDICTION_TABLE
from ilt.params import EvaluateParams, Params, ordered_iterations
from ilt.tools.review.export import read_corrections
from ilt.tools.revisions import read_columns

__all__ = ["Bought", "gain_since"]


@dataclass(frozen=True)
class Bought:
    """The decisions of people since a revision, and the gains over it.

    decided: decisions that are new or changed since, with the `duration` of their audio in seconds.
    gains:   by iteration, in order: micro test error `before` and `after`, and the gain, `micro` with `low` and
             `high` of its 95 % interval.
    """

    decided: pl.DataFrame
    gains: dict[str, dict[str, float]]

    @property
    def minutes(self) -> float:
        """Minutes of audio of the decisions."""
        return float(self.decided["duration"].sum()) / 60

    @property
    def per_minute(self) -> float:
        """Points of test error of the last iteration for a minute of audio."""
        return 100 * list(self.gains.values())[-1]["micro"] / self.minutes


def _decided(revision: str) -> pl.DataFrame:
    """Return the decisions that are new or changed since the revision, with their duration."""
    decided = read_corrections()
    before = read_columns(paths.CORRECTIONS, revision)
    if before is not None:
        decided = decided.join(before, on=["id", "verdict", "text"], how="anti", nulls_equal=True)
    if decided.is_empty():
        raise IltError(
            f"{paths.CORRECTIONS} has no decision that was not in {revision}; name the revision before the review"
        )
    return decided.join(UTTERANCE_TABLE.read(paths.UTTERANCES, columns=["id", "duration"]), on="id", how="left")


def _check_taken_up(decided: pl.DataFrame, iteration: str) -> None:
    """Raise IltError unless the labels of the workspace were made with these decisions."""
    path = paths.labels(iteration, "corrected")
    labels = LABEL_TABLE.read(path, columns=["id", "source", "selected", "text"]).rename({"text": "label"})
    used = (pl.col("source") == "human") & (pl.col("label") == pl.col("text"))
    used = pl.when(pl.col("verdict") == "unusable").then(~pl.col("selected")).otherwise(used)
    stale = decided.join(labels, on="id", how="left").filter(~used.fill_null(False))
    if len(stale):
        raise IltError(
            f"{path} does not know the decision on {stale['id'].sort()[0]!r} ({len(stale)} in all); "
            "run `dvc repro` first"
        )


def _gain(revision: str, iteration: str, settings: EvaluateParams, seed: int) -> dict[str, Any]:
    """Return test errors and gain of one iteration. Raises IltError where its predictions cannot be compared."""
    path = paths.predictions(iteration)
    before, after = read_columns(path, revision), PREDICTION_TABLE.read(path)
    if before is None:
        raise IltError(f"{path} is not in {revision}, or its contents are neither in the cache nor in a remote")
    tests = [frame.filter(pl.col("split") == "test").sort("id") for frame in (before, after)]
    if not tests[0]["id"].equals(tests[1]["id"]):
        raise IltError(f"the test utterances of {revision} are others than those of the workspace")
    errors = [rate(*frame_errors(test, "reference", "hypothesis", settings.normaliser)) for test in tests]
    gain = compare(before, after, settings.normaliser, settings.bootstrap, seed)
    return {"before": errors[0], "after": errors[1], **gain}


def gain_since(revision: str, params: Params) -> Bought:
    """Compare the predictions of the workspace with those of a revision, iteration by iteration.

    Both must have been reproduced. The gain is that of the review if nothing else was changed between the two,
    which is for the user to see to. Raises IltError where something of either is missing.
    """
    decided, iterations = _decided(revision), ordered_iterations(params)
    for iteration in iterations:
        _check_taken_up(decided, iteration)
    gains = {name: _gain(revision, name, params.evaluate, params.seed) for name in iterations}
    return Bought(decided, gains)
