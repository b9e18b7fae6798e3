"""Cuts of long recordings in pauses: of the pool into utterances, of files into what a model takes at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ilt.corpus.audio import RATE, audio_seconds, read_blocks
from ilt.corpus.formats.row import Row
from ilt.corpus.vad import FRAME, VoiceActivity, speech_frames
from ilt.errors import IltError, Problem
from ilt.params import CutParams

__all__ = ["Cutter", "cut_spans", "speech_frames", "speech_spans"]


def _quietest(speech: np.ndarray, loudness: np.ndarray, start: int, stop: int) -> int:
    """Return the frame between start and stop where a word is least likely cut: the middle of the longest pause."""
    edges = np.flatnonzero(np.diff(np.r_[False, ~speech[start:stop], False].astype(np.int8)))
    if len(edges):
        starts, ends = edges[::2], edges[1::2]
        longest = int((ends - starts).argmax())
        return start + int(starts[longest] + ends[longest]) // 2
    return start + int(loudness[start:stop].argmin())


def speech_spans(speech: np.ndarray, loudness: np.ndarray, pause: float, room: int) -> list[tuple[int, int]]:
    """Return the first frame of each span of speech, and the one behind its last, in order.

    speech: (frames,) bool. loudness: (frames,), where it is least a cut disturbs least. pause: frames; longer ones
    end a span. room: frames that no span is longer than. Every frame of speech is in exactly one span. Speech
    without a pause for longer than `room` is cut where it is quietest in the second half of what fits.
    """
    spoken = np.flatnonzero(speech)
    if not len(spoken):
        return []
    spans = []
    for region in np.split(spoken, np.flatnonzero(np.diff(spoken) > pause) + 1):
        start, stop = int(region[0]), int(region[-1]) + 1
        while stop - start > room:
            at = _quietest(speech, loudness, start + room // 2, start + room)
            spans.append((start, at))
            start = at
        spans.append((start, stop))
    return spans


def cut_spans(probabilities: np.ndarray, params: CutParams, limit: float) -> list[tuple[float, float]]:
    """Return start and end in seconds of each cut, padding included, in order.

    probabilities: of speech, one a frame. limit: seconds that no cut is longer than. Where speech without a pause
    is cut, both sides keep the padding over that place.
    """
    frame = FRAME / RATE
    room = int((limit - 2 * params.padding) / frame)
    if room < 4:
        raise IltError(
            f"corpus.cut.padding: {params.padding:g} s on both sides leave no room in cuts of {limit:g} s; "
            "make it smaller"
        )
    speech, end = speech_frames(probabilities, params.threshold), len(probabilities) * frame
    return [
        (max(0.0, start * frame - params.padding), min(end, stop * frame + params.padding))
        for start, stop in speech_spans(speech, probabilities, params.pause / frame, room)
    ]


class Cutter:
    """Cuts a pool row that is too long into several rows; leaves all others alone."""

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
                text=None,  # the text of the whole is not that of a part
                cut_of=row.id,
            )
