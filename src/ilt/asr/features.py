"""Features of an utterance table, computed once and kept in a file that all stages map into memory."""

from __future__ import annotations

import hashlib
import json
import sys
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
"""Features of digital silence by Whisper's extractor: log10 of its floor 1e-10, plus 4, divided by 4."""

FLOOR = 2.0
"""Whisper clamps to 8 below the maximum and divides by 4: silence lies this far below the loudest bin."""

_checked: set[tuple[Path, int, int]] = set()
"""Files whose checksum was right in this process, with their time of change and inode."""


def _state(path: Path) -> tuple[Path, int, int]:
    stat = path.stat()
    return path.absolute(), stat.st_mtime_ns, stat.st_ino


def _checksum(path: Path) -> Path:
    """Return the file beside a features file that holds its checksum, as `sha256sum` writes it."""
    return path.with_name(f"{path.name}.sha256")


def _write_checksum(path: Path, digest: str) -> None:
    with replacing(_checksum(path)) as temporary:
        temporary.write_text(f"{digest}  {path.name}\n", encoding="utf-8")
    _checked.add(_state(path))


def _damage(path: Path, size: int) -> str | None:
    """Return what is wrong with a features file that should have `size` bytes, or None.

    The size is compared every time, the checksum once in a process.
    """
    if path.stat().st_size != size:
        return f"{path.stat().st_size} bytes, expected {size}"
    if _state(path) in _checked:
        return None
    if not _checksum(path).is_file():
        return "it has no checksum"
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if _checksum(path).read_bytes() != f"{digest}  {path.name}\n".encode():
        return "its checksum is another"
    _checked.add(_state(path))
    return None


class FeatureStore:
    """Whisper's scaled log-mel features of utterances, by id, float16, without padding.

    The file in `.ilt/features` is named by a hash of the audio, the extractor and this code, and is made again where
    it is damaged. If it would be larger than `limit_mb`, no file is made and features are computed at every access.
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
            self._stored = self._mapped(WORK / "features" / f"{name}.f16", bins)

    def _mapped(self, path: Path, bins: int) -> np.ndarray:
        """Map the file of features, (frames, mel bins), into memory; make it first where it is missing or damaged."""
        frames = int(self._starts[-1])
        damage = _damage(path, frames * bins * 2) if path.is_file() else None
        if damage:
            print(f"  {path} is damaged ({damage}) and made again", file=sys.stderr, flush=True)
        if damage or not path.is_file():
            self._fill(path)
        return np.memmap(path, np.float16, "r", shape=(frames, bins))

    def _fill(self, path: Path) -> None:
        """Compute and write all features, and then their checksum, so that a file without one is not whole."""
        digest = hashlib.sha256()
        with replacing(path) as temporary, temporary.open("wb") as file:
            for row in range(len(self._audio)):
                values = self._compute(row).T.tobytes()
                digest.update(values)
                file.write(values)
        _write_checksum(path, digest.hexdigest())

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
        """Return the features of one utterance, (mel bins, frames), float32."""
        row = self._row[key]
        stored, at = self._stored, slice(self._starts[row], self._starts[row + 1])
        values = self._compute(row) if stored is None else stored[at].T
        return torch.from_numpy(values.astype(np.float32))


def pad_features(features: Sequence[torch.Tensor], frames: int) -> torch.Tensor:
    """Stack features to (batch, mel bins, frames), with silence after each; no audio at all is silence.

    Raises IltError for an utterance of more than `frames`, of which the rest would be lost.
    """
    if longest := max((feature.shape[1] for feature in features if feature.shape[1] > frames), default=0):
        raise IltError(
            f"an utterance of {longest} mel frames is longer than the {frames} that the model takes at once; "
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
