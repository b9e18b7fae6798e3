"""Averaging of the weights of one training over its late steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.optim.swa_utils import get_swa_multi_avg_fn

__all__ = ["WeightAverage"]


class WeightAverage:
    """Uniform mean of the trained weights over given steps of one training.

    Checkpoint averaging, as TopIPL does it for its teacher (arXiv 2506.07659); for Whisper it is the merging
    within one run of arXiv 2505.20477. The mean runs, so that one copy of the weights is kept, however many steps
    it is over. The factors A and B of a LoRA are averaged one by one, which keeps the rank: within one run they
    lie so close together that the product of the means is nearly the mean of the products.

    steps: where weights enter the mean; none: nothing is averaged.
    mean:  the mean so far, in the order of `weights`; empty before the first of `steps`.
    """

    def __init__(self, weights: Sequence[torch.nn.Parameter], steps: set[int]) -> None:
        self.weights, self.steps = list(weights), steps
        self.mean: list[torch.Tensor] = []
        self._add: Any = get_swa_multi_avg_fn()  # of torch: mean += (new - mean) / (count + 1)

    def _count(self, step: int) -> int:
        return sum(one <= step for one in self.steps)

    def update(self, step: int) -> None:
        """Add the weights to the mean, if this is one of its steps."""
        if step not in self.steps:
            return
        if self.mean:
            self._add(self.mean, [weight.detach() for weight in self.weights], self._count(step) - 1)
        else:
            self.mean = self._copy()

    @contextmanager
    def applied(self, step: int) -> Iterator[None]:
        """Give the model its averaged weights for a while: the mean so far, with the weights of `step` in it."""
        if not self.mean:
            yield
            return
        own, averaged = self._copy(), [mean.clone() for mean in self.mean]
        if step not in self.steps:
            self._add(averaged, own, self._count(step))
        self._put(averaged)
        try:
            yield
        finally:
            self._put(own)

    def _copy(self) -> list[torch.Tensor]:
        return [weight.detach().clone() for weight in self.weights]

    @torch.no_grad()
    def _put(self, values: Sequence[torch.Tensor]) -> None:
        for weight, value in zip(self.weights, values, strict=True):
            weight.copy_(value)
