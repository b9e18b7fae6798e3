"""SpecAugment (Park et al. 2019, arXiv 1904.08779) without time warping."""

from __future__ import annotations

import numpy as np
import torch

from ilt.params import SpecAugmentParams

__all__ = ["spec_augment"]


def spec_augment(features: torch.Tensor, params: SpecAugmentParams, rng: np.random.Generator) -> torch.Tensor:
    """A masked copy of features (mel bins, frames); masks have the mean value of the utterance.

    A time mask is at most a fifth of the utterance.
    """
    masked, fill = features.clone(), features.mean()
    bins, frames = features.shape
    for _ in range(params.frequency_masks):
        width = int(rng.integers(0, min(params.frequency_width, bins) + 1))
        start = int(rng.integers(0, bins - width + 1))
        masked[start : start + width] = fill
    for _ in range(params.time_masks):
        width = int(rng.integers(0, min(params.time_width, frames // 5) + 1))
        start = int(rng.integers(0, frames - width + 1))
        masked[:, start : start + width] = fill
    return masked
