"""Audio in and out: any file that libsndfile reads becomes 16 kHz mono float32."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import soundfile
import soxr

__all__ = ["RATE", "audio_hash", "decode_flac", "encode_flac", "read_audio"]

RATE = 16_000
"""Samples a second of everything in the pipeline."""


def read_audio(path: Path, offset: float = 0.0, duration: float | None = None) -> np.ndarray:
    """Read (a part of) a file: float32, mono, at `RATE`. Stereo is mixed down.

    offset, duration: seconds. Raises ValueError that says what is wrong with the file.
    """
    try:
        if not path.is_file():
            raise ValueError("the audio file does not exist")
        if path.stat().st_size == 0:
            raise ValueError("the audio file is empty (0 bytes)")
    except OSError as error:
        raise ValueError(f"the audio file cannot be looked at: {error.strerror}") from None
    try:
        with soundfile.SoundFile(path) as file:
            rate = file.samplerate
            if offset:
                if offset * rate >= file.frames:
                    raise ValueError(f"offset {offset} s is behind the end ({file.frames / rate:.2f} s)")
                file.seek(round(offset * rate))
            count = -1 if duration is None else round(duration * rate)
            samples = file.read(count, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise ValueError(f"not audio that libsndfile can read: {error}") from None
    if not len(samples):
        raise ValueError("the audio has no samples")
    mono = samples.mean(axis=1)
    if not np.isfinite(mono).all():
        raise ValueError("the audio contains NaN or infinite samples")
    if rate != RATE:
        mono = soxr.resample(mono, rate, RATE)
    return np.clip(mono, -1.0, 1.0).astype(np.float32)


def _to_int16(samples: np.ndarray) -> np.ndarray:
    return np.clip(np.round(samples * 32768.0), -32768, 32767).astype("<i2")


def audio_hash(samples: np.ndarray) -> str:
    """A hash of the decoded samples (16-bit), 32 hex digits: equal audio in different files is equal."""
    return hashlib.blake2b(_to_int16(samples).tobytes(), digest_size=16).hexdigest()


def encode_flac(samples: np.ndarray) -> bytes:
    """16-bit FLAC at `RATE` of float32 samples in [-1, 1]."""
    buffer = io.BytesIO()
    soundfile.write(buffer, _to_int16(samples), RATE, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()


def decode_flac(data: bytes) -> np.ndarray:
    """float32 samples of what `encode_flac` gave."""
    samples, _ = soundfile.read(io.BytesIO(data), dtype="float32")
    return samples
