"""Augmentation of features: other tempo, vocal tract and channel, and masks (SpecAugment)."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from ilt.params import SpecAugmentParams
from ilt.training.channel import compress, expand, random_channel

__all__ = ["spec_augment", "warp"]


def warp(features: torch.Tensor, speed: float, formants: float) -> torch.Tensor:
    """Stretch time by 1 / speed, and the mel axis by `formants`: (mel bins, frames), the frames changed."""
    bins, frames = features.shape
    columns = torch.linspace(-1, 1, max(2, round(frames / speed)))
    rows = (torch.linspace(-1, 1, bins) / formants + (1 / formants - 1)).clamp(-1, 1)
    grid = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), -1)
    warped = functional.grid_sample(features[None, None], grid[None], align_corners=True, padding_mode="border")
    return warped[0, 0]


def spec_augment(
    features: torch.Tensor,
    params: SpecAugmentParams,
    rng: np.random.Generator,
    background: torch.Tensor | None = None,
    frame: float = 0.02,
    longest: int | None = None,
) -> torch.Tensor:
    """A warped and masked copy of features (mel bins, frames), through a random channel if asked for.

    Masks have the mean of the utterance; a time mask is at most a fifth of it. background: another utterance,
    for the channel (without one there is none); frame: seconds between frames; longest: frames that the model
    hears at once, beyond which nothing is stretched.
    """
    speed, formants = 1 + params.speed * rng.uniform(-1, 1), 1 + params.formants * rng.uniform(-1, 1)
    if longest is not None:
        speed = max(speed, features.shape[1] / longest)
    moved = params.speed > 0 or params.formants > 0
    masked = warp(features, speed, formants) if moved else features.clone()
    if params.channel > 0 and background is not None:
        log_mel = random_channel(expand(masked), expand(background), rng, params.channel, frame)
        masked = compress(log_mel)
    fill = masked.mean()
    bins, frames = masked.shape
    for _ in range(params.frequency_masks):
        width = int(rng.integers(0, min(params.frequency_width, bins) + 1))
        start = int(rng.integers(0, bins - width + 1))
        masked[start : start + width] = fill
    for _ in range(params.time_masks):
        width = int(rng.integers(0, min(params.time_width, frames // 5) + 1))
        start = int(rng.integers(0, frames - width + 1))
        masked[:, start : start + width] = fill
    return masked
