"""ablation.yaml: with which seeds, on which data and at what size the arms are run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ilt.params import read_yaml, validated
from ilt.tools.experiments.ablation.arms import ARMS

__all__ = ["AblationFile", "FirstSeed", "read_ablation_file"]

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$")]


class FirstSeed(BaseModel):
    """Arms and data sets that run with the first of the seeds alone."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    arms: list[str] = []
    data: list[Name] = []


class AblationFile(BaseModel):
    """The whole of ablation.yaml.

    seeds:  of params.yaml, one run of each arm a seed.
    first_seed: what runs with the first of them alone.
    arms:   by name of the data set, the arms that run on it; all where it is not named.
    reduce: keys of params.yaml that are the same in all arms.
    steps:  factor of the optimiser steps of all stages.
    full_learning_rate: factor of the learning rate of focus, for the arm that trains all weights.
    data:   by name, keys of params.yaml that make the data set.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    seeds: Annotated[list[int], Field(min_length=1)]
    first_seed: FirstSeed = FirstSeed()
    arms: dict[Name, Annotated[list[str], Field(min_length=1)]] = {}
    reduce: dict[str, Any] = {}
    steps: Annotated[float, Field(gt=0)] = 1.0
    full_learning_rate: Annotated[float, Field(gt=0)] = 0.2
    data: Annotated[dict[Name, dict[str, Any]], Field(min_length=1)]

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        for key, names in (("first_seed.data", self.first_seed.data), ("arms", self.arms)):
            if unknown := [name for name in names if name not in self.data]:
                raise ValueError(f"{key}: there is no data set {unknown[0]!r}; there are {', '.join(self.data)}")
        told = {f"arms.{name}": names for name, names in self.arms.items()}
        for key, names in ({"first_seed.arms": self.first_seed.arms} | told).items():
            if unknown := [name for name in names if name not in ARMS]:
                raise ValueError(f"{key}: there is no arm {unknown[0]!r}; there are {', '.join(ARMS)}")
        return self

    def arms_of(self, data: str, seed: int) -> list[str]:
        """The arms that run on a data set with a seed, in the order of `ARMS`."""
        first = seed == self.seeds[0]
        if data in self.first_seed.data and not first:
            return []
        wanted = self.arms.get(data, list(ARMS))
        return [arm for arm in ARMS if arm in wanted and (first or arm not in self.first_seed.arms)]


def read_ablation_file(path: Path) -> AblationFile:
    """Read and check ablation.yaml. Raises IltError that names each wrong key."""
    values = read_yaml(path, "it says what `ilt ablate` runs (docs/ablation.md)")
    return validated(AblationFile, values, file=str(path))
