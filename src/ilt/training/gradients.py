"""Gradients of one optimiser step, summed over its batches and over the parts that memory asks for."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ilt.asr.batching import MemoryLimit
from ilt.asr.recogniser import Recogniser
from ilt.training.data import Example

__all__ = ["add_gradients"]


def add_gradients(
    recogniser: Recogniser,
    batches: Sequence[Sequence[Example]],
    features: Sequence[Sequence[torch.Tensor]],
    label_smoothing: float,
    limit: MemoryLimit,
) -> float:
    """Add the gradients of one optimiser step and return its loss: the mean over the target tokens of all batches.

    Each part weighs as many target tokens as it has, so loss and gradients are those of one large batch, however
    it is cut; but for a context that is as long as each part needs (`model.audio_context: batch`).
    features: of each utterance of each batch, (mel bins, frames).
    """
    total = sum(recogniser.label_tokens(*_labels(batch)) for batch in batches)
    loss = 0.0
    for batch, heard in zip(batches, features, strict=True):
        for part in limit.parts([feature.shape[1] for feature in heard]):
            languages, texts = _labels(batch[part])
            mean = recogniser.loss(heard[part], languages, texts, label_smoothing)
            share = recogniser.label_tokens(languages, texts) / total
            (mean * share).backward()
            loss += mean.item() * share
    return loss


def _labels(batch: Sequence[Example]) -> tuple[list[str], list[str]]:
    return [example.language for example in batch], [example.text for example in batch]
