"""A study as it lies in SQLite: found, opened, and read as plain records."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ilt import paths
from ilt.errors import IltError
from ilt.tools.experiments.tune.file import Scalar, TuneFile
from ilt.tools.experiments.tune.trial import Step

if TYPE_CHECKING:
    import optuna

__all__ = ["FOLDER", "Record", "Study", "database", "open_study", "read_study", "use_optuna"]

FOLDER = paths.WORK / "tune"


@dataclass(frozen=True)
class Record:
    """One trial.

    state:  waiting, running, finished, pruned, failed, or stopped (from outside; it is tried again).
    values: of the knobs. steps: what each iteration left. reason: why it was pruned or failed.
    overrides, full_overrides: for `dvc exp run -S`, at the trial's size and at full size.
    """

    number: int
    state: str
    values: dict[str, Scalar]
    steps: list[Step]
    experiment: str
    reason: str
    overrides: list[str]
    full_overrides: list[str]
    commit: str

    @property
    def last(self) -> Step | None:
        """What it left after the last iteration that it ran."""
        return self.steps[-1] if self.steps else None


@dataclass(frozen=True)
class Study:
    """A study and its trials. file: tune.yaml as it was begun with; params: params.yaml, reduced."""

    name: str
    file: TuneFile
    params: dict[str, Any]
    defaults: dict[str, Scalar]
    records: list[Record]

    @property
    def finished(self) -> list[Record]:
        """Trials that ran all iterations."""
        return [record for record in self.records if record.state == "finished" and record.steps]

    @property
    def counted(self) -> int:
        """Trials that a budget counts: all but those that wait, run, or were stopped from outside."""
        return sum(record.state in ("finished", "pruned", "failed") for record in self.records)

    @property
    def default(self) -> Record | None:
        """The finished trial of today's defaults."""
        return next((record for record in self.finished if record.values == self.defaults), None)

    @property
    def best(self) -> Record | None:
        """The finished trial of the lowest error; the cheaper of equals."""
        ranked = [(step.error, step.minutes, record.number, record) for record, step in self._ends()]
        return min(ranked)[-1] if ranked else None

    @property
    def front(self) -> list[Record]:
        """Finished trials than which none is both as good and as cheap, and better in one; by cost."""
        ends = self._ends()
        found = [
            (step.minutes, record.number, record)
            for record, step in ends
            if not any(
                (other.error, other.minutes) != (step.error, step.minutes)
                and other.error <= step.error
                and other.minutes <= step.minutes
                for _, other in ends
            )
        ]
        return [record for *_, record in sorted(found)]

    def _ends(self) -> list[tuple[Record, Step]]:
        return [(record, record.steps[-1]) for record in self.finished]


def database(name: str) -> Path:
    """Where a study lies."""
    return FOLDER / f"{name}.db"


def use_optuna() -> Any:
    """The module, quiet. Raises IltError where it is not installed."""
    try:
        import optuna
    except ModuleNotFoundError:
        raise IltError("`ilt tune` needs Optuna: pip install -e '.[tune]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    return optuna


def open_study(name: str, minutes: bool, create: bool) -> optuna.Study:
    """The study in SQLite. Raises IltError where there is none and `create` is False."""
    optuna = use_optuna()
    path = database(name)
    if not path.is_file() and not create:
        there = sorted(file.stem for file in FOLDER.glob("*.db"))
        known = f"there are {', '.join(there)}" if there else "there are none yet; `ilt tune --trials 20` begins one"
        raise IltError(f"there is no study {name} ({path}); {known}")
    path.parent.mkdir(parents=True, exist_ok=True)
    storage = optuna.storages.RDBStorage(f"sqlite:///{path}")
    if not create:
        return optuna.load_study(study_name=name, storage=storage)
    directions = ["minimize"] * (2 if minutes else 1)
    return optuna.create_study(study_name=name, storage=storage, directions=directions, load_if_exists=True)


def read_study(study: optuna.Study) -> Study:
    """The study as plain records."""
    attrs = study.user_attrs
    if "begun_with" not in attrs:  # killed between making the study and this
        raise IltError(f"the study {study.study_name} has not begun; `ilt tune --trials 20` goes on with it")
    stopped = set(attrs.get("stopped", []))
    file = TuneFile.model_validate(attrs["begun_with"]["tune"])
    records = [_record(trial, trial.number in stopped) for trial in study.get_trials(deepcopy=False)]
    return Study(study.study_name, file, attrs["begun_with"]["params"], attrs["defaults"], records)


def _record(trial: Any, stopped: bool) -> Record:
    attrs = trial.user_attrs
    states = {"COMPLETE": "finished", "FAIL": "stopped" if stopped else "failed"}
    return Record(
        number=trial.number,
        state=states.get(trial.state.name, trial.state.name.lower()),
        values=attrs.get("values", {}),
        steps=[Step(**step) for step in attrs.get("steps", [])],
        experiment=attrs.get("experiment", ""),
        reason=attrs.get("reason", ""),
        overrides=attrs.get("overrides", []),
        full_overrides=attrs.get("full_overrides", []),
        commit=attrs.get("commit", ""),
    )
