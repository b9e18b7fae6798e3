"""Resolved parameters: what the sections, an iteration and the model's size come to for each stage."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from ilt.params.schema import (
    TRAINING_STAGES,
    CorrectParams,
    EvaluateParams,
    LabelParams,
    Params,
    RecogniserParams,
    Section,
    SelectParams,
    TrainParams,
    validated,
)

__all__ = [
    "GOLD_ALONE",
    "ModelInfo",
    "Resolved",
    "check_stages",
    "corrected_selection",
    "default_learning_rate",
    "merged",
    "ordered_iterations",
    "per_language_stages",
    "stage_section",
    "stage_seed",
    "training",
]

C = TypeVar("C", bound=Section)

GOLD_ALONE = ("single", "full")
"""Modes that train once, on gold, in the place of all stages."""

STAGE_DEFAULTS: dict[str, dict[str, Any]] = {
    "focus": {"steps": 60},
    "feedback": {"steps": 60},
    "fix": {"steps": 30, "lora": {"r": 8}, "lr_factor": 0.5},
}
"""Length, rank and rate of the stages where params.yaml says nothing: gentle, then shorter and smaller."""

LEARNING_RATES = {192: 1.6e-3, 384: 7e-4, 512: 5e-4, 768: 3e-4, 1024: 2e-4, 1280: 1e-4}
"""Learning rate of a LoRA by the width of the decoder: the entry of the next larger width, else the last."""

MEASURED_WIDTHS = {192: "the demo models", 512: "whisper-base"}
"""Widths whose rate comes from a search on dev; benchmarks say which."""


@dataclass(frozen=True)
class ModelInfo:
    """Facts of the base that parameters depend on. width: of the decoder's states; None where not known."""

    family: str
    width: int | None


def default_learning_rate(width: int | None) -> tuple[float, str]:
    """Return the learning rate for a decoder of this width, and how it is known."""
    if width is None:
        return min(LEARNING_RATES.values()), "a guess: the model's size is not known"
    at = next((one for one in sorted(LEARNING_RATES) if width <= one), max(LEARNING_RATES))
    known = f"measured on {MEASURED_WIDTHS[at]}" if at == width and at in MEASURED_WIDTHS else "a guess"
    return LEARNING_RATES[at], f"by the model's width of {width}, {known}"


def merged(values: Mapping[str, Any], override: Mapping[str, Any]) -> dict[str, Any]:
    """Return `values` with `override` laid over it, section by section; steps and epochs replace one another."""
    result = dict(values)
    for key, value in override.items():
        old = result.get(key)
        result[key] = merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    for one, other in (("epochs", "steps"), ("steps", "epochs")):
        if override.get(one) is not None and override.get(other) is None:
            result[other] = None
    return result


def ordered_iterations(params: Params) -> list[str]:
    """Return the names of the iterations, from the first to the last."""
    following = {str(entry["prev"]): name for name, entry in params.iterations.items()}
    order, at = [], "base"
    while at in following:
        at = following[at]
        order.append(at)
    return order


def per_language_stages(scope: str) -> tuple[str, ...]:
    """Return the training stages in which each language trains an adapter of its own, under an `adapter.scope`."""
    return {"shared": (), "per_language": TRAINING_STAGES, "shared+per_language": ("fix",)}[scope]


def training(params: Params, iteration: str | None, stage: str) -> TrainParams:
    """Return what one training comes to; learning_rate stays null where it goes by the model.

    iteration: None for the stage as its section has it, without what an iteration says of it.
    """
    override = (params.iterations[iteration].get(stage) or {}) if iteration else {}
    values: dict[str, Any] = {}
    for layer in (STAGE_DEFAULTS[stage], params.train, getattr(params, stage), override):
        values = merged(values, layer)
    if stage == "focus":
        values["gold_share"] = 1.0  # there are no other labels yet
    section = stage if getattr(params, stage) else "train"
    return validated(TrainParams, values, f"iterations.{iteration}.{stage}" if override else section)


def stage_section(params: Params, iteration: str, stage: str, kind: type[C]) -> C:
    """Return what the section of a stage that does not train comes to in an iteration."""
    override = params.iterations[iteration].get(stage) or {}
    section: C = getattr(params, stage)
    return (
        validated(kind, merged(section.model_dump(), override), f"iterations.{iteration}.{stage}")
        if override
        else section
    )


def corrected_selection(params: Params, iteration: str) -> SelectParams:
    """Return the selection of the stage correct: the limits of `select` with the budget of `correct`."""
    budget = stage_section(params, iteration, "correct", CorrectParams).model_dump(
        include={"keep", "keep_by_language", "max_expected_error"}
    )
    limits = stage_section(params, iteration, "select", SelectParams).model_dump()
    return validated(SelectParams, limits | budget, f"iterations.{iteration}.correct")


