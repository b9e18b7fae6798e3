"""tune.yaml: what is searched, by what it is judged, and how trials are made small."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ilt.params import read_yaml, validated

__all__ = ["Knob", "Objective", "Scalar", "TuneFile", "read_tune_file"]

Scalar = bool | int | float | str | None


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Objective(_Section):
    """What a trial is judged by: the micro error rate of its last iteration, and what it cost.

    split:   dev alone. Test is never looked at by the search, so that it can still judge what was found.
    minutes: whether cost is an objective too, so that the result is a front of cheap and good settings.
    """

    split: Literal["dev"] = "dev"
    minutes: bool = True


class Knob(_Section):
    """One parameter of the search: a range (`low`, `high`, with `log` or `step`), or `choices`.

    names: the keys of params.yaml that it sets; without, the name of the knob is the key. A key of a stage
           (`feedback.gold_share`) means all iterations, those that override it too;
           `iterations.it1.feedback.gold_share` means one.
    scale: the values are factors, by which what params.yaml says is multiplied, key by key.
    """

    names: Annotated[list[str], Field(min_length=1)] | None = None
    scale: bool = False
    low: int | float | None = None
    high: int | float | None = None
    log: bool = False
    step: int | float | None = None
    choices: Annotated[list[Scalar], Field(min_length=2)] | None = None

    @model_validator(mode="after")
    def _a_range_or_choices(self) -> Self:
        if self.choices is not None:
            if (self.low, self.high, self.step, self.log) != (None, None, None, False):
                raise ValueError("choices stand alone, without low, high, step and log")
            if any(one in self.choices[:at] for at, one in enumerate(self.choices)):
                raise ValueError(f"choices must differ, got {self.choices}")
            if self.scale and not all(_positive(choice) for choice in self.choices):
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
        if self.step is not None and not 0 < self.step <= self.high - self.low:
            raise ValueError(f"step must be above 0 and fit into low to high, got {self.step}")
        if not self._on_grid(self.high):
            raise ValueError(f"high must be low and a number of steps, got {self.high}")
        return self

    @property
    def whole(self) -> bool:
        """Whether its values are whole numbers."""
        given = [self.low, self.high] + ([] if self.step is None else [self.step])
        return self.choices is None and not self.scale and all(isinstance(one, int) for one in given)

    @property
    def ends(self) -> list[Scalar]:
        """What shows what it can be: all choices; or low, high and, where not whole, one between."""
        if self.choices is not None:
            return list(self.choices)
        ends = [float(self.low or 0), float(self.high or 0)]
        return [self.low, self.high] if self.whole else [*ends, float(f"{ends[0] + 0.382 * (ends[1] - ends[0]):.4g}")]

    def holds(self, value: Any) -> bool:
        """Whether the search could try this value."""
        if self.choices is not None:
            return any(one == value and isinstance(one, bool) == isinstance(value, bool) for one in self.choices)
        return _number(value) and self.low <= value <= self.high and self._on_grid(value)

    def _on_grid(self, value: float) -> bool:
        steps = 0.0 if self.step is None else (value - (self.low or 0)) / self.step
        return math.isclose(steps, round(steps), abs_tol=1e-9)

    @property
    def said(self) -> str:
        """Its values in words."""
        if self.choices is not None:
            return f"one of {', '.join(str(one) for one in self.choices)}"
        return f"{self.low} to {self.high}" + ("" if self.step is None else f" in steps of {self.step}")


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _positive(value: Any) -> bool:
    return _number(value) and value > 0


class TuneFile(_Section):
    """The whole of tune.yaml.

    study:      its name, in names of experiments and files.
    objective:  see `Objective`.
    iterations: how many of the first iterations a trial runs; None: all.
    reduce:     keys of params.yaml that are the same in all trials, to make them small.
    parameters: the knobs, by name.
    """

    study: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$")] = "tune"
    objective: Objective = Objective()
    iterations: Annotated[int, Field(ge=1)] | None = None
    reduce: dict[str, Any] = {}
    parameters: Annotated[dict[str, Knob], Field(min_length=1)]


def read_tune_file(path: Path) -> TuneFile:
    """Read and check tune.yaml by itself; `ilt.tools.experiments.tune.space` checks it against params.yaml.

    Raises IltError that names each wrong key.
    """
    values = read_yaml(path, "it says what `ilt tune` may change (docs/tune.md)")
    return validated(TuneFile, values, file=str(path))
