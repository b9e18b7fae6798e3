"""Predictions for the splits whose texts are known: gold, dev, test and retention."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from ilt.asr.batching import Batching
from ilt.asr.features import FeatureStore
from ilt.asr.recogniser import Recogniser
from ilt.asr.transcribe import Decoding, transcribe_table
from ilt.params import RecogniserParams

__all__ = ["predict"]


def predict(
    recogniser: Recogniser,
    utterances: pl.DataFrame,
    store: FeatureStore,
    model: RecogniserParams,
    work: Path,
    what: str = "evaluate",
) -> pl.DataFrame:
    """Return columns of `PREDICTION_TABLE` for all rows but those of the pool and of replay."""
    rows = utterances.filter(~pl.col("split").is_in(["pool", "replay"])).sort("id")
    hypotheses = transcribe_table(recogniser, rows, store, Decoding(Batching.of(model)), work, what)
    return rows.select("id", "language", "split", reference="text").with_columns(
        hypothesis=hypotheses["text"],
        avg_logprob=hypotheses["avg_logprob"],
        lineage=pl.lit(recogniser.lineage.hash),
    )
