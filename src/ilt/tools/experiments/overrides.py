"""Keys of params.yaml by their dotted names, in values that are not checked yet."""

from __future__ import annotations

from typing import Any

from ilt.params import ITERATION_STAGES, Params

__all__ = ["Values", "places", "resolved", "set_everywhere", "set_value", "value_at"]

Values = dict[str, Any]


def places(values: Values, key: str) -> dict[str, Any]:
    """Where a key stands in params.yaml, and with what values: its section, and each iteration's override.

    Raises KeyError where there is none.
    """
    section, _, rest = key.partition(".")
    if section == "iterations":
        name, _, stage = rest.partition(".")
        entry = values["iterations"][name]
        try:
            return {key: value_at(entry, stage)}
        except KeyError:  # not overridden there: it is what the stage's own section says
            return {key: value_at(values, stage)}
    found = {key: value_at(values, key)}
    if section in ITERATION_STAGES:
        for name in values["iterations"]:
            place = f"iterations.{name}.{key}"
            try:
                found[place] = value_at(values, place)
            except KeyError:
                continue
    return found


def value_at(values: Values, place: str) -> Any:
    """The value at one place. Raises KeyError where there is no such place."""
    at: Any = values
    for part in place.split("."):
        if not isinstance(at, dict):
            raise KeyError(place)
        at = at[part]
    return at


def set_value(values: Values, place: str, value: Any) -> None:
    """Set the value at one place; sections that are missing on the way are made."""
    *sections, key = place.split(".")
    at = values
    for part in sections:
        if at.get(part) is None:
            at[part] = {}
        at = at[part]
    at[key] = value


def set_everywhere(values: Values, key: str, value: Any) -> None:
    """Set a key wherever it stands: of a stage, in all iterations. Raises KeyError where there is none."""
    for place in places(values, key):
        set_value(values, place, value)


def resolved(params: Params) -> dict[str, Any]:
    """What parameters come to: equal where all stages are told the same, however overrides spell it.

    `iterations` itself holds what was written: DVC writes 0.00002 as 2e-05, which is text to YAML 1.1.
    """
    shared = {key: value for key, value in params if key == "evaluate" or key not in ITERATION_STAGES}
    stages = {
        name: {"prev": entry["prev"]} | {stage: params.stage(name, stage) for stage in ITERATION_STAGES}
        for name, entry in params.iterations.items()
    }
    return shared | {"iterations": stages}
