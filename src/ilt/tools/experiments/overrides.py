"""Keys of params.yaml by their dotted names: where they decide, other values for them, overrides for DVC."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ilt.asr.families import model_info
from ilt.errors import IltError
from ilt.params import (
    TRAINING_STAGES,
    CorrectParams,
    EvaluateParams,
    LabelParams,
    Params,
    SelectParams,
    check_params,
    default_learning_rate,
    stage_section,
    training,
)

__all__ = ["Values", "differences", "naming", "override", "places", "with_settings", "with_values"]

Values = dict[str, Any]
"""Parameters as params.yaml says them: nested, without defaults."""

OTHER_STAGES: dict[str, type[Any]] = {
    "label": LabelParams,
    "select": SelectParams,
    "correct": CorrectParams,
    "evaluate": EvaluateParams,
}
RATE = "train.learning_rate"


@contextmanager
def naming(where: str) -> Iterator[None]:
    """Put the file or key that is looked at in front of the message of an IltError."""
    try:
        yield
    except IltError as error:
        raise IltError(f"{where}: {error}") from None


def places(values: Values, key: str) -> dict[str, Any]:
    """Return the places where a key decides, each with the value that it comes to there, defaults included.

    A key of `train` means all trainings, and one of a stage all iterations: the stages and iterations that say
    something else are places of their own. `iterations.it1.focus.steps` means one place.
    Raises IltError where there is no such key, and for parameters that are not valid.
    """
    params = check_params(values)
    try:
        result = _places(params, values, key)
    except KeyError:
        raise IltError(f"there is no {key} in params.yaml; `ilt params` lists the names") from None
    if key.endswith(".learning_rate") and key != RATE:
        raise IltError(f"{key}: there is {RATE} alone, once for all stages; say lr_factor for what it is multiplied by")
    if key == RATE and result[key] is None:
        result[key] = default_learning_rate(model_info(params.model).width)[0]
    return result


def _places(params: Params, values: Values, key: str) -> dict[str, Any]:
    section, _, rest = key.partition(".")
    if section == "iterations":
        name, _, rest = rest.partition(".")
        stage, _, rest = rest.partition(".")
        return {key: _at(_section(params, name, stage), rest)}
    if section != "train" and section not in (*TRAINING_STAGES, *OTHER_STAGES):
        return {key: _at(params.model_dump(by_alias=True), key)}
    result: dict[str, Any] = {}
    for name in params.iterations:
        for stage in TRAINING_STAGES if section == "train" else (section,):
            levels = [*(["train"] if section == "train" else []), stage, f"iterations.{name}.{stage}"]
            written = [at for at, level in enumerate(levels) if _at(values, f"{level}.{rest}", ...) is not ...]
            value = _at(_section(params, name, stage), rest)
            for level in levels[max(written, default=0) :]:
                if result.setdefault(f"{level}.{rest}", value) == value:
                    break
    return result


def _section(params: Params, iteration: str, stage: str) -> Values:
    if iteration in params.iterations and stage in TRAINING_STAGES:
        return training(params, iteration, stage).model_dump()
    return stage_section(params, iteration, stage, OTHER_STAGES[stage]).model_dump()


def _at(values: Any, path: str, missing: Any = None) -> Any:
    """Return the value at a place, or `missing`. Raises KeyError without that."""
    for part in path.split("."):
        if not isinstance(values, dict) or part not in values:
            if missing is None:
                raise KeyError(path)
            return missing
        values = values[part]
    return values


def with_values(values: Values, changes: Mapping[str, Any]) -> Values:
    """Return a copy with other values at some places. Sections that are missing on the way are made."""
    result = copy.deepcopy(values)
    for place, value in changes.items():
        *sections, key = place.split(".")
        at = result
        for part in sections:
            if at.get(part) is None:
                at[part] = {}
            at = at[part]
        at[key] = copy.deepcopy(value)
    return result


def with_settings(values: Values, settings: Mapping[str, Any]) -> Values:
    """Return a copy with other values for some keys, wherever they decide (`places`). Raises IltError."""
    changes = {place: value for key, value in settings.items() for place in places(values, key)}
    return with_values(values, changes)


def differences(before: Values, after: Values, above: str = "") -> list[str]:
    """Return the overrides for `dvc exp run -S` that make `after` of `before`. above: put before their keys."""
    lines = [f"~{above}{key}" for key in before if key not in after]
    for key, value in after.items():
        old = before.get(key)
        if isinstance(old, dict) and isinstance(value, dict) and old and value:
            lines += differences(old, value, f"{above}{key}.")
        elif key not in before or old != value:
            # Set over a section, a section would be merged into it.
            lines += [f"~{above}{key}"] if isinstance(old, dict) and old else []
            lines.append(override(f"{above}{key}", value))
    return lines


def override(key: str, value: Any) -> str:
    """Return what `dvc exp run -S` takes to set a key of params.yaml, whether it stands there or not.

    value: None, a bool, a number, a string, or lists and dicts of these.
    """
    return f"++{key}={_in_hydra(value)}"


def _in_hydra(value: Any) -> str:
    """Return a value in the grammar of Hydra, which reads overrides for DVC."""
    from hydra.core.override_parser.types import Quote, QuotedString

    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{_in_hydra(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(_in_hydra(item) for item in value) + "]"
    return QuotedString(str(value), Quote.single).with_quotes()
