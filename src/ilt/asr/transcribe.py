"""Transcribe a table: batches of like length, evidence for every row, finished shards kept for a restart."""

from __future__ import annotations

from dataclasses import asdict
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

__all__ = ["HYPOTHESIS_SCHEMA", "perturb", "transcribe_table"]

SHARD = 8
"""Batches in a shard, the unit that a restart goes on from."""

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


def perturb(features: torch.Tensor, speed: float, noise: float, seed: int, longest: int | None = None) -> torch.Tensor:
    """Speech said `speed` times as fast, with Gaussian noise (standard deviation `noise`) on the features.

    longest: frames that the model hears at once; speech is not stretched beyond them.
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
    beams: int,
    embed: bool,
    limit: MemoryLimit,
) -> list[Hypothesis]:
    """Transcribe a batch, in parts where memory does not hold the whole."""
    lengths = [feature.shape[1] for feature in features]
    while True:
        try:
            found: list[Hypothesis] = []
            for part in limit.parts(lengths):
                found += recogniser.transcribe(features[part], languages[part], beams, embed)
            return found
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        limit.halve()


def _groups(order: list[tuple[str, str]], experts: list[str]) -> list[list[tuple[str, str]]]:
    """Rows (id, language) by the model that hears them: all together where there are no experts."""
    if not experts:
        return [order]
    groups = [[row for row in order if row[1] == language] for language in experts]
    return [[row for row in order if row[1] not in experts], *groups]


def transcribe_table(
    recogniser: Recogniser,
    rows: pl.DataFrame,
    store: FeatureStore,
    batch_size: int | Batching,
    work: Path | None = None,
    beams: int = 1,
    embed: bool = False,
    perturbation: tuple[float, float, int] | None = None,
    what: str = "decode",
) -> pl.DataFrame:
    """Transcribe rows (`id`, `language`): a frame of `HYPOTHESIS_SCHEMA`, sorted by id.

    batch_size: utterances, or more precisely. work: where finished shards are kept, or None to keep none.
    perturbation: speed, noise, seed. A batch that memory does not hold is halved, with a message. Where the
    lineage has language experts, a batch holds one expert's language alone.
    """
    batching = batch_size if isinstance(batch_size, Batching) else Batching(batch_size)
    order = sorted(rows.select("id", "language").iter_rows(), key=lambda r: (store.frames[r[0]], r[0]))
    second = store.extractor.sampling_rate / store.extractor.hop_length
    budget = None if batching.seconds is None else batching.seconds * second
    batches = [
        batch
        for group in _groups(order, recogniser.lineage.adapter_languages)
        for batch in cut_batches(group, lambda row: store.frames[row[0]], batching.utterances, budget)
    ]
    limit = MemoryLimit(
        "model.decode_batch or model.decode_batch_seconds would say so from the start",
        "a smaller model, model.dtype: bfloat16 or shorter utterances (corpus.max_duration) need less",
    )
    shards: list[pl.DataFrame] = []

    def heard(number: int) -> list[torch.Tensor]:
        features = [store[key] for key, _ in batches[number]]
        if perturbation is None:
            return features
        speed, noise, seed = perturbation
        longest = recogniser.max_frames if speed < 1 else None
        return [perturb(f, speed, noise, seed + n, longest) for n, f in enumerate(features)]

    with progress(what, len(batches)) as advance:
        for number, first in enumerate(range(0, len(batches), SHARD)):
            part = range(first, min(first + SHARD, len(batches)))
            path = work / f"{what}-{number:05d}.parquet" if work else None
            if path is not None and path.is_file():
                shards.append(pl.read_parquet(path))
                for _ in part:
                    advance("from an earlier run")
                continue
            found = []
            for at, features in zip(part, prefetched(heard, part, batching.workers), strict=True):
                languages = [language for _, language in batches[at]]
                hypotheses = _transcribe(recogniser, features, languages, beams, embed, limit)
                keys = [key for key, _ in batches[at]]
                found += [_row(key, hypothesis) for key, hypothesis in zip(keys, hypotheses, strict=True)]
                advance("")
            shard = pl.DataFrame(found, schema=HYPOTHESIS_SCHEMA)
            if path is not None:
                with replacing(path) as temporary:
                    shard.write_parquet(temporary)
            shards.append(shard)
    return pl.concat(shards).sort("id") if shards else pl.DataFrame(schema=HYPOTHESIS_SCHEMA)
