"""The space of a search: from values of knobs to keys of params.yaml, all checked before anything runs."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ilt.errors import IltError
from ilt.params import ITERATION_STAGES, Params, check_params, read_params
from ilt.tools.experiments.dvc import differences, override
from ilt.tools.experiments.overrides import Values, places, resolved, set_value
from ilt.tools.experiments.tune.file import Knob, Scalar, TuneFile, read_tune_file

__all__ = ["Space", "load_space"]

TUNABLE = ("adapter", *(stage for stage in ITERATION_STAGES if stage != "evaluate"))
"""Sections that knobs may change. All others would change what trials are compared by."""


@dataclass(frozen=True)
class Space:
    """A search over params.yaml.

    file:     tune.yaml.
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
        return self.params.ordered_iterations()

    def fixed(self) -> list[str]:
        """Overrides, for `dvc exp run -S`, that all trials share."""
        return differences(self.full, self.reduced)

    def overrides(self, chosen: dict[str, Scalar], full: bool = False) -> list[str]:
        """Overrides that set knobs to these values; those that are as in params.yaml anyway are left out.

        full: at full size, without `reduce`, for all iterations.
        """
        values = self.full if full else self.reduced
        return [override(place, value) for place, value in _changes(values, self.file, chosen).items()]

    def fingerprint(self) -> dict[str, Any]:
        """What must be the same for trials to belong to one study."""
        return {"tune": self.file.model_dump(mode="json", exclude={"study"}), "params": self.reduced}


def load_space(path: Path = Path("tune.yaml"), params: Path = Path("params.yaml")) -> Space:
    """Read tune.yaml and params.yaml, and check every knob at every end of its range.

    Raises IltError that names the first key that cannot be, with what was expected.
    """
    file, full = read_tune_file(path), read_params(params)
    order = check_params(full).ordered_iterations()
    reduced = copy.deepcopy(full)
    if file.iterations is not None:
        if file.iterations > len(order):
            raise IltError(f"{path}: iterations: {file.iterations}, but params.yaml has {len(order)}")
        reduced["iterations"] = {name: reduced["iterations"][name] for name in order[: file.iterations]}
    source = file.reduce.get("corpus.source", check_params(full).corpus.source)
    for key, value in file.reduce.items():
        if key.startswith("corpus.demo.") and source != "demo":
            raise IltError(
                f"{path}: reduce.{key} makes nothing smaller with corpus.source: {source}; "
                "take it out, and where a trial would take too long, name a smaller manifest: "
                "reduce: {corpus.manifest: PATH}"
            )
        for place in _known(path, f"reduce.{key}", reduced, key):
            set_value(reduced, place, value)
    checked = _possible(path, "reduce", reduced)
    defaults, taken = {}, dict[str, str]()
    for name, knob in file.parameters.items():
        where = f"parameters.{name}"
        found: dict[str, Any] = {}
        for key in knob.names or [name]:
            _check_tunable(path, where, key)
            found |= _known(path, where, reduced, key)
        for place in found:
            if place in taken:
                raise IltError(f"{path}: {where}: {place} is set by parameters.{taken[place]} already")
            taken[place] = name
        defaults[name] = _default(path, where, knob, found)
        _check_ends(path, name, knob, reduced, file, checked)
    return Space(file, full, reduced, checked, defaults)


def _known(path: Path, where: str, values: Values, key: str) -> dict[str, Any]:
    try:
        return places(values, key)
    except KeyError:
        raise IltError(f"{path}: {where}: there is no {key} in params.yaml; look there for the right name") from None


def _check_tunable(path: Path, where: str, key: str) -> None:
    parts = key.split(".")
    section = parts[2] if parts[0] == "iterations" and len(parts) > 3 else parts[0]
    if section not in TUNABLE or len(parts) < 2:
        raise IltError(
            f"{path}: {where}: {key} cannot be searched, since trials would not be comparable or not be the "
            f"same task; there are the keys of {', '.join(TUNABLE)}, and of iterations.NAME.STAGE"
        )


def _default(path: Path, where: str, knob: Knob, places: dict[str, Any]) -> Scalar:
    """The value of a knob that is today's params.yaml."""
    for place, value in places.items():
        if knob.scale and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise IltError(f"{path}: {where}: {place} is {value!r}, and only numbers can be scaled")
    values = list(places.values())
    value = 1.0 if knob.scale else values[0]
    if not knob.scale and any(other != value for other in values):
        said = ", ".join(f"{place}={value}" for place, value in places.items())
        raise IltError(
            f"{path}: {where}: one value for {said} would not begin with today's defaults; say scale: true "
            "(factors instead of values), or name one of them"
        )
    if not isinstance(value, bool | int | float | str | None):
        raise IltError(f"{path}: {where}: {next(iter(places))} is {value!r}; expected a single value")
    if knob.whole and isinstance(value, float):
        raise IltError(
            f"{path}: {where}: {value!r} is today's value, and a range of whole numbers holds no others; "
            f"write low: {knob.low}.0"
        )
    if not knob.holds(value):
        what = "the factor 1, which is" if knob.scale else f"{value!r}, which is"
        raise IltError(
            f"{path}: {where}: {what} today's value, is not among {knob.said}; the first trial is today's "
            "defaults, so the range must hold it"
        )
    return value


def _check_ends(path: Path, name: str, knob: Knob, values: Values, file: TuneFile, today: Params) -> None:
    outcomes = []
    for end in knob.ends:
        changed = copy.deepcopy(values)
        for place, value in _changes(values, file, {name: end}).items():
            set_value(changed, place, value)
        outcomes.append(_possible(path, f"parameters.{name}: {end!r} cannot be", changed))
    told = [resolved(outcome) for outcome in [*outcomes, today]]
    if all(one == told[0] for one in told):
        raise IltError(f"{path}: parameters.{name}: all its values give the same trials; it changes nothing")


def _possible(path: Path, where: str, values: Values) -> Params:
    try:
        return check_params(values)
    except IltError as error:
        raise IltError(f"{path}: {where}: {error}") from None


def _changes(values: Values, file: TuneFile, chosen: dict[str, Scalar]) -> dict[str, Any]:
    """By place in params.yaml, what is to be set there so that knobs have these values."""
    changes: dict[str, Any] = {}
    for name, value in chosen.items():
        knob = file.parameters[name]
        for key in knob.names or [name]:
            for place, today in places(values, key).items():
                new = _scaled(today, value) if knob.scale else value
                if new != today or isinstance(new, bool) != isinstance(today, bool):
                    changes[place] = new
    return changes


def _scaled(today: Any, factor: Any) -> Any:
    """A number times a factor: whole numbers stay whole and above 0, others get four digits."""
    if factor == 1:
        return today
    if isinstance(today, int):
        return max(1, round(today * factor)) if today else 0
    return float(f"{today * factor:.4g}")
