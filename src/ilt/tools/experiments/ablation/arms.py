"""The arms of the ablation, as params.yaml would say them: all with as many optimiser steps as full ILT."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from ilt.errors import IltError
from ilt.params import GOLD_ALONE, TRAINING_STAGES, check_params, ordered_iterations, training
from ilt.tools.experiments.overrides import Values, with_settings

__all__ = ["ARMS", "MIXTURES", "PLAIN", "arm_values", "last_iteration", "reduced"]

PLAIN = ("one_long", "one_half", "one_wide", "one_gentle", "reset_no_pseudo")
"""Plain LoRA: arms that train LoRA on gold alone. ILT is compared with the best of them."""

Change = Callable[[Values, float], Values]
"""Makes an arm of the parameters of full ILT, given the factor on the learning rate of full fine-tuning."""


def reduced(values: Values, settings: dict[str, Any], steps: float) -> Values:
    """Return params.yaml with `settings` (by key) and all steps times `steps`: at least 1, or 0 as before.

    Steps are written out for each stage of each iteration. Raises IltError for keys that do not exist, and for
    trainings whose length is given in epochs.
    """
    changed = with_settings(values, settings)
    params = check_params(changed)
    for name, entry in changed["iterations"].items():
        for stage in TRAINING_STAGES:
            today = training(params, name, stage).steps
            if today is None:
                raise IltError(f"{stage} of {name} is given in epochs; an ablation at equal steps needs steps")
            entry[stage] = (entry.get(stage) or {}) | {"steps": max(1, round(today * steps)) if today else 0}
    return changed


def _order(values: Values) -> list[str]:
    return ordered_iterations(check_params(values))


def _steps(entry: Values) -> list[int]:
    return [entry[stage]["steps"] for stage in TRAINING_STAGES]


def _split(total: int, weights: list[int]) -> list[int]:
    """Return whole parts of `total` in proportion to `weights`; the last takes what is left over."""
    parts = [total * weight // sum(weights) for weight in weights]
    return [*parts[:-1], total - sum(parts[:-1])]


def _ilt(count: int) -> Change:
    def change(values: Values, _: float) -> Values:
        """Spread the same steps over `count` iterations: the first stays, and the last is made like the last.

        Those between are made like those between, and the rest of the steps is shared in proportion. Of a single one,
        the rest goes to its fix, on the best labels that it has.
        """
        order = _order(values)
        entries = [values["iterations"][name] for name in order]
        first, total = entries[0], sum(sum(_steps(entry)) for entry in entries)
        rest = total - sum(_steps(first))
        if count == len(order):
            return values
        if count == 1:
            first["fix"]["steps"] += rest
            return values | {"iterations": {order[0]: first}}
        like = [entries[min(number, max(1, len(order) - 2))] for number in range(1, count - 1)] + [entries[-1]]
        made, previous = {order[0]: first}, order[0]
        for model, share in zip(like, _split(rest, [sum(_steps(entry)) for entry in like]), strict=True):
            parts = _split(share, _steps(model))
            if any(part < 1 for part, before in zip(parts, _steps(model), strict=True) if before):
                raise IltError(f"{total} steps are too few for {count} iterations; raise steps in ablation.yaml")
            entry = copy.deepcopy(model) | {"prev": previous}
            for stage, part in zip(TRAINING_STAGES, parts, strict=True):
                entry[stage]["steps"] = part
            previous = order[len(made)] if len(made) < len(order) else f"it{len(made) + 1}"
            made[previous] = entry
        return values | {"iterations": made}

    return change


def _with(settings: dict[str, Any]) -> Change:
    return lambda values, _: with_settings(values, settings)


def _one(factors: dict[str, float], half: bool = False) -> Change:
    """Return one LoRA on gold in place of all stages, with settings of the first focus times `factors`.

    half: with half as many steps. Who chooses the length by dev would train so: the longest overfits.
    """

    def change(values: Values, _: float) -> Values:
        values = _times_first_focus(values, factors) | {"adapter": values.get("adapter", {}) | {"mode": "single"}}
        if half:
            for entry in values["iterations"].values():
                for stage in TRAINING_STAGES:
                    entry[stage]["steps"] //= 2
        return values

    return change


def _times_first_focus(values: Values, factors: dict[str, float]) -> Values:
    first = _order(values)[0]
    focus = training(check_params(values), first, "focus")
    today = {"lora.r": focus.lora.r, "lr_factor": focus.lr_factor}
    changes = {f"iterations.{first}.focus.{key}": type(today[key])(today[key] * by) for key, by in factors.items()}
    return with_settings(values, changes)


def _full(values: Values, factor: float) -> Values:
    values = with_settings(values, {"adapter.scale": 1.0})  # of adapters; there are none
    return with_settings(_times_first_focus(values, {"lr_factor": factor}), {"adapter.mode": "full"})


def _no_fix(values: Values, _: float) -> Values:
    """Leave labels as they were selected; feedback takes the steps of fix."""
    values = with_settings(values, {"correct.enabled": False})
    for entry in values["iterations"].values():
        entry["feedback"]["steps"] += entry["fix"]["steps"]
        entry["fix"]["steps"] = 0
    return values


def _gold(share: float) -> Change:
    return _with({"feedback.gold_share": share, "fix.gold_share": share})


MIXTURES = {"gold25": 0.25, "gold75": 0.75}
"""Arms that mix gold and pseudo-labels otherwise in feedback and fix, by the share of gold."""

ARMS: dict[str, tuple[str, Change]] = {
    "ilt3": ("full ILT, three iterations", _ilt(3)),
    "one_long": ("one long LoRA on gold", _one({})),
    "one_half": ("one LoRA on gold for half as many steps", _one({}, half=True)),
    # The settings of the first focus were chosen for ILT.
    "one_wide": ("one long LoRA on gold of twice the rank", _one({"lora.r": 2})),
    "one_gentle": ("one long LoRA on gold with half the learning rate", _one({"lr_factor": 0.5})),
    "full_ft": ("full fine-tuning on gold", _full),
    "reset_no_pseudo": ("merge-and-reset on gold, without pseudo-labels", _gold(1.0)),
    "continue": ("ILT's data, but one adapter trained on and on", _with({"adapter.mode": "continue"})),
    "unfiltered": ("ILT with all pseudo-labels", _with({"select.method": "all"})),
    "logprob": ("ILT with labels of the best mean log-probability", _with({"select.method": "logprob"})),
    "no_fix": ("ILT without correct and fix", _no_fix),
    "oracle": ("ILT with labels selected by their true error", _with({"select.method": "oracle"})),
    "ilt1": ("full ILT, one iteration", _ilt(1)),
    "ilt2": ("full ILT, two iterations", _ilt(2)),
    "ilt5": ("full ILT, five iterations", _ilt(5)),
    **{name: (f"full ILT, {share:.0%} gold in a batch", _gold(share)) for name, share in MIXTURES.items()},
}
"""By name: what it is, and what makes it of params.yaml. The base, untouched, is measured with each."""


def arm_values(arm: str, values: Values, seed: int, full_learning_rate: float) -> Values:
    """Return params.yaml of one arm with one seed, given what `reduced` returned.

    full_learning_rate: factor on the learning rate of full fine-tuning. Raises IltError where the parameters cannot be.
    """
    changed = ARMS[arm][1](with_settings(values, {"seed": seed, "train.seed": seed}), full_learning_rate)
    check_params(changed)
    return changed


def last_iteration(values: Values) -> str:
    """Return the iteration that holds an arm's result: of arms that train once, the first."""
    params = check_params(values)
    order = ordered_iterations(params)
    return order[0] if params.adapter.mode in GOLD_ALONE else order[-1]
