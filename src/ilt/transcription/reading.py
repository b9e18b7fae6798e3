"""Audio files of any length, a block at a time: 16 kHz mono float32, whatever is in the file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr

from ilt.corpus.audio import RATE, read_audio
from ilt.errors import Problem, ProblemsError

__all__ = ["audio_blocks", "check_files"]

BLOCK_SECONDS = 30


def check_files(files: list[Path]) -> None:
    """Raises ProblemsError that names every file which does not begin as audio."""
    problems = []
    for path in files:
        try:
            read_audio(path, duration=1.0)
        except ValueError as error:
            problems.append(Problem(str(path), path.name, str(error)))
    if problems:
        raise ProblemsError("there are files that cannot be transcribed", problems)


def audio_blocks(path: Path) -> Iterator[np.ndarray]:
    """The samples of a file in blocks, float32 at `RATE`; channels are mixed down.

    Raises ProblemsError if it breaks off or holds NaN.
    """
    try:
        with soundfile.SoundFile(path) as file:
            rate = file.samplerate
            stream = soxr.ResampleStream(rate, RATE, 1, dtype="float32") if rate != RATE else None
            for block in file.blocks(BLOCK_SECONDS * rate, dtype="float32", always_2d=True):
                mono = block.mean(axis=1)
                if not np.isfinite(mono).all():
                    raise ValueError("the audio contains NaN or infinite samples")
                yield np.clip(stream.resample_chunk(mono) if stream else mono, -1.0, 1.0)
            if stream:
                yield np.clip(stream.resample_chunk(np.empty(0, np.float32), last=True), -1.0, 1.0)
    except (soundfile.LibsndfileError, RuntimeError, ValueError) as error:
        problem = Problem(str(path), path.name, f"the audio cannot be read to its end: {error}")
        raise ProblemsError("there are files that cannot be transcribed", [problem]) from None
