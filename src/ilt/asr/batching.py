"""Batches by count, by seconds of audio, and by what memory holds."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

from ilt.asr.device import pick_workers
from ilt.errors import IltError
from ilt.params import RecogniserParams

__all__ = ["Batching", "MemoryLimit", "cut_batches", "prefetched"]

T = TypeVar("T")


@dataclass(frozen=True)
class Batching:
    """Size of a batch. utterances, seconds (padding included): at most. workers: processes that prepare batches."""

    utterances: int
    seconds: float | None = None
    workers: int = 0

    @classmethod
    def of(cls, model: RecogniserParams) -> Batching:
        """Return the batching that the parameters set for decoding."""
        return cls(model.decode_batch, model.decode_batch_seconds, pick_workers())


def cut_batches(
    items: Sequence[T], length: Callable[[T], float], most: int | None, budget: float | None
) -> list[list[T]]:
    """Cut items, sorted from short to long, into batches of at most `most` items and `budget` in length.

    An item counts as long as the longest of its batch; one that is over the budget by itself is alone.
    """
    batches: list[list[T]] = []
    for item in items:
        last = batches[-1] if batches else []
        full = not last or len(last) == most
        if full or (budget is not None and (len(last) + 1) * length(item) > budget):
            batches.append([item])
        else:
            last.append(item)
    return batches


class MemoryLimit:
    """Limit of a batch in frames with padding, learnt by running out of memory: none to begin with.

    advice: how to ask for smaller batches, part of the message. leaner: how to need less for a single utterance.
    """

    def __init__(self, advice: str, leaner: str) -> None:
        self.advice, self.leaner = advice, leaner
        self._budget: int | None = None
        self._trying: list[int] = []

    def parts(self, lengths: Sequence[int]) -> Iterator[slice]:
        """Yield slices of a batch that each fit, as far as is known; the whole batch to begin with."""
        start = 0
        while start < len(lengths):
            stop = start + 1
            while stop < len(lengths) and (
                self._budget is None or (stop + 1 - start) * max(lengths[start : stop + 1]) <= self._budget
            ):
                stop += 1
            self._trying = list(lengths[start:stop])
            yield slice(start, stop)
            start = stop

    def halve(self) -> None:
        """Lower the limit to half of the last slice, which was too much. Raises IltError for a single utterance."""
        count, longest = len(self._trying), max(self._trying)
        if count == 1:
            raise IltError(f"out of memory on a single utterance of {longest} frames; {self.leaner}")
        self._budget = (count // 2) * longest
        print(
            f"  out of memory on {count} utterances of up to {longest} frames at once: "
            f"going on with {count // 2}; {self.advice}",
            file=sys.stderr, flush=True,
        )  # fmt: skip
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


class _Numbered(Dataset[T]):
    def __init__(self, make: Callable[[int], T]) -> None:
        self.make = make

    def __getitem__(self, number: int) -> T:
        return self.make(number)


def _unchanged(value: T) -> T:
    return value


def prefetched(make: Callable[[int], T], numbers: Sequence[int], workers: int) -> Iterator[T]:
    """Yield `make(number)` for each number, in order, made ahead by `workers` processes (0: here, when needed).

    The result of `make` must follow from its number alone. Nothing is pinned here: a recogniser pins the batch that
    it makes of the tensors.
    """
    if not workers or len(numbers) < 2:
        yield from map(make, numbers)
        return
    # By file name, since a descriptor for each tensor that is on its way is more than `ulimit -n` may allow.
    torch.multiprocessing.set_sharing_strategy("file_system")
    yield from DataLoader(
        _Numbered(make), batch_size=None, sampler=numbers, num_workers=min(workers, len(numbers)),
        collate_fn=_unchanged,
        # Forked, the workers share the mapped features and start at once.
        multiprocessing_context="fork",
    )  # fmt: skip
