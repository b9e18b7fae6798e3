"""ablation.yaml: with which seeds, on which data and at what size the arms are run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from ilt.params import read_yaml, validated

__all__ = ["AblationFile", "read_ablation_file"]

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$")]


class AblationFile(BaseModel):
    """The whole of ablation.yaml.

    seeds:  of params.yaml, one run of each arm a seed.
    reduce: keys of params.yaml that are the same in all arms.
    steps:  factor of the optimiser steps of all stages.
    full_learning_rate: factor of the learning rate of focus, for the arm that trains all weights.
    data:   by name, keys of params.yaml that make the data set.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    seeds: Annotated[list[int], Field(min_length=1)]
    reduce: dict[str, Any] = {}
    steps: Annotated[float, Field(gt=0)] = 1.0
    full_learning_rate: Annotated[float, Field(gt=0)] = 0.2
    data: Annotated[dict[Name, dict[str, Any]], Field(min_length=1)]


def read_ablation_file(path: Path) -> AblationFile:
    """Read and check ablation.yaml. Raises IltError that names each wrong key."""
    values = read_yaml(path, "it says what `ilt ablate` runs (docs/ablation.md)")
    return validated(AblationFile, values, file=str(path))
