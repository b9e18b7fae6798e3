"""Audio in and out: any file that libsndfile reads becomes 16 kHz mono float32."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile
import soxr

__all__ = [
    "RATE",
    "MissingAudio",
    "TooLong",
    "audio_hash",
    "audio_seconds",
    "decode_flac",
    "encode_flac",
    "read_audio",
    "read_blocks",
]

RATE = 16_000
"""Samples a second of everything in the pipeline."""

MP3_LEAD = 2.0
"""Seconds before an offset at which decoding of mp3 starts: its frames lean on earlier ones (the bit
reservoir, up to 511 bytes, which are half a second at the lowest rate), and libsndfile seeks without them.
soundfile seeks after every read, too."""

END_TOLERANCE = 0.25
"""Seconds by which a segment may run over the end of its file: manifests round, and encoders pad."""


class MissingAudio(ValueError):
    """There is no such file."""

    def __init__(self) -> None:
        super().__init__("the audio file does not exist")


class TooLong(ValueError):
    """Audio of `seconds` seconds, where less was expected."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(f"the audio is too long: {seconds:.2f} s")


@contextmanager
def _opened(source: Path | bytes) -> Iterator[soundfile.SoundFile]:
    """Open a file, or the bytes of one. Raises ValueError with what is wrong with it."""
    if isinstance(source, bytes):
        if not source:
            raise ValueError("the audio is empty (0 bytes)")
    else:
        try:
            if not source.is_file():
                raise MissingAudio
            if source.stat().st_size == 0:
                raise ValueError("the audio file is empty (0 bytes)")
        except OSError as error:
            raise ValueError(f"the audio file cannot be looked at: {error.strerror}") from None
    try:
        with soundfile.SoundFile(io.BytesIO(source) if isinstance(source, bytes) else source) as file:
            yield file
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise ValueError(
            f"not audio that libsndfile can read: {error}; convert it to wav or FLAC, as with ffmpeg"
        ) from None


def _check_offset(file: soundfile.SoundFile, offset: float) -> None:
    """Raise ValueError for an offset, in seconds, that is behind the end."""
    if offset and offset * file.samplerate >= file.frames:
        raise ValueError(f"offset {offset} s is behind the end ({file.frames / file.samplerate:.2f} s)")


def _mono(file: soundfile.SoundFile, at: int, count: int) -> np.ndarray:
    """Return `count` samples (-1: all) from sample `at` on, as decoding from the start gives them, mixed down."""
    lead = min(at, round(MP3_LEAD * file.samplerate) if file.format == "MP3" else 0)
    if at:
        file.seek(at - lead)
    samples = file.read(count if count < 0 else lead + count, dtype="float32", always_2d=True)
    mono: np.ndarray = samples[lead:].mean(axis=1)
    if not np.isfinite(mono).all():
        raise ValueError("the audio contains NaN or infinite samples")
    return mono


def audio_seconds(source: Path | bytes) -> float:
    """Return the length that the file's header states. Raises ValueError as `read_audio` does."""
    with _opened(source) as file:
        return float(file.frames / file.samplerate)


def read_audio(
    source: Path | bytes, offset: float = 0.0, duration: float | None = None, longest: float | None = None
) -> np.ndarray:
    """Read (a part of) a file, or of a file's bytes: float32, mono, at `RATE`. Stereo is mixed down.

    offset, duration: seconds; nothing outside of them is held. longest: seconds; what is far longer is not
    even read, but is `TooLong`. Raises ValueError that says what is wrong with the file.
    """
    with _opened(source) as file:
        rate = file.samplerate
        stated = file.frames / rate - offset if duration is None else duration
        if longest is not None and stated > 1.1 * longest + 5.0:  # headers of mp3 are not to be relied on
            raise TooLong(stated)
        _check_offset(file, offset)
        count = -1 if duration is None else round(duration * rate)
        mono = _mono(file, round(offset * rate), count)
    if not len(mono):
        raise ValueError("the audio has no samples")
    if duration is not None and len(mono) < count - END_TOLERANCE * rate:
        end = offset + len(mono) / rate
        raise ValueError(f"the segment ends at {offset + duration:.2f} s, the audio at {end:.2f} s")
    if rate != RATE:
        mono = soxr.resample(mono, rate, RATE)
    return np.clip(mono, -1.0, 1.0).astype(np.float32)


def read_blocks(source: Path | bytes, offset: float, duration: float | None) -> Iterator[np.ndarray]:
    """Yield (a part of) a file as `read_audio`, but half a minute at a time, for recordings of any length.

    They are resampled as one stream. A segment that runs over the end of its file ends there.
    """
    with _opened(source) as file:
        rate = file.samplerate
        _check_offset(file, offset)
        at = round(offset * rate)
        end = file.frames if duration is None else min(file.frames, at + round(duration * rate))
        stream = None if rate == RATE else soxr.ResampleStream(rate, RATE, 1, dtype="float32")
        for start in range(at, end, 30 * rate):
            count = min(end - start, 30 * rate)
            mono = _mono(file, start, count)
            resampled = stream.resample_chunk(mono, last=start + count >= end) if stream else mono
            yield np.clip(resampled, -1.0, 1.0)


def _to_int16(samples: np.ndarray) -> np.ndarray:
    """Return float32 samples in [-1, 1] as 16-bit integers."""
    return np.clip(np.round(samples * 32768.0), -32768, 32767).astype("<i2")


def audio_hash(samples: np.ndarray) -> str:
    """Return a hash of decoded samples (16-bit), 32 hex digits: that of equal audio in different files is equal."""
    return hashlib.blake2b(_to_int16(samples).tobytes(), digest_size=16).hexdigest()


def encode_flac(samples: np.ndarray) -> bytes:
    """Return 16-bit FLAC at `RATE` of float32 samples in [-1, 1]."""
    buffer = io.BytesIO()
    soundfile.write(buffer, _to_int16(samples), RATE, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()


def decode_flac(data: bytes) -> np.ndarray:
    """Return the float32 samples of FLAC that `encode_flac` made."""
    samples, _ = soundfile.read(io.BytesIO(data), dtype="float32")
    return samples
