"""Features of an utterance table, computed once and kept in a file that all stages map into memory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import torch
from transformers import WhisperFeatureExtractor

from ilt.asr.device import feature_cache_mb
from ilt.corpus.audio import decode_flac
from ilt.digest import code_digest
from ilt.errors import IltError
from ilt.paths import WORK, replacing

__all__ = ["FeatureStore", "pad_features"]

SILENCE = -1.5
"""What Whisper's extractor makes of digital silence: log10 of its floor 1e-10, plus 4, divided by 4."""

FLOOR = 2.0
"""Whisper clamps to 8 below the maximum and divides by 4: silence lies this far below the loudest bin."""


class FeatureStore:
    """Whisper's scaled log-mel features of utterances, by id, float16, without padding.

    The file in `.ilt/features` is named by a hash of the audio, the extractor and this code. If it would
    be larger than `limit_mb`, nothing is kept and features are computed whenever they are asked for.
    """

    def __init__(self, table: pl.DataFrame, extractor: WhisperFeatureExtractor, limit_mb: int | None = None) -> None:
        self.extractor = extractor
        table = table.sort("id")
        self._row = {key: row for row, key in enumerate(table["id"])}
        # Arrow, since rows of it can be read in forked processes.
        self._audio = table["audio"].struct.field("bytes").to_arrow()
        hop = extractor.hop_length
        frames = [max(2, -(-round(s * extractor.sampling_rate) // hop)) for s in table["duration"]]
        self.frames = dict(zip(table["id"], frames, strict=True))
        self._stored: np.ndarray | None = None
        self._starts = np.concatenate([[0], np.cumsum(frames)])
        bins = extractor.feature_size
        limit_mb = feature_cache_mb() if limit_mb is None else limit_mb
        if self._starts[-1] * bins * 2 <= limit_mb * 2**20:
            name = hashlib.sha256(
                json.dumps([extractor.to_dict(), table["audio_hash"].to_list()], sort_keys=True).encode()
                + code_digest("ilt.asr.features").encode()
            ).hexdigest()[:24]
            path = WORK / "features" / f"{name}.f16"
            if not path.is_file():
                self._fill(path)
            self._stored = np.memmap(path, np.float16, "r", shape=(int(self._starts[-1]), bins))

    def _fill(self, path: Path) -> None:
        with replacing(path) as temporary, temporary.open("wb") as file:
            for row in range(len(self._audio)):
                file.write(self._compute(row).T.tobytes())

    def _compute(self, row: int) -> np.ndarray:
        samples = decode_flac(self._audio[row].as_py())
        hop, frames = self.extractor.hop_length, int(self._starts[row + 1] - self._starts[row])
        # Whole hops, and one more that the extractor drops again.
        samples = np.pad(samples, (0, max(0, frames * hop - len(samples))))
        with_batch = self.extractor(
            samples,
            sampling_rate=self.extractor.sampling_rate,
            padding="do_not_pad",
            truncation=False,
            return_tensors="np",
        ).input_features
        return np.ascontiguousarray(with_batch[0][:, :frames], dtype=np.float16)

    def __getitem__(self, key: str) -> torch.Tensor:
        """float32 features of one utterance, (mel bins, frames)."""
        row = self._row[key]
        stored, at = self._stored, slice(self._starts[row], self._starts[row + 1])
        values = self._compute(row) if stored is None else stored[at].T
        return torch.from_numpy(values.astype(np.float32))


def pad_features(features: Sequence[torch.Tensor], frames: int) -> torch.Tensor:
    """Stack features to (batch, mel bins, frames), with silence behind each; no audio at all is silence.

    Raises IltError for an utterance of more than `frames`, of which the rest would go unheard.
    """
    if longest := max((feature.shape[1] for feature in features if feature.shape[1] > frames), default=0):
        raise IltError(
            f"an utterance of {longest} mel frames is longer than the {frames} that the model hears at once; "
            "cut it into segments"
        )
    rows = [
        torch.nn.functional.pad(
            feature, (0, frames - feature.shape[1]),
            value=float(feature.max()) - FLOOR if feature.numel() else SILENCE,
        )
        for feature in features
    ]  # fmt: skip
    return torch.stack(rows)
