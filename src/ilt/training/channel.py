"""A random channel, made on log-mel spectrograms, where it costs little: room, noise, equaliser, line."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

__all__ = ["compress", "expand", "random_channel", "smooth"]


def smooth(rng: np.random.Generator, size: int, points: int, scale: float) -> torch.Tensor:
    """A random curve: (size,), linear between `points` normal values of standard deviation `scale`."""
    knots = torch.from_numpy(rng.normal(0, scale, points).astype(np.float32))
    return functional.interpolate(knots[None, None], size=size, mode="linear", align_corners=True)[0, 0]


def compress(mel: torch.Tensor) -> torch.Tensor:
    """Whisper's range compression of log10 mel power: clamp to 8 below the maximum, then scale."""
    return (mel.maximum(mel.max() - 8.0) + 4.0) / 4.0


def expand(features: torch.Tensor) -> torch.Tensor:
    """log10 mel power of Whisper's features; what `compress` clamped stays clamped."""
    return features * 4.0 - 4.0


def random_channel(
    mel: torch.Tensor,
    background: torch.Tensor,
    rng: np.random.Generator,
    strength: float,
    frame: float = 0.02,
) -> torch.Tensor:
    """One random channel, from 0 (clean) to 1 (hard) in `strength`.

    mel, background: log10 mel power, (mel bins, frames); `background` is another utterance. frame: seconds
    between frames. At full strength: reverberation for half of the utterances (T60 of 0.15 to 0.7 s), noise
    for 85 % (3 to 40 dB), somebody else for a quarter (8 to 25 dB), a random equaliser, and a band limit for
    a quarter.
    """
    s = strength
    bins, frames = mel.shape
    power = 10**mel
    if rng.random() < 0.5 * s:  # reverberation: each frame leaks into those after it
        decay = 10 ** (-6 * frame / rng.uniform(0.15, 0.7))  # power, for one frame
        taps = decay ** torch.arange(12.0) * rng.uniform(0.1, 0.8)
        taps[0] = 1.0
        power = functional.conv1d(functional.pad(power[:, None], (11, 0)), taps.flip(0)[None, None])[:, 0]
    level = power.mean()
    if rng.random() < 0.85 * s:  # coloured noise, steady with a slow drift
        snr = rng.uniform(3 + 17 * (1 - s), 40)
        colour = 10 ** (smooth(rng, bins, 5, 0.5) + torch.linspace(1, -1, bins) * rng.uniform(-0.3, 1.0))
        drift = 10 ** smooth(rng, frames, max(2, frames // 25), 0.15)
        speckle = torch.from_numpy(rng.gamma(2.0, 0.5, (bins, frames)).astype(np.float32))
        noise = colour[:, None] * drift[None] * speckle
        power = power + noise * (level / noise.mean() * 10 ** (-snr / 10))
    if rng.random() < 0.25 * s:  # somebody else in the background
        repeats = -(-frames // background.shape[1])
        other = 10 ** background.repeat(1, repeats)[:, :frames]
        power = power + other * (level / other.mean() * 10 ** (-rng.uniform(8, 25) / 10))
    mel = power.clamp_min(1e-10).log10()
    mel = mel + (smooth(rng, bins, 6, 0.35 * s) + torch.linspace(-1, 1, bins) * rng.normal(0, 0.3 * s))[:, None]
    if rng.random() < 0.25 * s:  # band limit
        low, high = rng.integers(0, 8), rng.integers(bins * 6 // 10, bins)
        mel[:low] = mel[:low].minimum(mel.max() - 6)
        mel[high:] = mel[high:].minimum(mel.max() - 6)
    return mel
