"""Augmentation of features: other tempo, other vocal tract, masks (SpecAugment without its time warp)."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from ilt.params import SpecAugmentParams

__all__ = ["spec_augment", "warp"]


def warp(features: torch.Tensor, speed: float, formants: float) -> torch.Tensor:
    """Stretch time by 1 / speed, and the mel axis by `formants`: (mel bins, frames), the frames changed."""
    bins, frames = features.shape
    columns = torch.linspace(-1, 1, max(2, round(frames / speed)))
    rows = (torch.linspace(-1, 1, bins) / formants + (1 / formants - 1)).clamp(-1, 1)
    grid = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), -1)
    warped = functional.grid_sample(
        features[None, None], grid[None], align_corners=True, padding_mode="border"
    )
    return warped[0, 0]


def spec_augment(features: torch.Tensor, params: SpecAugmentParams, rng: np.random.Generator) -> torch.Tensor:
    """A warped and masked copy of features (mel bins, frames); masks have the mean of the utterance.

    A time mask is at most a fifth of the utterance.
    """
    speed, formants = 1 + params.speed * rng.uniform(-1, 1), 1 + params.formants * rng.uniform(-1, 1)
    moved = params.speed > 0 or params.formants > 0
    masked = warp(features, speed, formants) if moved else features.clone()
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
