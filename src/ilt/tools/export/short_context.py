"""faster-whisper for a model whose encoder does not take 30 s. The model card shows this class as it is."""

from __future__ import annotations

import numpy as np
from faster_whisper import WhisperModel

__all__ = ["ShortContext"]


class ShortContext(WhisperModel):
    """Gives the encoder the speech and a little silence behind it; faster-whisper itself always gives 30 s."""

    margin: int | None = 200  # mel frames of silence; None: up to the model's context

    def encode(self, features):  # type: ignore[no-untyped-def]
        limit = self.feature_extractor.nb_max_frames
        used = np.flatnonzero(features.reshape(-1, features.shape[-1]).any(0))
        speech = min(limit, used[-1] + 1 if len(used) else 0)
        frames = limit if self.margin is None else min(limit, speech + self.margin + speech % 2)
        silence = features.max(axis=(-2, -1), keepdims=True) - 2
        padded = np.broadcast_to(silence, (*features.shape[:-1], frames)).astype(np.float32)
        padded[..., :speech] = features[..., :speech]
        return super().encode(padded)
