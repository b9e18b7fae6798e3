"""Long recordings of the pool, cut where nobody speaks.

Silero VAD gives each 32 ms the probability that somebody speaks. What becomes a cut is decided here, since
Silero's own timestamps drop short speech, and what is dropped cannot be labelled.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ilt.corpus.audio import RATE, audio_seconds, read_blocks
from ilt.corpus.formats.row import Row
from ilt.corpus.vad import FRAME, VoiceActivity
from ilt.errors import IltError, Problem
from ilt.params import CutParams

__all__ = ["Cutter", "cut_spans", "speech_frames"]

HYSTERESIS = 0.15
"""Speech goes on until the probability falls this far below the threshold, as in Silero's own code."""


def speech_frames(probabilities: np.ndarray, threshold: float) -> np.ndarray:
    """Which frames are speech, (frames,) bool: from `threshold` on, until `HYSTERESIS` below it."""
    high, low = probabilities >= threshold, probabilities < threshold - HYSTERESIS
    # Each frame takes the state of the last frame that decided one; before the first nobody speaks.
    decided = np.where(high | low, np.arange(len(probabilities)), -1)
    last = np.maximum.accumulate(decided) if len(decided) else decided
    return np.where(last >= 0, high[last], False)


def _quietest(probabilities: np.ndarray, start: int, stop: int) -> int:
    """The frame between start and stop where a word is least likely cut: the middle of the longest quiet."""
    quiet = np.flatnonzero(np.diff(np.r_[False, probabilities[start:stop] < 0.35, False].astype(np.int8)))
    if len(quiet):
        starts, ends = quiet[::2], quiet[1::2]
        at = int((ends - starts).argmax())
        return start + int(starts[at] + ends[at]) // 2
    return start + int(probabilities[start:stop].argmin())


def cut_spans(probabilities: np.ndarray, params: CutParams, limit: float) -> list[tuple[float, float]]:
    """Start and end in seconds of each cut, padding included, in order.

    probabilities: of speech, one a frame. limit: seconds that no cut is longer than.
    Every frame of speech is in a cut. Speech without a pause for longer than `limit` is cut where it is
    quietest in the second half of what fits, and both sides keep the padding over that place.
    """
    frame = FRAME / RATE
    room = int((limit - 2 * params.padding) / frame)
    if room < 4:
        raise IltError(
            f"corpus.cut.padding: {params.padding:g} s on both sides leave no room in cuts of {limit:g} s; "
            "make it smaller"
        )
    spoken = np.flatnonzero(speech_frames(probabilities, params.threshold))
    if not len(spoken):
        return []
    breaks = np.flatnonzero(np.diff(spoken) > params.pause / frame) + 1
    spans = []
    for region in np.split(spoken, breaks):
        start, stop = int(region[0]), int(region[-1]) + 1
        while stop - start > room:
            at = _quietest(probabilities, start + room // 2, start + room)
            spans.append((start, at))
            start = at
        spans.append((start, stop))
    end = len(probabilities) * frame
    return [
        (max(0.0, start * frame - params.padding), min(end, stop * frame + params.padding)) for start, stop in spans
    ]


class Cutter:
    """Makes several rows of a pool row that is too long; leaves all others alone."""

    def __init__(self, params: CutParams, longest: float) -> None:
        self.params, self.longest = params, min(longest, params.max_duration)
        self._voice = VoiceActivity("corpus.cut.method=vad")

    def __call__(self, row: Row) -> Iterator[Row | Problem]:
        if row.split != "pool" or row.audio is None:
            yield row
            return
        try:
            offset = row.offset or 0.0
            seconds = row.duration if row.duration is not None else audio_seconds(row.audio) - offset
            if seconds <= self.longest:
                yield row
                return
            probabilities = self._voice.probabilities(read_blocks(row.audio, offset, row.duration))
        except ValueError as error:
            yield Problem(row.where, row.id, f"{error} ({row.name})")
            return
        spans = cut_spans(probabilities, self.params, self.longest)
        if not spans:
            what = f"no speech was found in {seconds:.1f} s (corpus.cut.threshold {self.params.threshold:g})"
            yield Problem(row.where, row.id, what)
        for start, end in spans:
            end = min(end, seconds)
            yield replace(
                row,
                id=f"{row.id}-{round(1000 * start):08d}-{round(1000 * end):08d}",
                offset=offset + start,
                duration=end - start,
                text=None,  # what was said in the whole is not what is said here
                cut_of=row.id,
            )
