"""A study: its trials, as Optuna keeps them in SQLite, and which of them are best."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ilt import paths
from ilt.errors import IltError
from ilt.evaluation.scoring import gain_interval
from ilt.tools.experiments.tune.space import Scalar, TuneFile

if TYPE_CHECKING:
    import optuna

__all__ = ["FOLDER", "Step", "Study", "Trial", "gain_over", "open_study", "use_optuna"]

FOLDER = paths.WORK / "tune"


@dataclass(frozen=True)
class Step:
    """A trial after one of its iterations.

    error:   micro error rate on dev, a fraction.
    minutes: cost of all stages of the iterations so far, as long as each took where it ran; those from the cache too.
    errors, units: errors and reference units of each dev utterance, by id, (n,).
    """

    iteration: str
    error: float
    minutes: float
    errors: list[int]
    units: list[int]


def gain_over(before: Step, after: Step, samples: int, seed: int) -> dict[str, float]:
    """Return what one step gained on dev over another, with a 95 % interval of a paired bootstrap."""
    pairs = [(np.array(step.errors), np.array(step.units)) for step in (before, after)]
    return gain_interval(pairs[0], pairs[1], samples, seed)


@dataclass(frozen=True)
class Trial:
    """One trial.

    state:  waiting, running, finished, pruned, failed, or stopped (from outside; it is tried again).
    values: of the knobs. steps: what each iteration left. reason: why it was pruned or failed.
    overrides, full_overrides: for `dvc exp run -S`, at the trial's size and at full size.
    """

    number: int
    state: str
    experiment: str = ""
    commit: str = ""
    values: dict[str, Scalar] = field(default_factory=dict)
    reason: str = ""
    overrides: list[str] = field(default_factory=list)
    full_overrides: list[str] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)

    @classmethod
    def of(cls, trial: optuna.trial.FrozenTrial) -> Trial:
        """Return a trial as Optuna keeps it; one that failed without a reason was stopped."""
        kept = {name: value for name, value in trial.user_attrs.items() if name in cls.__dataclass_fields__}
        steps = [Step(**step) for step in kept.pop("steps", [])]
        failed = "failed" if "reason" in kept else "stopped"
        state = {"COMPLETE": "finished", "FAIL": failed}.get(trial.state.name, trial.state.name.lower())
        return cls(trial.number, state, **kept, steps=steps)

    @property
    def last(self) -> Step | None:
        """What it left after the last iteration that it ran."""
        return self.steps[-1] if self.steps else None


@dataclass(frozen=True)
class Study:
    """A study as it is now.

    file: tune.yaml as it was begun with; params: params.yaml, reduced.
    front: trials than which none is both as good and as cheap, and better in one; by cost.
    """

    name: str
    file: TuneFile
    params: dict[str, Any]
    defaults: dict[str, Scalar]
    trials: list[Trial]
    front: list[int]

    @classmethod
    def of(cls, stored: optuna.Study) -> Study:
        """Return a study as Optuna keeps it. Raises IltError for one that was killed before it began."""
        attrs, name = stored.user_attrs, stored.study_name
        if "begun_with" not in attrs:
            raise IltError(f"the study {name} has not begun; `ilt tune --trials 20` goes on with it")
        begun = attrs["begun_with"]
        trials = [Trial.of(trial) for trial in stored.get_trials(deepcopy=False)]
        front = [trial.number for trial in sorted(stored.best_trials, key=lambda one: (one.values[-1], one.number))]
        return cls(name, TuneFile.model_validate(begun["tune"]), begun["params"], attrs["defaults"], trials, front)

    @property
    def finished(self) -> list[Trial]:
        """Trials that ran all iterations."""
        return [trial for trial in self.trials if trial.state == "finished"]

    @property
    def counted(self) -> int:
        """Trials that a budget counts: all but those that wait, run, or were stopped from outside."""
        return sum(trial.state in ("finished", "pruned", "failed") for trial in self.trials)

    @property
    def default(self) -> Trial | None:
        """The finished trial of today's defaults."""
        return next((trial for trial in self.finished if trial.values == self.defaults), None)

    @property
    def best(self) -> Trial | None:
        """The finished trial of the lowest error; the cheaper of equals."""
        ends = [(trial.steps[-1].error, trial.steps[-1].minutes, trial.number) for trial in self.finished]
        return self.trials[min(ends)[-1]] if ends else None


def use_optuna() -> Any:
    """Return the module, quiet. Raises IltError where it is not installed."""
    try:
        import optuna
    except ModuleNotFoundError:
        raise IltError("`ilt tune` needs Optuna: pip install 'ilt[tune]'") from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    return optuna


def open_study(name: str, minutes: bool | None = None) -> optuna.Study:
    """Return a study; given whether `minutes` is an objective, one that is new is begun.

    It lies in SQLite: a kill within a write would leave a file of Optuna's journal that nothing can be added to.
    Raises IltError where there is none and `minutes` is None.
    """
    optuna = use_optuna()
    path = FOLDER / f"{name}.db"
    if not path.is_file() and minutes is None:
        known = sorted(file.stem for file in FOLDER.glob("*.db"))
        others = f"there are {', '.join(known)}" if known else "there are none yet; `ilt tune --trials 20` begins one"
        raise IltError(f"there is no study {name} ({path}); {others}")
    path.parent.mkdir(parents=True, exist_ok=True)
    storage = optuna.storages.RDBStorage(f"sqlite:///{path}")
    if minutes is None:
        return optuna.load_study(study_name=name, storage=storage)
    directions = ["minimize"] * (2 if minutes else 1)
    return optuna.create_study(study_name=name, storage=storage, directions=directions, load_if_exists=True)
