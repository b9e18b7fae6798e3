"""Selection of a checkpoint by the errors of the text that it writes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import polars as pl

from ilt.asr.batching import Batching
from ilt.asr.features import FeatureStore
from ilt.asr.recogniser import Recogniser
from ilt.asr.transcribe import Decoding, transcribe_table
from ilt.evaluation.scoring import frame_errors, rate

__all__ = ["Errors", "Scorer", "make_scorer", "select_checkpoint"]

CLEAR_ERRORS = 1.96
"""Standard errors from which on a difference is clear: those of a two-sided interval of 95 %."""

Errors = tuple[np.ndarray, np.ndarray]
"""Errors and reference units of each utterance, as `ilt.evaluation.scoring.frame_errors` counts them."""

Scorer = Callable[[Recogniser], Errors]
"""Measures a recogniser on some rows."""


def make_scorer(rows: pl.DataFrame, what: str, store: FeatureStore, batching: Batching, normaliser: str) -> Scorer:
    """Return what counts the errors of generated text on rows, from features without augmentation.

    what: name of the rows, which the progress shows.
    """

    def score(recogniser: Recogniser) -> Errors:
        hypotheses = transcribe_table(recogniser, rows, store, Decoding(batching), what=what)
        paired = rows.with_columns(hypothesis=hypotheses["text"])
        return frame_errors(paired, "text", "hypothesis", normaliser)

    return score


def select_checkpoint(measured: Sequence[Errors], keep_best: bool = False) -> int:
    """Return which checkpoint to keep, from their errors on the same rows, in the order of training.

    The last that is not clearly worse than the best: whose error rate is not more than `CLEAR_ERRORS`
    standard errors of the paired difference, over utterances, above the least. So a small dev set does not
    throw away by chance what was learnt, and a stage that does clear harm leaves the model as it found it.
    After the rule of one standard error (Breiman et al. 1984, Classification and Regression Trees).
    keep_best: the best instead, for a training so long that it is expected to get worse.
    """
    rates = [rate(*errors) for errors in measured]
    best = int(np.argmin(rates))
    if keep_best:
        return best
    for number in range(len(measured) - 1, best, -1):
        difference = measured[number][0] - measured[best][0]
        deviation = float(difference.std() * np.sqrt(len(difference)) / max(1, measured[best][1].sum()))
        if rates[number] - rates[best] <= CLEAR_ERRORS * deviation:
            return number
    return best
