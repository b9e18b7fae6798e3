"""Where somebody speaks: Silero VAD (MIT, github.com/snakers4/silero-vad), whose weights lie in its wheel."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ilt.errors import IltError

__all__ = ["FRAME", "VoiceActivity"]

FRAME = 512
"""Samples of 16 kHz audio that the model judges at once."""

CONTEXT = 64
"""Samples before a frame that the model hears with it."""


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
        """Speech probability of each frame, (frames,); the last one is padded with silence.

        The same as the model's own `audio_forward` of all blocks in one, which would hold them all.
        """
        found: list[np.ndarray] = []
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
                found.append(values.reshape(-1))
            rest = samples[count * FRAME :]
        return np.concatenate(found) if found else np.zeros(0, np.float32)
