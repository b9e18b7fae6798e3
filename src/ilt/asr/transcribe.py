"""Transcription of a table: batches of like length, evidence for every row, finished shards kept for a restart."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import polars as pl
import torch

from ilt.asr.batching import Batching, MemoryLimit, cut_batches, prefetched
from ilt.asr.device import is_out_of_memory
from ilt.asr.features import FeatureStore
from ilt.asr.recogniser import Hypothesis, Recogniser
from ilt.paths import replacing
from ilt.progress import progress

__all__ = ["HYPOTHESIS_SCHEMA", "Decoding", "Perturbation", "perturb", "transcribe_table"]

SHARD = 8
"""Batches in a shard, the unit of a restart."""

HYPOTHESIS_SCHEMA = {
    "id": pl.String(),
    "text": pl.String(),
    "avg_logprob": pl.Float64(),
    "min_logprob": pl.Float64(),
    "token_entropy": pl.Float64(),
    "compression_ratio": pl.Float64(),
    "no_speech_prob": pl.Float64(),
    "detected_language": pl.String(),
    "detected_probability": pl.Float64(),
    "finished": pl.Boolean(),
    "embedding": pl.List(pl.Float32()),
}

_Batch = list[tuple[str, str]]
"""Rows of a batch, each an id and a language."""


@dataclass(frozen=True)
class Perturbation:
    """Change of the features before a decode, see `perturb`. seed: of the first utterance of a batch."""

    speed: float
    noise: float
    seed: int


@dataclass(frozen=True)
class Decoding:
    """Settings of a decode.

    beams:        1 is greedy.
    embed:        whether each hypothesis gets its mean encoder state.
    perturbation: None: the features as they are.
    """

    batching: Batching
    beams: int = 1
    embed: bool = False
    perturbation: Perturbation | None = None


def perturb(features: torch.Tensor, speed: float, noise: float, seed: int, longest: int | None = None) -> torch.Tensor:
    """Stretch features to `speed` times as fast, and add Gaussian noise of standard deviation `noise`.

    longest: frames that the model takes at once; speech is not stretched beyond them.
    """
    frames = max(2, round(features.shape[1] / speed))
    if longest is not None:
        frames = min(frames, longest)
    stretched = torch.nn.functional.interpolate(features[None], size=frames, mode="linear", align_corners=True)[0]
    generator = torch.Generator().manual_seed(seed)
    return stretched + noise * torch.randn(stretched.shape, generator=generator)


def _row(key: str, hypothesis: Hypothesis) -> dict[str, object]:
    values = asdict(hypothesis)
    embedding: np.ndarray | None = values.pop("embedding")
    return {"id": key, **values, "embedding": None if embedding is None else embedding.tolist()}


def _transcribe(
    recogniser: Recogniser,
    features: list[torch.Tensor],
    languages: list[str],
    decoding: Decoding,
    limit: MemoryLimit,
) -> list[Hypothesis]:
    """Transcribe a batch, in parts where memory does not hold the whole."""
    lengths = [feature.shape[1] for feature in features]
    while True:
        try:
            hypotheses: list[Hypothesis] = []
            for part in limit.parts(lengths):
                hypotheses += recogniser.transcribe(features[part], languages[part], decoding.beams, decoding.embed)
            return hypotheses
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        limit.halve()


def _groups(order: _Batch, adapted: list[str]) -> list[_Batch]:
    """Group rows (id, language) by language adapter; rows of languages that are not `adapted` are one group."""
    groups = [[row for row in order if row[1] == language] for language in adapted]
    return [[row for row in order if row[1] not in adapted], *groups]


def _batches(recogniser: Recogniser, rows: pl.DataFrame, store: FeatureStore, batching: Batching) -> list[_Batch]:
    """Cut rows into batches, from short to long; each is of languages that share weights."""
    order = sorted(rows.select("id", "language").iter_rows(), key=lambda row: (store.frames[row[0]], row[0]))
    second = store.extractor.sampling_rate / store.extractor.hop_length
    budget = None if batching.seconds is None else batching.seconds * second
    return [
        batch
        for group in _groups(order, recogniser.lineage.adapter_languages)
        for batch in cut_batches(group, lambda row: store.frames[row[0]], batching.utterances, budget)
    ]


def transcribe_table(
    recogniser: Recogniser,
    rows: pl.DataFrame,
    store: FeatureStore,
    decoding: Decoding,
    work: Path | None = None,
    what: str = "decode",
) -> pl.DataFrame:
    """Transcribe rows (`id`, `language`). Returns a frame of `HYPOTHESIS_SCHEMA`, sorted by id.

    work: folder of finished shards, named by `what`; None: none are kept. A batch that memory does not hold is halved,
    with a message.
    """
    batches = _batches(recogniser, rows, store, decoding.batching)
    limit = MemoryLimit(
        "a lower model.decode_batch or model.decode_batch_seconds avoids the attempt",
        "a smaller model, model.dtype: bfloat16 or shorter utterances (corpus.max_duration) need less",
    )

    def prepared(number: int) -> list[torch.Tensor]:
        features = [store[key] for key, _ in batches[number]]
        if (change := decoding.perturbation) is None:
            return features
        longest = recogniser.max_frames if change.speed < 1 else None
        return [perturb(f, change.speed, change.noise, change.seed + n, longest) for n, f in enumerate(features)]

    shards: list[pl.DataFrame] = []
    with progress(what, len(batches)) as advance:
        for number, first in enumerate(range(0, len(batches), SHARD)):
            part = range(first, min(first + SHARD, len(batches)))
            path = work / f"{what}-{number:05d}.parquet" if work else None
            if path is not None and path.is_file():
                shards.append(pl.read_parquet(path))
                for _ in part:
                    advance("from an earlier run")
                continue
            decoded = []
            for at, features in zip(part, prefetched(prepared, part, decoding.batching.workers), strict=True):
                keys, languages = ([row[column] for row in batches[at]] for column in (0, 1))
                hypotheses = _transcribe(recogniser, features, languages, decoding, limit)
                decoded += [_row(key, hypothesis) for key, hypothesis in zip(keys, hypotheses, strict=True)]
                advance("")
            shard = pl.DataFrame(decoded, schema=HYPOTHESIS_SCHEMA)
            if path is not None:
                with replacing(path) as temporary:
                    shard.write_parquet(temporary)
            shards.append(shard)
    return pl.concat(shards).sort("id") if shards else pl.DataFrame(schema=HYPOTHESIS_SCHEMA)
