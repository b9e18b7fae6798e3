"""Speech in a recording: the frames that hold some, by Silero VAD or by loudness.

Silero VAD (MIT, github.com/snakers4/silero-vad) has its weights in its wheel. What becomes a cut is decided in
`ilt.corpus.cuts`, since Silero's own timestamps drop short speech, and what is dropped cannot be labelled.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ilt.corpus.audio import RATE
from ilt.errors import IltError

__all__ = ["FRAME", "Activity", "VoiceActivity", "loud_activity", "speech_frames"]

FRAME = 512
"""Samples of 16 kHz audio that Silero judges at once."""

CONTEXT = 64
"""Samples before a frame that Silero takes with it."""

HYSTERESIS = 0.15
"""Speech goes on until the probability falls this far below the threshold, as in Silero's own code."""

LEVEL_FRAME = RATE // 100
"""Samples of a frame that loudness is measured in: 10 ms."""

INAUDIBLE = -75.0
"""dBFS; what is softer counts as quiet whatever stands beside it."""


@dataclass(frozen=True)
class Activity:
    """Frames of a recording.

    speech:   (frames,) bool.
    loudness: (frames,); where it is least, a cut disturbs least.
    frame:    samples of a frame; the last one may be shorter.
    samples:  of the recording.
    """

    speech: np.ndarray
    loudness: np.ndarray
    frame: int
    samples: int


class VoiceActivity:
    """Speech probabilities of audio of any length.

    wanted_by: what needs them, for the error (IltError) where the packages are missing.
    """

    def __init__(self, wanted_by: str) -> None:
        try:
            import onnxruntime  # noqa: F401  Silero imports it late
            import torch

            threads = torch.get_num_threads()
            from silero_vad import load_silero_vad

            torch.set_num_threads(threads)  # importing it sets one
        except ImportError:
            raise IltError(
                f"{wanted_by} needs the packages silero-vad and onnxruntime; in the clone, pip install -e '.[vad]'"
            ) from None
        self._model = load_silero_vad(sequence=True)

    def probabilities(self, blocks: Iterable[np.ndarray]) -> np.ndarray:
        """Return the speech probability of each frame, (frames,); the last one is padded with silence.

        The same as the model's own `audio_forward` of all blocks in one, which would hold them all.
        """
        parts: list[np.ndarray] = []
        states = [np.zeros((1, 1, 128), np.float32)] * 2
        rest = np.zeros(CONTEXT, np.float32)
        for block in chain(blocks, (None,)):
            left = len(rest) - CONTEXT
            fresh = np.zeros(-left % FRAME, np.float32) if block is None else block
            samples = np.concatenate([rest, fresh])
            count = (len(samples) - CONTEXT) // FRAME
            if count:
                frames = sliding_window_view(samples, CONTEXT + FRAME)[::FRAME]
                inputs = {"input": np.ascontiguousarray(frames), "h": states[0], "c": states[1]}
                values, *states = self._model.session.run(["speech_probs", "hn", "cn"], inputs)
                parts.append(values.reshape(-1))
            rest = samples[count * FRAME :]
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)

    def activity(self, blocks: Iterable[np.ndarray], threshold: float) -> Activity:
        """Return the frames with a voice. threshold: probability from which a frame is speech."""
        samples = 0

        def counted() -> Iterator[np.ndarray]:
            nonlocal samples
            for block in blocks:
                samples += len(block)
                yield block

        probabilities = self.probabilities(counted())
        return Activity(speech_frames(probabilities, threshold), probabilities, FRAME, samples)


def speech_frames(probabilities: np.ndarray, threshold: float) -> np.ndarray:
    """Return which frames are speech, (frames,) bool: from `threshold` on, until `HYSTERESIS` below it."""
    high, low = probabilities >= threshold, probabilities < threshold - HYSTERESIS
    # Each frame takes the state of the last frame that decided one; before the first nobody speaks.
    decided = np.where(high | low, np.arange(len(probabilities)), -1)
    last = np.maximum.accumulate(decided) if len(decided) else decided
    return np.where(last >= 0, high[last], False)


def loud_activity(blocks: Iterable[np.ndarray]) -> Activity:
    """Return the frames that are louder than a quarter of the way, in dB, from the noise to the loudest."""
    from scipy.ndimage import uniform_filter1d

    parts, rest, samples = [], np.empty(0, np.float32), 0
    for block in blocks:
        rest, samples = np.concatenate([rest, block]), samples + len(block)
        whole = len(rest) // LEVEL_FRAME * LEVEL_FRAME
        parts.append((rest[:whole].reshape(-1, LEVEL_FRAME).astype(np.float64) ** 2).mean(1))
        rest = rest[whole:]
    if len(rest):
        parts.append(np.array([(rest.astype(np.float64) ** 2).mean()]))
    if not samples:
        return Activity(np.zeros(0, bool), np.zeros(0), LEVEL_FRAME, 0)
    level = 10 * np.log10(np.concatenate(parts) + 1e-12)
    smooth = uniform_filter1d(level, 5, mode="nearest")
    noise, loudest = np.percentile(smooth, [10, 99.9])
    threshold = min(noise + max(6.0, 0.25 * (loudest - noise)), loudest - 6.0)
    loud = smooth > max(threshold, INAUDIBLE)
    return Activity(loud, uniform_filter1d(level, 9, mode="nearest"), LEVEL_FRAME, samples)
