"""The sound of the rows that go out: small FLAC clips that every browser plays, and their outlines."""

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


@dataclass(frozen=True, slots=True)
class Clip:
    """One utterance's sound.

    flac:    16-bit mono FLAC at `ilt.corpus.audio.RATE`.
    seconds: its length.
    peaks:   `PEAKS` numbers from 0 to 99, the loudest sample of each part beside the loudest of all.
    """

    flac: bytes
    seconds: float
    peaks: list[int]

    @property
    def data_uri(self) -> str:
        """The clip as a `data:` URI."""
        return "data:audio/flac;base64," + base64.b64encode(self.flac).decode("ascii")


def _peaks(samples: np.ndarray) -> list[int]:
    parts = np.array_split(np.abs(samples), PEAKS)
    loudest = np.array([part.max() if len(part) else 0.0 for part in parts])
    return [int(value) for value in np.round(99 * loudest / max(float(loudest.max()), 1e-4))]


def _clip(audio: dict[str, bytes | str | None]) -> Clip:
    data = audio["bytes"]
    if not isinstance(data, bytes):
        raise ValueError("the utterance table holds no audio for it")
    samples = decode_flac(data)
    if not len(samples):
        raise ValueError("the audio has no samples")
    return Clip(encode_flac(samples), round(len(samples) / RATE, 3), _peaks(samples))


def load_clips(ids: Sequence[str]) -> dict[str, Clip]:
    """The clips of some utterances by id; nothing else is read. Raises IltError naming each missing one."""
    wanted = UTTERANCE_TABLE.scan(paths.UTTERANCES).filter(pl.col("id").is_in(list(ids)))
    audio = dict(wanted.select("id", "audio").collect().iter_rows())
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
        raise ProblemsError("rows cannot be exported", problems)
    return clips


def audio_hashes(ids: Sequence[str]) -> dict[str, str]:
    """The hashes of the audio that the corpus has now, by id; ids that it lacks are left out."""
    if not paths.UTTERANCES.is_file():
        raise IltError(f"{paths.UTTERANCES} is missing; run `dvc repro corpus` or `dvc checkout`")
    wanted = UTTERANCE_TABLE.scan(paths.UTTERANCES).filter(pl.col("id").is_in(list(ids)))
    return dict(wanted.select("id", "audio_hash").collect().iter_rows())
