"""ablation.yaml, and the runs that it asks for: arms on data sets with seeds, each a named experiment."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from ilt.errors import IltError
from ilt.params import Section, Seed, read_yaml
from ilt.params import validated as checked
from ilt.tools.experiments.ablation.arms import ARMS, arm_values, last_iteration, reduced
from ilt.tools.experiments.overrides import Values, differences, naming

__all__ = ["AblationFile", "FirstSeed", "Run", "planned", "read_ablation_file"]

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$")]


class FirstSeed(Section):
    """Arms and data sets that run with the first of the seeds alone."""

    arms: tuple[str, ...] = ()
    data: tuple[Name, ...] = ()


class AblationFile(Section):
    """The whole of ablation.yaml.

    seeds:  of params.yaml (`seed` and `train.seed`), one run of each arm a seed.
    first_seed: what runs with the first of them alone.
    arms:   by name of the data set, the arms that run on it; all where it is not named.
    reduce: keys of params.yaml that are the same in all arms.
    steps:  factor of the optimiser steps of all stages.
    full_learning_rate: factor of the learning rate of focus, for the arm that trains all weights.
    data:   by name, keys of params.yaml that make the data set.
    """

    seeds: Annotated[list[Seed], Field(min_length=1)]
    first_seed: FirstSeed = FirstSeed()
    arms: dict[Name, Annotated[list[str], Field(min_length=1)]] = Field(default_factory=dict)
    reduce: dict[str, Any] = Field(default_factory=dict)
    steps: Annotated[float, Field(ge=0.001, le=1000)] = 1.0
    full_learning_rate: Annotated[float, Field(ge=0.0001, le=100)] = 0.2
    data: Annotated[dict[Name, dict[str, Any]], Field(min_length=1)]

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds: each stands once, got {self.seeds}")
        data = {"first_seed.data": self.first_seed.data, "arms": tuple(self.arms)}
        arms = {"first_seed.arms": self.first_seed.arms, **{f"arms.{name}": arms for name, arms in self.arms.items()}}
        for what, known, keys in (("data set", list(self.data), data), ("arm", list(ARMS), arms)):
            for key, names in keys.items():
                if unknown := [name for name in names if name not in known]:
                    raise ValueError(f"{key}: there is no {what} {unknown[0]!r}; there are {', '.join(known)}")
        return self

    @model_validator(mode="after")
    def _nothing_is_said_twice(self) -> Self:
        names = {"first_seed.arms": self.first_seed.arms, "first_seed.data": self.first_seed.data}
        names |= {f"arms.{name}": tuple(arms) for name, arms in self.arms.items()}
        for key, listed in names.items():
            if twice := [name for name in listed if listed.count(name) > 1]:
                raise ValueError(f"{key}: {twice[0]!r} stands more than once; keep one")
        places = {"reduce": self.reduce, **{f"data.{name}": keys for name, keys in self.data.items()}}
        for place, keys in places.items():
            if seeds := sorted({"seed", "train.seed"} & set(keys)):
                raise ValueError(f"{place}: {seeds[0]} has no effect here; `seeds` says it")
            if place != "reduce" and (both := sorted(set(keys) & set(self.reduce))):
                raise ValueError(f"{place}: {both[0]} stands in `reduce` too, which would win; keep one of them")
        return self

    def arms_of(self, data: str, seed: int) -> list[str]:
        """Return the arms that run on a data set with a seed, in the order of `ARMS`."""
        first = seed == self.seeds[0]
        if data in self.first_seed.data and not first:
            return []
        wanted = self.arms.get(data, list(ARMS))
        return [arm for arm in ARMS if arm in wanted and (first or arm not in self.first_seed.arms)]

    def wants_manifest(self, data: str) -> bool:
        """Return whether a data set is a manifest that the file does not name."""
        keys = self.data.get(data, {})
        return keys.get("corpus.source") == "manifest" and "corpus.manifest" not in keys


def read_ablation_file(path: Path) -> AblationFile:
    """Return ablation.yaml, checked. Raises IltError that names each wrong key."""
    values = read_yaml(path, "it says what `ilt ablate` runs (docs/ablation.md)")
    return checked(AblationFile, values, file=str(path))


@dataclass(frozen=True)
class Run:
    """One arm on one data set with one seed.

    values: params.yaml as it should be. overrides: what makes it so, for `dvc exp run -S`.
    """

    data: str
    seed: int
    arm: str
    values: Values
    overrides: tuple[str, ...]

    @property
    def name(self) -> str:
        """Of the experiment: hyphens alone."""
        return f"ablate-{self.data}-s{self.seed}-{self.arm.replace('_', '-')}"

    @property
    def last(self) -> str:
        """The iteration that holds the result."""
        return last_iteration(self.values)


def planned(
    file: AblationFile,
    params: Values,
    data: Sequence[str],
    extra: dict[str, dict[str, Any]],
    wanted: Collection[str] = (),
) -> Iterator[Run]:
    """Yield all runs, seed by seed, full ILT first, since its stages serve the others from DVC's cache.

    params: params.yaml. data: names of data sets; extra: further keys of params.yaml for a data set. wanted: arms that
    there must be, if not all; of the others, those that cannot be made at this size are skipped.
    Raises IltError for a data set or an arm that does not exist or that the file leaves out, and for parameters that
    cannot be.
    """
    if unknown := [arm for arm in wanted if arm not in ARMS]:
        raise IltError(f"there is no arm {unknown[0]!r}; there are {', '.join(ARMS)}")
    small = {}
    for name in data:
        if name not in file.data:
            raise IltError(f"ablation.yaml has no data set {name!r}; it has {', '.join(file.data)}")
        with naming("ablation.yaml"):
            small[name] = reduced(params, file.data[name] | extra.get(name, {}) | file.reduce, file.steps)
    runs = [(seed, name, arm) for seed in file.seeds for name in data for arm in file.arms_of(name, seed)]
    if missing := set(wanted) - {arm for *_, arm in runs}:
        raise IltError(f"ablation.yaml leaves {min(missing)} out of {', '.join(data)}; see its key `arms`")
    for seed, name, arm in runs:
        try:
            values = arm_values(arm, small[name], seed, file.full_learning_rate)
        except IltError:
            if not wanted or arm in wanted:
                raise
            continue
        yield Run(name, seed, arm, values, tuple(differences(params, values)))
