"""Speech from text: utterances with their words and voice, spoken by eSpeak NG.

An `Utterance` describes a synthetic utterance wholly; `render` turns many into samples. eSpeak NG
carries state from one utterance to the next, so they are spoken in blocks of a fixed size, each in a
fresh process and in the order given: the same list gives the same samples on any number of cores.
"""

from __future__ import annotations

import multiprocessing
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from ilt.corpus.audio import RATE
from ilt.demo.espeak import ESPEAK_RATE, Voice, synthesise
from ilt.demo.texts import spoken

__all__ = ["Utterance", "block_of", "render"]

BLOCK = 256


@dataclass(frozen=True, slots=True)
class Utterance:
    """A synthetic utterance.

    isolated: the words are spoken one by one, with pauses between them, as people read out codes.
    engine:   `espeak`, or `flite` (only the recipe of the base uses it; Debian's package `flite`).
    """

    text: str
    language: str
    voice: Voice
    seed: int
    isolated: bool = False
    engine: str = "espeak"


def trim(samples: np.ndarray, rate: int, floor: float = 0.004, margin: float = 0.03) -> np.ndarray:
    """Return samples without the silence at both ends, leaving `margin` seconds."""
    loud = np.flatnonzero(np.abs(samples) > floor)
    if not len(loud):
        return samples[:0]
    pad = int(margin * rate)
    return samples[max(0, loud[0] - pad) : loud[-1] + pad]


def _flite(text: str, voice: str) -> np.ndarray:
    program = shutil.which("flite")
    if program is None:
        raise RuntimeError("the program flite is missing: install Debian's package `flite`")
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder) / "out.wav"
        subprocess.run([program, "-voice", voice, "-t", text, "-o", str(wav)], check=True)
        samples, rate = soundfile.read(wav, dtype="float32")
    return soxr.resample(samples, rate, RATE) if rate != RATE else samples


def _spoken_text(text: str, utterance: Utterance) -> np.ndarray:
    if utterance.engine == "flite":
        return trim(_flite(text, utterance.voice.variant), RATE)
    samples = synthesise(spoken(text, utterance.language), utterance.voice, utterance.seed)
    return trim(soxr.resample(samples, ESPEAK_RATE, RATE).astype(np.float32), RATE)


def _speak(utterance: Utterance) -> np.ndarray:
    if not utterance.isolated:
        return _spoken_text(utterance.text, utterance)
    rng = np.random.default_rng(utterance.seed)
    parts: list[np.ndarray] = []
    for word in utterance.text.split():
        parts.append(_spoken_text(word, utterance))
        parts.append(np.zeros(int(rng.uniform(0.0, 0.18) * RATE), np.float32))
    return np.concatenate(parts[:-1])


def block_of(utterances: Sequence[Utterance]) -> list[np.ndarray]:
    """Return the speech of one block, in order: float32 samples at `RATE` for each utterance.

    To be called in a fresh process (see `render`).
    """
    return [_speak(utterance) for utterance in utterances]


def render(utterances: Sequence[Utterance], processes: int = 2) -> Iterator[np.ndarray]:
    """Yield the speech of utterances, in their order: float32 samples at `RATE`, peak below 1."""
    blocks = [utterances[start : start + BLOCK] for start in range(0, len(utterances), BLOCK)]
    # Forking is safe here and cheap: this process has not loaded the library, so each child starts afresh.
    context = multiprocessing.get_context("fork")
    with context.Pool(max(1, processes), maxtasksperchild=1) as pool:
        for block in pool.imap(block_of, blocks, chunksize=1):
            yield from block
