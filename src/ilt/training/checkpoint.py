"""Checkpoint of a training under way, so that a killed run resumes and ends with the same bytes."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from ilt.paths import replacing
from ilt.training.adam import pack_adam, unpack_adam
from ilt.training.averaging import WeightAverage
from ilt.training.selection import Errors

__all__ = ["Checkpoint", "TrainState"]


@dataclass
class TrainState:
    """Progress of a training, beside what is in tensors.

    step:       optimiser steps done.
    loss:       running mean of the loss.
    history:    what was measured at each evaluation: step, loss, dev_error, train_error.
    errors:     errors on dev at each evaluation.
    gold_units: reference units of the sample of gold; 0 if there is none.
    """

    step: int = 0
    loss: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)
    errors: list[Errors] = field(default_factory=list)
    gold_units: int = 0

    def to_json(self) -> str:
        """Return the state as JSON; the units of dev stand there once."""
        values = vars(self) | {
            "errors": [errors.tolist() for errors, _ in self.errors],
            "dev_units": self.errors[0][1].tolist(),
        }
        return json.dumps(values)

    @classmethod
    def from_json(cls, text: str) -> TrainState:
        """Return the state that `to_json` wrote."""
        values = json.loads(text)
        units = np.array(values.pop("dev_units"))
        return cls(**values | {"errors": [(np.array(errors), units) for errors in values["errors"]]})


class Checkpoint:
    """Weights, moments, mean and progress of a training, in one file.

    path:    safetensors; the progress is in its metadata, so that both are of the same step.
    adapter: folder of the adapter that is selected so far.
    """

    def __init__(self, work: Path, names: list[str], optimiser: torch.optim.Optimizer, average: WeightAverage) -> None:
        self.path, self.adapter = work / "checkpoint.safetensors", work / "selected"
        self._names, self._optimiser, self._average = names, optimiser, average

    def save(self, state: TrainState) -> None:
        """Write all that the training needs to go on from here."""
        tensors = pack_adam(self._names, self._optimiser)
        tensors |= {f"average.{name}": mean for name, mean in zip(self._names, self._average.mean, strict=False)}
        with replacing(self.path) as temporary:
            save_file(tensors, temporary, {"state": state.to_json()})

    def load(self) -> TrainState:
        """Put weights, moments and mean back to where they were saved; a new state where nothing was."""
        if not self.path.is_file():
            return TrainState()
        with safe_open(self.path, "pt") as file:
            state = TrainState.from_json(file.metadata()["state"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        unpack_adam(tensors, self._names, self._optimiser, state.step)
        means = [tensors[name] for key in self._names if (name := f"average.{key}") in tensors]
        weights = self._optimiser.param_groups[0]["params"]
        self._average.mean = [mean.to(weight.device) for mean, weight in zip(means, weights, strict=False)]
        return state
