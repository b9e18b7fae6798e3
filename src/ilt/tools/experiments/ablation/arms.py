"""The arms of the ablation, as params.yaml would say them: all with as many optimiser steps as full ILT."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from ilt.errors import IltError
from ilt.params import TRAINING_STAGES, check_params
from ilt.tools.experiments.overrides import Values, set_everywhere, set_value, value_at

__all__ = ["ARMS", "MIXTURES", "PLAIN", "arm_values", "last_iteration", "reduced"]

PLAIN = ("one_long", "one_half", "one_wide", "one_gentle", "reset_no_pseudo")
"""Plain LoRA: arms that train LoRA on gold alone. ILT is compared with the best of them."""


def reduced(values: Values, settings: dict[str, Any], steps: float) -> Values:
    """params.yaml with `settings` (dotted keys) and with all steps times `steps`: at least 1, or 0 as before.

    A key of a stage means all iterations, those that override it too. Steps are written out for each stage of
    each iteration. Raises IltError for keys that do not exist.
    """
    changed = copy.deepcopy(values)
    for key, value in settings.items():
        try:
            set_everywhere(changed, key, value)
        except KeyError:
            raise IltError(f"ablation.yaml: there is no {key} in params.yaml") from None
    params = check_params(changed)
    for name, entry in changed["iterations"].items():
        for stage in TRAINING_STAGES:
            section = params.training(name, stage)
            if section.steps is None:
                raise IltError(f"{stage} of {name} is given in epochs; an ablation at equal steps needs steps")
            fewer = max(1, round(section.steps * steps)) if section.steps else 0  # 0: it is left out
            entry[stage] = (entry.get(stage) or {}) | {"steps": fewer}
    return changed


def _order(values: Values) -> list[str]:
    return check_params(values).ordered_iterations()


def _steps(values: Values, name: str) -> dict[str, int]:
    return {stage: values["iterations"][name][stage]["steps"] for stage in TRAINING_STAGES}


def _split(total: int, weights: list[int]) -> list[int]:
    """`total` in proportion to `weights`, whole; what is left over goes to the last."""
    parts = [total * weight // sum(weights) for weight in weights]
    return [*parts[:-1], total - sum(parts[:-1])]


def _ilt(count: int) -> Callable[[Values, float], None]:
    def change(values: Values, _: float) -> None:
        """The same steps over `count` iterations: the first is as it is, and the last is made like the last.

        Those between are made like those between, and what is left of the steps is shared in proportion. Of a
        single one, what is left goes to its fix, on the best labels that it has.
        """
        order = _order(values)
        if count == len(order):
            return
        entries = [values["iterations"][name] for name in order]
        total = sum(sum(_steps(values, name).values()) for name in order)
        left = total - sum(_steps(values, order[0]).values())
        if count == 1:
            entries[0]["fix"]["steps"] += left
            values["iterations"] = {order[0]: entries[0]}
            return
        like = [min(number, max(1, len(order) - 2)) for number in range(1, count - 1)] + [len(order) - 1]
        weights = [sum(_steps(values, order[number]).values()) for number in like]
        made: dict[str, Values] = {order[0]: entries[0]}
        previous = order[0]
        for number, share in zip(like, _split(left, weights), strict=True):
            entry = copy.deepcopy(entries[number])
            steps = _steps(values, order[number])
            found = _split(share, [steps[stage] for stage in TRAINING_STAGES])
            if any(part < 1 for stage, part in zip(TRAINING_STAGES, found, strict=True) if steps[stage]):
                raise IltError(f"{total} steps are too few for {count} iterations; raise steps in ablation.yaml")
            for stage, part in zip(TRAINING_STAGES, found, strict=True):
                entry[stage]["steps"] = part
            name = order[len(made)] if len(made) < len(order) else f"it{len(made) + 1}"
            made[name] = entry | {"prev": previous}
            previous = name
        values["iterations"] = made

    return change


def _scale_first_focus(values: Values, key: str, factor: float) -> None:
    first = _order(values)[0]
    now = value_at(check_params(values).training(first, "focus").model_dump(), key)
    set_value(values, f"iterations.{first}.focus.{key}", type(now)(now * factor))


def _mode(mode: str) -> Callable[[Values, float], None]:
    def change(values: Values, factor: float) -> None:
        values["adapter"]["mode"] = mode
        if mode == "full":
            values["merge"]["scale"] = 1.0  # of adapters; there are none
            _scale_first_focus(values, "learning_rate", factor)

    return change


def _half(values: Values, factor: float) -> None:
    """What somebody who chooses the length by dev would train: the longest overfits."""
    _mode("single")(values, factor)
    for entry in values["iterations"].values():
        for stage in TRAINING_STAGES:
            entry[stage]["steps"] //= 2


def _one(key: str, factor: float) -> Callable[[Values, float], None]:
    """One long LoRA with one setting times `factor`, since those of the first focus were chosen for ILT."""

    def change(values: Values, full: float) -> None:
        _mode("single")(values, full)
        _scale_first_focus(values, key, factor)

    return change


def _method(method: str) -> Callable[[Values, float], None]:
    return lambda values, _: set_everywhere(values, "select.method", method)


def _gold(share: float) -> Callable[[Values, float], None]:
    def change(values: Values, _: float) -> None:
        for stage in ("feedback", "fix"):
            set_everywhere(values, f"{stage}.gold_share", share)

    return change


def _no_fix(values: Values, _: float) -> None:
    """Labels stay as they were selected; what fix would have trained, feedback does."""
    set_everywhere(values, "correct.enabled", False)
    for entry in values["iterations"].values():
        entry["feedback"]["steps"] += entry["fix"]["steps"]
        entry["fix"]["steps"] = 0


MIXTURES = {"gold25": 0.25, "gold75": 0.75}
"""Arms that mix gold and pseudo-labels otherwise in feedback and fix, by the share of gold."""

ARMS: dict[str, tuple[str, Callable[[Values, float], None]]] = {
    "ilt3": ("full ILT, three iterations", _ilt(3)),
    "one_long": ("one long LoRA on gold", _mode("single")),
    "one_half": ("one LoRA on gold for half as many steps", _half),
    "one_wide": ("one long LoRA on gold of twice the rank", _one("lora.r", 2)),
    "one_gentle": ("one long LoRA on gold with half the learning rate", _one("learning_rate", 0.5)),
    "full_ft": ("full fine-tuning on gold", _mode("full")),
    "reset_no_pseudo": ("merge-and-reset on gold, without pseudo-labels", _gold(1.0)),
    "continue": ("ILT's data, but one adapter trained on and on", _mode("continue")),
    "unfiltered": ("ILT with all pseudo-labels", _method("all")),
    "logprob": ("ILT with labels of the best mean log-probability", _method("logprob")),
    "no_fix": ("ILT without correct and fix", _no_fix),
    "oracle": ("ILT with labels selected by their true error", _method("oracle")),
    "ilt1": ("full ILT, one iteration", _ilt(1)),
    "ilt2": ("full ILT, two iterations", _ilt(2)),
    "ilt5": ("full ILT, five iterations", _ilt(5)),
    **{name: (f"full ILT, {share:.0%} gold in a batch", _gold(share)) for name, share in MIXTURES.items()},
}
"""By name: what it is, and what makes it of params.yaml. The base, untouched, is measured with each."""


def arm_values(arm: str, values: Values, seed: int, full_learning_rate: float) -> Values:
    """params.yaml of one arm with one seed. Raises IltError where the parameters cannot be."""
    changed = copy.deepcopy(values)
    changed["seed"] = seed
    try:
        ARMS[arm][1](changed, full_learning_rate)
    except KeyError as missing:
        raise IltError(
            f"the arm {arm} changes {missing.args[0]}, which params.yaml does not say; write it there"
        ) from None
    check_params(changed)
    return changed


def last_iteration(values: Values) -> str:
    """The iteration that holds an arm's result: of arms that train once, the first."""
    order = _order(values)
    return order[0] if values["adapter"]["mode"] in ("single", "full") else order[-1]
