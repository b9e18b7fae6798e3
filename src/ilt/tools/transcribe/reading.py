"""Audio files of any length, a block at a time: 16 kHz mono float32, whatever is in the file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ilt.corpus.audio import read_blocks
from ilt.errors import Problem, ProblemsError

__all__ = ["audio_blocks", "check_files"]

TITLE = "there are files that cannot be transcribed"


def check_files(files: list[Path]) -> None:
    """Raise ProblemsError that names every file which does not begin as audio."""
    problems = []
    for path in files:
        if path.is_dir():
            what = f"this is a folder; name its audio files, as {path / '*.wav'}"
            problems.append(Problem(str(path), path.name, what))
            continue
        try:
            if not sum(map(len, read_blocks(path, 0.0, 1.0))):
                problems.append(Problem(str(path), path.name, "the audio has no samples"))
        except ValueError as error:
            problems.append(Problem(str(path), path.name, str(error)))
    if problems:
        raise ProblemsError(TITLE, problems)


def audio_blocks(path: Path) -> Iterator[np.ndarray]:
    """Yield the samples of a file in blocks, float32 at 16 kHz; channels are mixed down.

    Raises ProblemsError if it breaks off or holds NaN.
    """
    try:
        yield from read_blocks(path, 0.0, None)
    except ValueError as error:
        problem = Problem(str(path), path.name, f"the audio cannot be read to its end: {error}")
        raise ProblemsError(TITLE, [problem]) from None
