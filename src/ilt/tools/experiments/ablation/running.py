"""Running the arms: each is a named DVC experiment; what is there already is not run again."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ilt.errors import IltError
from ilt.tools.experiments.ablation.arms import ARMS, arm_values, last_iteration, reduced
from ilt.tools.experiments.ablation.file import AblationFile
from ilt.tools.experiments.dvc import differences, queue_experiment, run_experiment

__all__ = ["Run", "planned", "queue", "run"]

LOGS = Path(".ilt") / "ablation"


@dataclass(frozen=True)
class Run:
    """One arm on one data set with one seed.

    values: params.yaml as it should be. overrides: what makes it so, for `dvc exp run -S`.
    """

    data: str
    seed: int
    arm: str
    values: dict[str, Any]
    overrides: tuple[str, ...]

    @property
    def name(self) -> str:
        """Of the experiment; DVC's names hold no underscores that git would not, and ours none at all."""
        return f"ablate-{self.data}-s{self.seed}-{self.arm.replace('_', '-')}"

    @property
    def last(self) -> str:
        """The iteration that holds the result."""
        return last_iteration(self.values)


def planned(
    file: AblationFile,
    params: dict[str, Any],
    data: Sequence[str],
    extra: dict[str, dict[str, Any]],
    wanted: Collection[str] = (),
) -> Iterator[Run]:
    """All runs, seed by seed, full ILT first, since its stages serve the others from DVC's cache.

    params: params.yaml. data: names of data sets; extra: further keys of params.yaml for a data set. wanted:
    arms that there must be, if not all; of the others, those that cannot be made at this size are left out.
    Raises IltError for a data set or an arm that there is not or that the file leaves out, and for parameters
    that cannot be.
    """
    if unknown := [arm for arm in wanted if arm not in ARMS]:
        raise IltError(f"there is no arm {unknown[0]!r}; there are {', '.join(ARMS)}")
    small = {}
    for name in data:
        if name not in file.data:
            raise IltError(f"ablation.yaml has no data set {name!r}; it has {', '.join(file.data)}")
        small[name] = reduced(params, file.data[name] | extra.get(name, {}) | file.reduce, file.steps)
    run_on = {arm for name in data for seed in file.seeds for arm in file.arms_of(name, seed)}
    if skipped := [arm for arm in wanted if arm not in run_on]:
        raise IltError(f"ablation.yaml leaves {skipped[0]} out of {', '.join(data)}; see its key `arms`")
    for seed in file.seeds:
        for name in data:
            for arm in file.arms_of(name, seed):
                try:
                    values = arm_values(arm, small[name], seed, file.full_learning_rate)
                except IltError:
                    if not wanted or arm in wanted:
                        raise
                    continue
                yield Run(name, seed, arm, values, tuple(differences(params, values)))


def run(one: Run) -> tuple[str, ...]:
    """Run one arm; the stages that ran, without those that came from the cache. Raises ExperimentError.

    The whole pipeline runs, the report too, since its metrics are what `dvc exp show` shows of an experiment.
    """
    return run_experiment(one.name, one.overrides, log=LOGS / f"{one.name}.log").stages


def queue(one: Run) -> None:
    """Put one arm into DVC's queue, for `dvc queue start`. Raises IltError where DVC refuses it."""
    queue_experiment(one.name, one.overrides)
