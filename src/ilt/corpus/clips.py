"""Audio of single utterances, to be heard: short clips that every browser plays, and their outlines."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from ilt import paths
from ilt.corpus.audio import RATE, decode_flac, encode_flac
from ilt.corpus.table import UTTERANCE_TABLE
from ilt.errors import IltError, Problem, ProblemsError

__all__ = ["Clip", "audio_hashes", "load_clips"]

PEAKS = 96
"""Points of an outline."""


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """Audio of one utterance. samples: float32 mono at `ilt.corpus.audio.RATE`, (n,), at least one."""

    samples: np.ndarray

    @property
    def seconds(self) -> float:
        """Its length."""
        return round(len(self.samples) / RATE, 3)

    @property
    def flac(self) -> bytes:
        """The clip as 16-bit FLAC."""
        return encode_flac(self.samples)

    @property
    def data_uri(self) -> str:
        """The FLAC as a `data:` URI."""
        return "data:audio/flac;base64," + base64.b64encode(self.flac).decode("ascii")

    @property
    def peaks(self) -> list[int]:
        """The outline: `PEAKS` numbers from 0 to 99, the loudest sample of each part beside the loudest of all."""
        parts = np.array_split(np.abs(self.samples), PEAKS)
        loudest = np.array([part.max() if len(part) else 0.0 for part in parts])
        return [int(value) for value in np.round(99 * loudest / max(float(loudest.max()), 1e-4))]


def _clip(audio: dict[str, bytes | str | None]) -> Clip:
    data = audio["bytes"]
    if not isinstance(data, bytes):
        raise ValueError("the utterance table holds no audio for it")
    samples = decode_flac(data)
    if not len(samples):
        raise ValueError("the audio has no samples")
    return Clip(samples)


def load_clips(ids: Sequence[str]) -> dict[str, Clip]:
    """Return the clips of some utterances, by id in the order given. Nothing else is read.

    Raises ProblemsError with each utterance that the corpus lacks or whose audio cannot be read.
    """
    rows = UTTERANCE_TABLE.read(paths.UTTERANCES, pl.col("id").is_in(list(ids)), ["id", "audio"])
    audio = dict(rows.iter_rows())
    clips, problems = {}, []
    for key in ids:
        if key not in audio:
            what = "labelled, but not in the utterance table; run `dvc repro`"
            problems.append(Problem(str(paths.UTTERANCES), key, what))
            continue
        try:
            clips[key] = _clip(audio[key])
        except (ValueError, RuntimeError) as error:
            problems.append(Problem(str(paths.UTTERANCES), key, f"its audio cannot be played: {error}"))
    if problems:
        raise ProblemsError("utterances have no audio to play", problems)
    return clips


def audio_hashes(ids: Sequence[str]) -> dict[str, str]:
    """Return the hashes of the audio of some utterances, by id, without those that the corpus lacks."""
    if not paths.UTTERANCES.is_file():
        raise IltError(f"{paths.UTTERANCES} is missing; run `dvc repro corpus` or `dvc checkout`")
    rows = UTTERANCE_TABLE.read(paths.UTTERANCES, pl.col("id").is_in(list(ids)), ["id", "audio_hash"])
    return dict(rows.iter_rows())
