"""One trial: a named experiment, run iteration by iteration, and what each iteration left on dev."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl
import psutil

from ilt.errors import IltError
from ilt.evaluation.scoring import frame_errors, rate
from ilt.tools.experiments.dvc import minutes_of, predictions_of, run_experiment
from ilt.tools.revisions import filesystem

__all__ = ["Step", "read_step", "run_trial"]


@dataclass(frozen=True)
class Step:
    """A trial after one of its iterations.

    error:  micro error rate on dev, a fraction.
    errors, units: errors and reference units of each dev utterance, by id, (n,).
    minutes: what all stages of the iterations so far cost when they ran, alone on one machine; a stage that
            came from the cache counts as much as where it ran.
    """

    iteration: str
    error: float
    minutes: float
    errors: list[int]
    units: list[int]

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return asdict(self)


def run_trial(
    name: str,
    overrides: Sequence[str],
    iterations: Sequence[str],
    normaliser: str,
    log: Path,
    started: Callable[[psutil.Process], None],
    on_stage: Callable[[str], None],
) -> Iterator[Step]:
    """Run an experiment up to each iteration in turn; whoever takes the steps may stop before the last.

    With the last iteration the whole pipeline runs, so that `dvc exp apply` brings back all of it. What ran
    for an earlier iteration comes from DVC's run cache. Raises ExperimentError where it fails.
    """
    for number, iteration in enumerate(iterations, 1):
        targets = [f"evaluate@{iteration}"] if number < len(iterations) else []
        run_experiment(name, overrides, targets, log, started, on_stage)
        yield read_step(name, iterations[:number], normaliser)


def read_step(name: str, iterations: Sequence[str], normaliser: str) -> Step:
    """What an experiment left after the last of these iterations. Raises IltError where it is not there."""
    files = filesystem(name)
    try:
        predictions = predictions_of(files, iterations[-1])
        minutes = minutes_of(files, iterations)
    except FileNotFoundError as missing:
        raise IltError(f"experiment {name} lacks {missing.filename or missing}; was it run to the end?") from None
    dev = predictions.filter(pl.col("split") == "dev")
    errors, units = frame_errors(dev, "reference", "hypothesis", normaliser)
    error = round(rate(errors, units), 6)
    return Step(iterations[-1], error, round(minutes, 3), errors.tolist(), units.tolist())
