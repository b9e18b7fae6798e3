"""From decodes to a label table: the rows of pool, dev and gold, with all evidence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from ilt.asr.batching import Batching
from ilt.asr.features import FeatureStore
from ilt.asr.recogniser import Recogniser
from ilt.asr.transcribe import transcribe_table
from ilt.labels.evidence import agreement, flags_of
from ilt.params import LabelParams, RecogniserParams

__all__ = ["gold_rows", "label_rows", "similarity_to_gold", "undecided", "with_text_evidence"]


AT_ONCE = 4096
"""Rows whose similarities to all of gold are in memory at once."""


def similarity_to_gold(embeddings: np.ndarray, gold: np.ndarray, neighbours: int) -> np.ndarray:
    """Mean cosine similarity of each embedding to its nearest gold ones: (n, d), (m, d) -> (n,)."""
    if not len(gold):
        return np.full(len(embeddings), np.nan)
    centre = gold.mean(0)  # encoder states share a large common part that would drown the differences
    one, other = embeddings - centre, gold - centre
    one /= np.maximum(np.linalg.norm(one, axis=1, keepdims=True), 1e-9)
    other /= np.maximum(np.linalg.norm(other, axis=1, keepdims=True), 1e-9)
    count = min(neighbours, len(gold))
    found = np.empty(len(one))
    for start in range(0, len(one), AT_ONCE):
        similar = np.partition(one[start : start + AT_ONCE] @ other.T, len(gold) - count, axis=1)[:, -count:]
        found[start : start + AT_ONCE] = np.sort(similar, axis=1)[:, ::-1].mean(1)
    return found


def _matrix(embeddings: pl.Series) -> np.ndarray:
    """A column of lists of one length as (rows, length), without a Python object for each number."""
    if not len(embeddings):
        return np.empty((0, 0))
    return embeddings.explode().to_numpy().astype(np.float64).reshape(len(embeddings), -1)


def _gold_similarity(rows: pl.DataFrame, heard: pl.DataFrame, gold: pl.DataFrame, neighbours: int) -> pl.Series:
    """`gold_similarity` of each row of `rows`, whose order is that of `heard`."""
    values = np.full(len(rows), np.nan)
    codes, gold_codes = rows["language"].to_numpy(), gold["language"].to_numpy()
    here, there = _matrix(heard["embedding"]), _matrix(gold["embedding"])
    for code in sorted(set(codes.tolist())):
        values[codes == code] = similarity_to_gold(here[codes == code], there[gold_codes == code], neighbours)
    return pl.Series("gold_similarity", np.round(values, 6)).fill_nan(None)


def label_rows(
    recogniser: Recogniser,
    utterances: pl.DataFrame,
    previous: pl.DataFrame | None,
    store: FeatureStore,
    params: LabelParams,
    model: RecogniserParams,
    seed: int,
    work: Path | None,
) -> pl.DataFrame:
    """Decode pool and dev twice, plainly and perturbed, and collect the evidence.

    previous: `id` and `text` as they were before, or None. Returns columns of `LABEL_TABLE`, without the
    decision, for pool and dev rows.
    """
    rows = utterances.filter(pl.col("split").is_in(["pool", "dev"])).sort("id")
    gold = utterances.filter(pl.col("split") == "gold").sort("id")
    heard = transcribe_table(recogniser, rows, store, Batching.of(model), work, params.beams, embed=True, what="label")
    near = transcribe_table(recogniser, gold, store, Batching.of(model), work, embed=True, what="gold")
    again = transcribe_table(
        recogniser, rows, store, Batching.of(model), work,
        perturbation=(params.perturb_speed, params.perturb_noise, seed), what="perturbed",
    )  # fmt: skip
    frame = rows.select("id", "language", "split", "duration").with_columns(
        heard.drop("id", "embedding"),
        perturbed_text=again["text"],
        perturbed_logprob=again["avg_logprob"],
        gold_similarity=_gold_similarity(
            rows, heard, near.with_columns(gold["language"]), params.similarity_neighbours
        ),
    )
    if previous is not None:
        before = previous.select("id", previous_text="text")
        frame = frame.join(before, on="id", how="left", maintain_order="left")
    else:
        frame = frame.with_columns(previous_text=pl.lit(None, pl.String))
    return with_text_evidence(frame)


def with_text_evidence(frame: pl.DataFrame) -> pl.DataFrame:
    """Evidence that follows from the texts of a row; to be called again when `text` changes."""
    texts, languages = frame["text"].to_list(), frame["language"].to_list()
    finished = frame["finished"].to_list() if "finished" in frame.columns else [True] * len(texts)
    return frame.with_columns(
        pl.Series("agreement", map(agreement, texts, frame["perturbed_text"].to_list()), pl.Float64),
        pl.Series("previous_agreement", map(agreement, texts, frame["previous_text"].to_list()), pl.Float64),
        pl.Series("flags", list(map(flags_of, texts, languages, finished)), pl.List(pl.String)),
        chars_per_second=pl.col("text").str.len_chars() / pl.col("duration"),
    )


def undecided(rows: pl.DataFrame, lineage: str) -> pl.DataFrame:
    """Rows before anything is decided; lineage: hash of the model that wrote the texts."""
    return rows.with_columns(
        selected=pl.lit(False),
        reason=pl.when(pl.col("split") == "dev")
        .then(pl.lit("dropped: dev is for calibration"))
        .otherwise(pl.lit("undecided")),
        lineage=pl.lit(lineage),
    )


def gold_rows(utterances: pl.DataFrame) -> pl.DataFrame:
    """Gold as rows of a label table: always trained on."""
    gold = utterances.filter(pl.col("split") == "gold")
    return gold.select(
        "id", "language", "split", "duration", "text",
        source=pl.lit("gold"), flags=pl.lit([], pl.List(pl.String)),
        selected=pl.lit(True), reason=pl.lit("kept: gold"),
    )  # fmt: skip
