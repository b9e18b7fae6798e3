"""Labelling: rows of a label table for pool, dev and gold, with all evidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from ilt.asr.batching import Batching
from ilt.asr.features import FeatureStore
from ilt.asr.recogniser import Recogniser
from ilt.asr.transcribe import Decoding, Perturbation, transcribe_table
from ilt.labels.evidence import agreement, flags_of
from ilt.params import LabelParams

__all__ = ["Labelling", "gold_rows", "label_rows", "similarity_to_gold", "undecided", "with_text_evidence"]

AT_ONCE = 4096
"""Rows whose similarities to all of gold are in memory at once."""


def similarity_to_gold(embeddings: np.ndarray, gold: np.ndarray, neighbours: int) -> np.ndarray:
    """Return the mean cosine similarity of each embedding to its nearest gold ones: (n, d), (m, d) -> (n,)."""
    if not len(gold):
        return np.full(len(embeddings), np.nan)
    centre = gold.mean(0)  # encoder states share a large common part that would drown the differences
    one, other = embeddings - centre, gold - centre
    one /= np.maximum(np.linalg.norm(one, axis=1, keepdims=True), 1e-9)
    other /= np.maximum(np.linalg.norm(other, axis=1, keepdims=True), 1e-9)
    count = min(neighbours, len(gold))
    means = np.empty(len(one))
    for start in range(0, len(one), AT_ONCE):
        similar = np.partition(one[start : start + AT_ONCE] @ other.T, len(gold) - count, axis=1)[:, -count:]
        means[start : start + AT_ONCE] = np.sort(similar, axis=1)[:, ::-1].mean(1)
    return means


def _matrix(embeddings: pl.Series) -> np.ndarray:
    """Return a column of lists of one length as (rows, length), without a Python object for each number."""
    if not len(embeddings):
        return np.empty((0, 0))
    return embeddings.explode().to_numpy().astype(np.float64).reshape(len(embeddings), -1)


def _gold_similarity(rows: pl.DataFrame, gold: pl.DataFrame, neighbours: int) -> pl.Series:
    """Return `gold_similarity` of each row, within its language. rows, gold: `language` and `embedding`."""
    values = np.full(len(rows), np.nan)
    codes, gold_codes = rows["language"].to_numpy(), gold["language"].to_numpy()
    states, gold_states = _matrix(rows["embedding"]), _matrix(gold["embedding"])
    for code in sorted(set(codes.tolist())):
        values[codes == code] = similarity_to_gold(states[codes == code], gold_states[gold_codes == code], neighbours)
    return pl.Series("gold_similarity", np.round(values, 6)).fill_nan(None)


@dataclass(frozen=True)
class Labelling:
    """Settings of labelling.

    seed: of the perturbed decode. language_alias: what the model is told for each mapped language.
    """

    params: LabelParams
    batching: Batching
    seed: int
    language_alias: Mapping[str, str] = field(default_factory=dict)

    @property
    def plain(self) -> Decoding:
        """The decode that the label comes from."""
        return Decoding(self.batching, self.params.beams, embed=True)

    @property
    def gold(self) -> Decoding:
        """The decode of gold, for its embeddings."""
        return Decoding(self.batching, embed=True)

    @property
    def perturbed(self) -> Decoding:
        """The decode of stretched, noisy speech."""
        change = Perturbation(self.params.perturb_speed, self.params.perturb_noise, self.seed)
        return Decoding(self.batching, perturbation=change)


def label_rows(
    recogniser: Recogniser,
    utterances: pl.DataFrame,
    previous: pl.DataFrame | None,
    store: FeatureStore,
    labelling: Labelling,
    work: Path | None,
) -> pl.DataFrame:
    """Decode pool and dev twice, plainly and perturbed, and collect the evidence.

    previous: `id` and `text` of the labels before, or None. work: folder of finished shards. Returns columns of
    `LABEL_TABLE`, without the decision, for pool and dev rows.
    """
    rows = utterances.filter(pl.col("split").is_in(["pool", "dev"])).sort("id")
    gold = utterances.filter(pl.col("split") == "gold").sort("id")
    plain = transcribe_table(recogniser, rows, store, labelling.plain, work, "label")
    gold_decodes = transcribe_table(recogniser, gold, store, labelling.gold, work, "gold")
    perturbed = transcribe_table(recogniser, rows, store, labelling.perturbed, work, "perturbed")
    similarity = _gold_similarity(
        plain.with_columns(rows["language"]),
        gold_decodes.with_columns(gold["language"]),
        labelling.params.similarity_neighbours,
    )
    frame = rows.select("id", "language", "split", "duration").with_columns(
        *plain.drop("id", "embedding"),
        similarity,
        perturbed_text=perturbed["text"],
        perturbed_logprob=perturbed["avg_logprob"],
    )
    if previous is not None:
        before = previous.select("id", previous_text="text")
        frame = frame.join(before, on="id", how="left", maintain_order="left")
    else:
        frame = frame.with_columns(previous_text=pl.lit(None, pl.String))
    return with_text_evidence(frame, labelling.language_alias)


def with_text_evidence(frame: pl.DataFrame, language_alias: Mapping[str, str]) -> pl.DataFrame:
    """Add the evidence that follows from the texts of a row; to be called again when `text` changes."""
    texts, languages = frame["text"].to_list(), frame["language"].to_list()
    finished = frame["finished"].to_list() if "finished" in frame.columns else [True] * len(texts)
    flags = map(flags_of, texts, languages, finished, map(language_alias.get, languages))
    return frame.with_columns(
        pl.Series("agreement", map(agreement, texts, frame["perturbed_text"].to_list()), pl.Float64),
        pl.Series("previous_agreement", map(agreement, texts, frame["previous_text"].to_list()), pl.Float64),
        pl.Series("flags", list(flags), pl.List(pl.String)),
        chars_per_second=pl.col("text").str.len_chars() / pl.col("duration"),
    )


def undecided(rows: pl.DataFrame, lineage: str) -> pl.DataFrame:
    """Mark rows as not decided yet. lineage: hash of the model that wrote the texts."""
    return rows.with_columns(
        selected=pl.lit(False),
        reason=pl.when(pl.col("split") == "dev")
        .then(pl.lit("dropped: dev is for calibration"))
        .otherwise(pl.lit("undecided")),
        lineage=pl.lit(lineage),
    )


def gold_rows(utterances: pl.DataFrame) -> pl.DataFrame:
    """Return gold as rows of a label table: always selected."""
    gold = utterances.filter(pl.col("split") == "gold")
    return gold.select(
        "id", "language", "split", "duration", "text",
        source=pl.lit("gold"), flags=pl.lit([], pl.List(pl.String)),
        selected=pl.lit(True), reason=pl.lit("kept: gold"),
    )  # fmt: skip
