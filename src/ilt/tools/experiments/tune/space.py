"""tune.yaml and the space that it makes: settings of params.yaml, all checked before anything runs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from ilt.errors import IltError
from ilt.params import ITERATION_STAGES, Params, Section, check_params, ordered_iterations, read_params, read_yaml
from ilt.params import validated as checked
from ilt.stages.plan import plan_files, resolve
from ilt.tools.experiments.overrides import (
    Values,
    differences,
    naming,
    override,
    places,
    with_settings,
    with_values,
)

if TYPE_CHECKING:
    import optuna

__all__ = ["Knob", "Scalar", "Space", "TuneFile", "load_space", "read_tune_file"]

Scalar = bool | int | float | str | None

TUNABLE = ("train", "adapter", *(stage for stage in ITERATION_STAGES if stage not in ("predict", "evaluate")))
"""Sections that knobs may change. Any other would change what trials are compared by."""


class Knob(Section):
    """One parameter of the search: a range (`low`, `high`, with `log` or `step`), or `choices`.

    names: the keys of params.yaml that it sets, see `ilt.tools.experiments.overrides.places`; without, the name of
           the knob is the key.
    scale: the values are factors, by which each of these keys is multiplied.
    """

    names: Annotated[list[str], Field(min_length=1)] | None = None
    scale: bool = False
    low: int | float | None = None
    high: int | float | None = None
    log: bool = False
    step: Annotated[int | float, Field(gt=0)] | None = None
    choices: Annotated[list[Scalar], Field(min_length=2)] | None = None

    @model_validator(mode="after")
    def _a_range_or_choices(self) -> Self:
        if self.choices is not None:
            if (self.low, self.high, self.step, self.log) != (None, None, None, False):
                raise ValueError("choices stand alone, without low, high, step and log")
            if any(one in self.choices[:at] for at, one in enumerate(self.choices)):
                raise ValueError(f"choices must differ, got {self.choices}")
            if self.scale and not all(_is_number(choice) and float(choice or 0) > 0 for choice in self.choices):
                raise ValueError(f"factors are numbers above 0, got {self.choices}")
            return self
        if self.low is None or self.high is None:
            raise ValueError("expected low and high, or choices")
        if self.low >= self.high:
            raise ValueError(f"low must be below high, got {self.low} and {self.high}")
        if self.log and self.step is not None:
            raise ValueError("log and step do not go together")
        if (self.log or self.scale) and self.low <= 0:
            raise ValueError(f"low must be above 0 with log or scale, got {self.low}")
        if not self._on_grid(self.high):
            raise ValueError(f"high must be low and a number of steps, got {self.high}")
        return self

    @property
    def whole(self) -> bool:
        """Whether its values are the whole numbers of a range."""
        given = (self.low, self.high, 1 if self.step is None else self.step)
        return not self.scale and all(isinstance(one, int) for one in given)

    def suggest(self, trial: optuna.Trial, name: str) -> Scalar:
        """Return the value that Optuna proposes in a trial."""
        if self.choices is not None:
            chosen: Scalar = trial.suggest_categorical(name, self.choices)
            return chosen
        low, high = self.low or 0, self.high or 0
        if self.whole:
            return trial.suggest_int(name, int(low), int(high), step=int(self.step or 1), log=self.log)
        return trial.suggest_float(name, low, high, step=self.step, log=self.log)

    @property
    def ends(self) -> list[Scalar]:
        """Values that stand for all: the choices; or both ends and, of numbers that are not whole, one between."""
        if self.choices is not None:
            return list(self.choices)
        low, high = self.low or 0, self.high or 0
        return [low, high] if self.whole else [float(low), float(high), float(f"{low + 0.382 * (high - low):.4g}")]

    def holds(self, value: Any) -> bool:
        """Return whether the search could try a value."""
        if self.choices is not None:
            return any(one == value and isinstance(one, bool) == isinstance(value, bool) for one in self.choices)
        return _is_number(value) and self.low <= value <= self.high and self._on_grid(value)

    def _on_grid(self, value: float) -> bool:
        steps = 0.0 if self.step is None else (value - (self.low or 0)) / self.step
        return math.isclose(steps, round(steps), abs_tol=1e-9)

    def __str__(self) -> str:
        if self.choices is not None:
            return f"one of {', '.join(map(str, self.choices))}"
        return f"{self.low} to {self.high}" + ("" if self.step is None else f" in steps of {self.step}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


class Objective(Section):
    """The objectives: the micro error rate of a trial's last iteration, and its cost.

    split:   dev alone. Test is never looked at by the search, so that it can still judge the result.
    minutes: whether cost is an objective too, so that the result is a front of cheap and good settings.
    """

    split: Literal["dev"] = "dev"
    minutes: bool = True


class TuneFile(Section):
    """The whole of tune.yaml.

    study:      its name, in names of experiments and files.
    iterations: how many of the first iterations a trial runs; None: all.
    reduce:     keys of params.yaml that are the same in all trials, to make them small.
    parameters: the knobs, by name.
    """

    study: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$")] = "tune"
    objective: Objective = Objective()
    iterations: Annotated[int, Field(ge=1)] | None = None
    reduce: dict[str, Any] = Field(default_factory=dict)
    parameters: Annotated[dict[str, Knob], Field(min_length=1)]


def read_tune_file(path: Path) -> TuneFile:
    """Return tune.yaml, checked by itself. Raises IltError that names each wrong key."""
    values = read_yaml(path, "it says what `ilt tune` may change (docs/tune.md)")
    return checked(TuneFile, values, file=str(path))


@dataclass(frozen=True)
class Space:
    """A search over params.yaml.

    full:     params.yaml as it is.
    reduced:  params.yaml as all trials have it, before knobs.
    params:   `reduced`, checked.
    defaults: the value of each knob that changes nothing.
    """

    file: TuneFile
    full: Values
    reduced: Values
    params: Params
    defaults: dict[str, Scalar]

    @property
    def iterations(self) -> list[str]:
        """The iterations that a trial runs, in order."""
        return ordered_iterations(self.params)

    def fixed(self) -> list[str]:
        """Return the overrides, for `dvc exp run -S`, that all trials share."""
        return differences(self.full, self.reduced)

    def overrides(self, chosen: dict[str, Scalar], full: bool = False) -> list[str]:
        """Return the overrides that set knobs to these values, but for those that change nothing.

        full: at full size, without `reduce`, for all iterations.
        """
        values = self.full if full else self.reduced
        changes = [_changes(values, name, self.file.parameters[name], value) for name, value in chosen.items()]
        return [override(place, value) for change in changes for place, value in change.items()]

    def fingerprint(self) -> dict[str, Any]:
        """Return what must be the same for trials to belong to one study."""
        return {"tune": self.file.model_dump(mode="json", exclude={"study"}), "params": self.reduced}


def _changes(values: Values, name: str, knob: Knob, chosen: Scalar) -> dict[str, Any]:
    """Return the places of params.yaml that a knob with this value changes, with their new values."""
    changes = {}
    for place, today in (pair for key in knob.names or [name] for pair in places(values, key).items()):
        new = _scaled(today, chosen) if knob.scale else chosen
        if new != today or isinstance(new, bool) != isinstance(today, bool):
            changes[place] = new
    return changes


def _scaled(today: Any, factor: Any) -> Any:
    """Return a number times a factor: whole numbers stay whole and above 0, others get four digits."""
    if isinstance(today, int):
        return max(1, round(today * factor)) if today else 0
    return today if factor == 1 else float(f"{today * factor:.4g}")


def load_space(path: Path = Path("tune.yaml"), params: Path = Path("params.yaml")) -> Space:
    """Read tune.yaml and params.yaml, and check every knob at every end of its range.

    Raises IltError that names the first key that cannot be, and what was expected.
    """
    file, full = read_tune_file(path), read_params(params)
    check_params(full)
    defaults, knob_at = {}, dict[str, str]()
    with naming(str(path)):
        reduced = _reduced(file, full)
        with naming("reduce"):
            checked_params = check_params(reduced)
        for name, knob in file.parameters.items():
            with naming(f"parameters.{name}"):
                at = {place: value for key in knob.names or [name] for place, value in _tunable(reduced, key).items()}
                for place in at:
                    if knob_at.setdefault(place, name) != name:
                        raise IltError(f"{place} is set by parameters.{knob_at[place]} already")
                defaults[name] = _default(knob, at)
                _check_ends(name, knob, reduced)
    return Space(file, full, reduced, checked_params, defaults)


def _reduced(file: TuneFile, full: Values) -> Values:
    params = check_params(full)
    order = ordered_iterations(params)
    if (file.iterations or 1) > len(order):
        raise IltError(f"iterations: {file.iterations}, but params.yaml has {len(order)}")
    source = file.reduce.get("corpus.source", params.corpus.source)
    small = full | {"iterations": {name: full["iterations"][name] for name in order[: file.iterations]}}
    for key in file.reduce:
        if key.startswith("corpus.demo.") and source != "demo":
            raise IltError(
                f"reduce.{key} makes nothing smaller with corpus.source: {source}; take it out, and where a trial "
                "would take too long, name a smaller manifest: reduce: {corpus.manifest: PATH}"
            )
        with naming(f"reduce.{key}"):
            places(small, key)
    return with_settings(small, file.reduce)


def _tunable(values: Values, key: str) -> dict[str, Any]:
    """Return the places of a key that may be searched."""
    parts = key.split(".")
    section = parts[2] if parts[0] == "iterations" and len(parts) > 3 else parts[0]
    if section not in TUNABLE:
        raise IltError(
            f"{key} cannot be searched, since trials would not be comparable or not be the same task; there are the "
            f"keys of {', '.join(TUNABLE)}, and of iterations.NAME.STAGE"
        )
    return places(values, key)


def _default(knob: Knob, at: dict[str, Any]) -> Scalar:
    """Return the value of a knob that is today's params.yaml. at: today's value at each of its places."""
    values = list(at.values())
    if knob.scale and (others := [place for place, value in at.items() if not _is_number(value)]):
        raise IltError(f"{others[0]} is {at[others[0]]!r}, and only numbers can be scaled")
    if not knob.scale and any(other != values[0] for other in values):
        today = ", ".join(f"{place}={value}" for place, value in at.items())
        raise IltError(
            f"one value for {today} would not begin with today's defaults; say scale: true (factors instead of "
            "values), or name one of them"
        )
    value = 1.0 if knob.scale else values[0]
    if not isinstance(value, bool | int | float | str | None):
        raise IltError(f"{next(iter(at))} is {value!r}; expected a single value")
    if isinstance(value, float) and knob.whole:
        raise IltError(
            f"{value!r} is today's value, and a range of whole numbers holds no others; write low: {knob.low}.0"
        )
    if not knob.holds(value):
        today = "the factor 1" if knob.scale else repr(value)
        raise IltError(
            f"{today}, which is today's value, is not among {knob}; the first trial is today's defaults, so the range "
            "must hold it"
        )
    return value


def _check_ends(name: str, knob: Knob, values: Values) -> None:
    """Raise IltError where a knob's value cannot be, or where all of them plan the same stages."""
    plans = [plan_files(resolve(check_params(values)))]
    for end in knob.ends:
        changed = with_values(values, _changes(values, name, knob, end))
        with naming(f"{end!r} cannot be"):
            plans.append(plan_files(resolve(check_params(changed))))
    if all(plan == plans[0] for plan in plans):
        raise IltError("all its values give the same trials; it changes nothing")
