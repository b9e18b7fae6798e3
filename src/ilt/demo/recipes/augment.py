"""Augmentation of log-mel spectrograms, in channel and voice, while the demo models learn.

`strength` runs from 0 (clean) to 1 (hard): the recipe raises it as training goes on.
"""

from __future__ import annotations

import numpy as np
import torch

from ilt.training.channel import random_channel, smooth
from ilt.training.specaugment import warp

__all__ = ["augment", "mask", "noise_like"]


def noise_like(mel: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Return coloured noise of the size of `mel`, in which nobody speaks."""
    bins, frames = mel.shape
    speckle = torch.from_numpy(rng.gamma(2.0, 0.5, (bins, frames)).astype(np.float32)).clamp_min(1e-4)
    return smooth(rng, bins, 5, 0.5)[:, None] + speckle.log10() - 4.0


def augment(mel: torch.Tensor, babble: torch.Tensor, rng: np.random.Generator, strength: float) -> torch.Tensor:
    """Return an utterance in a random voice, over a random channel.

    mel, babble: log10 mel power, (bins, frames); `babble` is another utterance, used as background.
    """
    s = strength
    mel = warp(mel, 1 + s * rng.uniform(-0.18, 0.22), 1 + s * rng.uniform(-0.12, 0.12))
    return random_channel(mel, babble, rng, s)


def mask(features: torch.Tensor, rng: np.random.Generator, strength: float) -> torch.Tensor:
    """Mask one band of frequencies and one stretch of time, in place: SpecAugment (Park et al. 2019, 1904.08779)."""
    bins, frames = features.shape
    if rng.random() < 0.6 * strength:
        width = int(rng.integers(1, 14))
        start = int(rng.integers(0, bins - width))
        features[start : start + width] = features.mean()
    if rng.random() < 0.6 * strength and frames > 40:
        width = int(rng.integers(1, 9))
        start = int(rng.integers(0, frames - width))
        features[:, start : start + width] = features.mean()
    return features
