"""Transcribe a table: batches of like length, evidence for every row, finished shards kept for a restart."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import polars as pl
import torch

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


def perturb(features: torch.Tensor, speed: float, noise: float, seed: int) -> torch.Tensor:
    """Speech said `speed` times as fast, with Gaussian noise (standard deviation `noise`) on the features."""
    frames = max(2, round(features.shape[1] / speed))
    stretched = torch.nn.functional.interpolate(
        features[None], size=frames, mode="linear", align_corners=True
    )[0]
    generator = torch.Generator().manual_seed(seed)
    return stretched + noise * torch.randn(stretched.shape, generator=generator)


def _row(key: str, hypothesis: Hypothesis) -> dict[str, object]:
    values = asdict(hypothesis)
    embedding: np.ndarray | None = values.pop("embedding")
    return {"id": key, **values, "embedding": None if embedding is None else embedding.tolist()}


def transcribe_table(
    recogniser: Recogniser,
    rows: pl.DataFrame,
    store: FeatureStore,
    batch_size: int,
    work: Path | None = None,
    beams: int = 1,
    embed: bool = False,
    perturbation: tuple[float, float, int] | None = None,
    what: str = "decode",
) -> pl.DataFrame:
    """Transcribe rows (`id`, `language`): a frame of `HYPOTHESIS_SCHEMA`, sorted by id.

    work: where finished shards are kept, or None to keep none. perturbation: speed, noise, seed.
    """
    order = sorted(rows.select("id", "language").iter_rows(), key=lambda r: (store.frames[r[0]], r[0]))
    batches = [order[at : at + batch_size] for at in range(0, len(order), batch_size)]
    shards: list[pl.DataFrame] = []
    with progress(what, len(batches)) as advance:
        for number, first in enumerate(range(0, len(batches), SHARD)):
            part = batches[first : first + SHARD]
            path = work / f"{what}-{number:05d}.parquet" if work else None
            if path is not None and path.is_file():
                shards.append(pl.read_parquet(path))
                for _ in part:
                    advance("from an earlier run")
                continue
            found = []
            for batch in part:
                keys = [key for key, _ in batch]
                features = [store[key] for key in keys]
                if perturbation is not None:
                    speed, noise, seed = perturbation
                    features = [perturb(f, speed, noise, seed + n) for n, f in enumerate(features)]
                languages = [language for _, language in batch]
                hypotheses = recogniser.transcribe(features, languages, beams, embed)
                found += [_row(key, hypothesis) for key, hypothesis in zip(keys, hypotheses, strict=True)]
                advance("")
            shard = pl.DataFrame(found, schema=HYPOTHESIS_SCHEMA)
            if path is not None:
                with replacing(path) as temporary:
                    shard.write_parquet(temporary)
            shards.append(shard)
    return pl.concat(shards).sort("id") if shards else pl.DataFrame(schema=HYPOTHESIS_SCHEMA)
