"""Variety in the channel and the voice, made on log-mel spectrograms, where it costs next to nothing.

`strength` runs from 0 (clean) to 1 (hard): the recipe raises it as training goes on.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from ilt.training.specaugment import warp

__all__ = ["augment", "compress", "mask", "noise_like"]


def _smooth(rng: np.random.Generator, size: int, points: int, scale: float) -> torch.Tensor:
    knots = torch.from_numpy(rng.normal(0, scale, points).astype(np.float32))
    return functional.interpolate(knots[None, None], size=size, mode="linear", align_corners=True)[0, 0]


def noise_like(mel: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Coloured noise of the size of `mel`, in which nobody speaks."""
    bins, frames = mel.shape
    speckle = torch.from_numpy(rng.gamma(2.0, 0.5, (bins, frames)).astype(np.float32)).clamp_min(1e-4)
    return _smooth(rng, bins, 5, 0.5)[:, None] + speckle.log10() - 4.0


def augment(
    mel: torch.Tensor, babble: torch.Tensor, rng: np.random.Generator, strength: float
) -> torch.Tensor:
    """One random channel.

    mel, babble: log10 mel power, (bins, frames); `babble` is another utterance, used as background.
    """
    s = strength
    mel = warp(mel, 1 + s * rng.uniform(-0.18, 0.22), 1 + s * rng.uniform(-0.12, 0.12))
    bins, frames = mel.shape
    power = 10**mel
    if rng.random() < 0.5 * s:  # reverberation: each frame leaks into those after it
        decay = 10 ** (-6 * 0.02 / rng.uniform(0.15, 0.7))  # power, for a frame of 20 ms
        taps = decay ** torch.arange(12.0) * rng.uniform(0.1, 0.8)
        taps[0] = 1.0
        power = functional.conv1d(functional.pad(power[:, None], (11, 0)), taps.flip(0)[None, None])[:, 0]
    level = power.mean()
    if rng.random() < 0.85 * s:  # coloured noise, steady with a slow drift
        snr = rng.uniform(3 + 17 * (1 - s), 40)
        colour = 10 ** (_smooth(rng, bins, 5, 0.5) + torch.linspace(1, -1, bins) * rng.uniform(-0.3, 1.0))
        drift = 10 ** _smooth(rng, frames, max(2, frames // 25), 0.15)
        speckle = torch.from_numpy(rng.gamma(2.0, 0.5, (bins, frames)).astype(np.float32))
        noise = colour[:, None] * drift[None] * speckle
        power = power + noise * (level / noise.mean() * 10 ** (-snr / 10))
    if rng.random() < 0.25 * s:  # somebody else in the background
        repeats = -(-frames // babble.shape[1])
        other = 10 ** babble.repeat(1, repeats)[:, :frames]
        power = power + other * (level / other.mean() * 10 ** (-rng.uniform(8, 25) / 10))
    mel = power.clamp_min(1e-10).log10()
    mel = (
        mel
        + (_smooth(rng, bins, 6, 0.35 * s) + torch.linspace(-1, 1, bins) * rng.normal(0, 0.3 * s))[:, None]
    )
    if rng.random() < 0.25 * s:  # band limit
        low, high = rng.integers(0, 8), rng.integers(bins * 6 // 10, bins)
        mel[:low] = mel[:low].minimum(mel.max() - 6)
        mel[high:] = mel[high:].minimum(mel.max() - 6)
    return mel


def compress(mel: torch.Tensor) -> torch.Tensor:
    """Whisper's range compression: clamp to 8 below the maximum, then scale."""
    return (mel.maximum(mel.max() - 8.0) + 4.0) / 4.0


def mask(features: torch.Tensor, rng: np.random.Generator, strength: float) -> torch.Tensor:
    """SpecAugment (Park et al. 2019, arXiv 1904.08779): one frequency and one time mask, in place."""
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