def check_stages(params: Params) -> None:
    """Raise IltError for anything that no stage of some iteration can take."""
    kinds: dict[str, type[Section]] = {
        "label": LabelParams,
        "select": SelectParams,
        "correct": CorrectParams,
        "evaluate": EvaluateParams,
    }
    for stage in TRAINING_STAGES:
        training(params, None, stage)  # so that what is wrong in a section is named there
    for name in params.iterations:
        for stage in TRAINING_STAGES:
            training(params, name, stage)
        for stage, kind in kinds.items():
            stage_section(params, name, stage, kind)
        corrected_selection(params, name)


def stage_seed(seed: int, iteration: str, stage: str) -> int:
    """Return a seed of a stage's own, from a global one."""
    return int.from_bytes(hashlib.sha256(f"{seed} {iteration} {stage}".encode()).digest()[:4], "big")


@dataclass(frozen=True)
class Resolved:
    """The parameters together with the facts of the model: what the plans of stages are made from."""

    params: Params
    model: ModelInfo

    @cached_property
    def order(self) -> list[str]:
        """Iterations from the first to the last."""
        return ordered_iterations(self.params)

    def prev(self, iteration: str) -> str:
        """Return the iteration before, or `base`."""
        return str(self.params.iterations[iteration]["prev"])

    def training(self, iteration: str, stage: str) -> TrainParams:
        """Return one training with its learning rate: `train.learning_rate`, or the model's, times `lr_factor`."""
        section = training(self.params, iteration, stage)
        rate = section.learning_rate or default_learning_rate(self.model.width)[0]
        exact = float(f"{rate * section.lr_factor:.6g}")
        alone = {"gold_share": 1.0} if self.params.adapter.mode in GOLD_ALONE else {}
        values = section.model_dump() | {"learning_rate": exact, "lr_factor": 1.0, **alone}
        return validated(TrainParams, values, f"iterations.{iteration}.{stage} (learning_rate times lr_factor)")

    def section(self, iteration: str, stage: str, kind: type[C]) -> C:
        """Return the section of a stage that does not train, in an iteration."""
        return stage_section(self.params, iteration, stage, kind)

    def absent(self, iteration: str) -> list[str]:
        """Return the languages that do not take part in an iteration, or in scoring the base (`base`), yet."""
        later = self.order[self.order.index(iteration) + 1 :] if iteration != "base" else self.order
        return sorted(code for code, entry in self.params.languages.items() if entry.from_ in later)

    def later_languages(self) -> list[list[str]]:
        """Return the languages that begin with an iteration, those of the first such iteration first."""
        begin = [
            sorted(code for code, entry in self.params.languages.items() if entry.from_ == name) for name in self.order
        ]
        return [codes for codes in begin if codes]

    def language_alias(self, iteration: str | None = None) -> dict[str, str]:
        """Return what the model is told for each mapped language; of those that take part, given an iteration."""
        absent = self.absent(iteration) if iteration else []
        return {
            code: entry.as_
            for code, entry in sorted(self.params.languages.items())
            if entry.as_ is not None and code not in absent
        }

    def recogniser(self, iteration: str) -> RecogniserParams:
        """Return the model as the stages of an iteration load it; its family is known."""
        values = self.params.model.model_dump() | {"family": self.model.family}
        return RecogniserParams(**values, languages=self.language_alias(iteration))

    def skip_reason(self, iteration: str, stage: str) -> str | None:
        """Return why the parameters skip a stage, which then passes on what it was given; None where it runs."""
        mode, params = self.params.adapter.mode, self.params
        trainings = {name: training(params, iteration, name) for name in TRAINING_STAGES}
        if mode in GOLD_ALONE:
            if not (iteration == self.order[0] and stage in ("focus", "predict", "evaluate")):
                return f"adapter.mode is {mode}: one training on gold"
            # It stands in for the trainings of all iterations, and takes as many steps as they have together.
            every = [training(params, name, each) for name in params.iterations for each in TRAINING_STAGES]
            return "all stages have 0 steps" if all(each.steps == 0 for each in every) else None
        if stage in trainings and trainings[stage].steps == 0:
            return f"{stage}.steps is 0"
        if stage in ("label", "select", "correct"):
            uses = [trainings[name] for name in ("feedback", "fix")]
            if all(use.steps == 0 or use.gold_share == 1 for use in uses):
                return "feedback and fix train on gold alone"
        if stage == "correct" and not self.section(iteration, stage, CorrectParams).enabled:
            return "correct.enabled is false"
        return None
