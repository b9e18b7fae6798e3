"""Where to cut a recording: in pauses, found by loudness or by a voice activity detector.

All that is not quiet is in exactly one piece, with a margin of what is quiet around it; the rest of a pause
is not transcribed. Where somebody speaks on for longer than a model hears, pieces meet at the quietest
instant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from ilt.corpus.audio import RATE
from ilt.corpus.vad import FRAME as VOICE_FRAME
from ilt.corpus.vad import VoiceActivity

__all__ = ["DETECTORS", "FRAME", "Piece", "cut", "levels", "speech_frames"]

FRAME = RATE // 100
"""Samples in a frame of 10 ms, which all times here are multiples of."""

DETECTORS = ("energy", "silero")

PAUSE, JOIN, MARGIN = 30, 60, 10
"""In frames. PAUSE: quiet for so long. JOIN: speech on both sides of a shorter pause stays together.
MARGIN: so much of a pause goes with the speech beside it; more misleads models trained on trimmed speech."""

INAUDIBLE = -75.0
"""dBFS; what is softer counts as quiet whatever stands beside it."""

SILERO_THRESHOLD = 0.4


@dataclass(frozen=True)
class Piece:
    """A part of a recording, in frames: first, behind the last; where speech begins and where it ends."""

    start: int
    end: int
    speech_start: int
    speech_end: int


def levels(blocks: Iterable[np.ndarray]) -> np.ndarray:
    """Level of each frame in dBFS, (frames,). The last frame may be shorter than `FRAME`."""
    found, rest = [], np.empty(0, np.float32)
    for block in blocks:
        rest = np.concatenate([rest, block])
        whole = len(rest) // FRAME * FRAME
        found.append((rest[:whole].reshape(-1, FRAME).astype(np.float64) ** 2).mean(1))
        rest = rest[whole:]
    if len(rest):
        found.append(np.array([(rest.astype(np.float64) ** 2).mean()]))
    power = np.concatenate(found) if found else np.empty(0)
    return np.asarray(10 * np.log10(power + 1e-12))


def _smooth(values: np.ndarray, width: int) -> np.ndarray:
    from scipy.ndimage import uniform_filter1d

    return np.asarray(uniform_filter1d(values, width, mode="nearest"))


def _loud(level: np.ndarray) -> np.ndarray:
    """Frames that are not quiet: a quarter of the way, in dB, from the noise to the loudest."""
    smooth = _smooth(level, 5)
    noise, loudest = np.percentile(smooth, [10, 99.9])
    threshold = min(noise + max(6.0, 0.25 * (loudest - noise)), loudest - 6.0)
    return np.asarray(smooth > max(threshold, INAUDIBLE))


def _spoken(blocks: Iterable[np.ndarray], frames: int) -> np.ndarray:
    """Frames with a voice, by Silero VAD."""
    probabilities = VoiceActivity("--vad silero").probabilities(blocks)
    judged = np.minimum(np.arange(frames) * FRAME // VOICE_FRAME, len(probabilities) - 1)
    return np.asarray(probabilities[judged] >= SILERO_THRESHOLD)


def speech_frames(detector: str, level: np.ndarray, blocks: Callable[[], Iterator[np.ndarray]]) -> np.ndarray:
    """Which frames are not quiet, (frames,), bool. detector: `energy` or `silero`."""
    if not len(level):
        return np.zeros(0, bool)
    return _loud(level) if detector == "energy" else _spoken(blocks(), len(level))


def _runs(mask: np.ndarray) -> list[tuple[int, int]]:
    """First frame, and that behind the last, of each stretch of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def _speech(mask: np.ndarray, limit: int) -> list[tuple[int, int]]:
    """Stretches of speech with all but real pauses in them, joined over short pauses while they fit."""
    joined: list[tuple[int, int]] = []
    for start, end in _runs(mask):
        if joined:
            pause = start - joined[-1][1]
            if pause < PAUSE or (pause < JOIN and end - joined[-1][0] + 2 * MARGIN <= limit):
                joined[-1] = (joined[-1][0], end)
                continue
        joined.append((start, end))
    return joined


def cut(level: np.ndarray, mask: np.ndarray, limit: int) -> list[Piece]:
    """Cut a recording into pieces of at most `limit` frames.

    level: dBFS of each frame. mask: the frames that are not quiet. Every such frame is in exactly one piece.
    Speech that goes on for longer than `limit` is cut where it is quietest.
    """
    pieces = []
    for start, end in _speech(mask, limit):
        # Rather less silence than a cut through speech.
        margin = min(MARGIN, (limit - (end - start)) // 2) if end - start <= limit else MARGIN
        first, last = max(0, start - margin), min(len(level), end + margin)
        pieces += _split(level, first, last, start, end, limit)
    return pieces


def _split(level: np.ndarray, first: int, last: int, start: int, end: int, limit: int) -> list[Piece]:
    smooth, pieces = _smooth(level[first:last], 9), []
    at = first
    while last - at > limit:
        low = at + limit // 2
        here = low + int(np.argmin(smooth[low - first : at + limit - first]))
        pieces.append(Piece(at, here, max(at, start), min(here, end)))
        at = here
    pieces.append(Piece(at, last, max(at, start), min(last, end)))
    return [piece for piece in pieces if piece.speech_start < piece.speech_end]
