"""What each language gets: adapters of its own or shared ones, draws of a batch, steps of a stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ilt.errors import IltError

__all__ = ["LEAST_STEPS", "allocate_steps", "language_weights"]

LEAST_STEPS = 4
"""Optimiser steps that a language gets at least where each trains its own adapter, if there are so many."""


def language_weights(counts: Sequence[int], temperature: float) -> list[float]:
    """Probabilities proportional to n^(1/temperature), as multilingual models are often sampled.

    After Devlin et al. 2018 (multilingual BERT) and Arivazhagan et al. 2019 (arXiv 1907.05019).
    """
    most = max(counts, default=1)
    shares = [(count / most) ** (1 / temperature) if count else 0.0 for count in counts]
    total = sum(shares)
    return [share / total for share in shares]


def allocate_steps(total: int, counts: Mapping[str, int], temperature: float = 1.0) -> dict[str, int]:
    """The steps of each language: `total` together, in proportion to `language_weights` of its rows.

    Each has at least `LEAST_STEPS`, or as many as there are for all alike; what is left over goes to the
    largest remainders. Raises IltError where there are fewer steps than languages.
    """
    names = sorted(counts)
    if total < len(names):
        raise IltError(
            f"{total} steps are not enough for {len(names)} languages, each with an adapter of its own "
            f"({', '.join(names)}); raise the steps of this stage, or say adapter.scope: shared"
        )
    least = min(LEAST_STEPS, total // len(names))
    left = total - least * len(names)
    # What the least share already gives is not given again.
    weights = dict(zip(names, language_weights([counts[name] for name in names], temperature), strict=True))
    over = {name: max(0.0, weights[name] * total - least) for name in names}
    scale = left / sum(over.values()) if sum(over.values()) else 0.0
    exact = {name: over[name] * scale for name in names}
    steps = {name: least + int(exact[name]) for name in names}
    order = sorted(names, key=lambda name: (int(exact[name]) - exact[name], name))
    for name in order[: total - sum(steps.values())]:
        steps[name] += 1
    return steps
