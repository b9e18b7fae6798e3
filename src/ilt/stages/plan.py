"""plan: check params.yaml and write the resolved parameters of every stage to `data/plan`.

In: params.yaml. Out: data/plan/<stage>.json and data/plan/<iteration>/<stage>.json. Every other stage
depends on its own file alone, so that changing a parameter reruns what depends on it and nothing else.
"""

from __future__ import annotations

import sys
from typing import Any

from ilt.errors import IltError
from ilt.params import (
    ITERATION_STAGES,
    TRAINING_STAGES,
    CorrectParams,
    Params,
    TrainParams,
    check_model_files,
    load_params,
)
from ilt.paths import DATA, replacing, write_json

GOLD_ALONE = ("single", "full")
"""Modes that train once, on gold, in the place of all stages."""


def _left_out(params: Params, iteration: str, first: bool, stage: str) -> str | None:
    """Why the parameters leave a stage out, so that it passes on what it was given; None where it runs."""
    mode = params.adapter.mode
    section = params.stage(iteration, stage)
    if mode in GOLD_ALONE:
        if not (first and stage in ("focus", "evaluate")):
            return f"adapter.mode is {mode}: one training on gold"
        # It stands in for the trainings of all iterations, and takes as many steps as they have together.
        replaced = [params.training(name, each) for name in params.iterations for each in TRAINING_STAGES]
        return "all stages have 0 steps" if all(each.steps == 0 for each in replaced) else None
    if isinstance(section, TrainParams) and section.steps == 0:
        return f"{stage}.steps is 0"
    if stage in ("label", "select", "correct"):
        uses = [params.training(iteration, name) for name in ("feedback", "fix")]
        if all(use.steps == 0 or use.gold_share == 1 for use in uses):
            return "feedback and fix train on gold alone"
    if isinstance(section, CorrectParams) and not section.enabled:
        return "correct.enabled is false"
    return None


def resolve(params: Params) -> dict[str, dict[str, Any]]:
    """The content of each plan file, by its path below `data/plan`."""
    seed = params.seed
    model = params.recogniser_model.model_dump()
    from_start = model | {"languages": params.taken_for_in("base")}
    evaluate = params.evaluate.model_dump()
    order = params.ordered_iterations()
    files: dict[str, dict[str, Any]] = {
        "sources": {"seed": seed, "corpus": params.corpus.model_dump()},
        "corpus": {
            "seed": seed,
            "corpus": params.corpus.model_dump(),
            "model": {key: model[key] for key in ("id", "revision", "languages")},
            "later": params.later_languages,
        },
        "baseline": {
            "seed": seed,
            "model": from_start,
            "evaluate": evaluate,
            "label": params.label.model_dump(),
        },
        "report": {
            "seed": seed,
            "iterations": order,
            "previous": {iteration: params.iterations[iteration]["prev"] for iteration in order},
            "stages": list(ITERATION_STAGES),
            "model": params.model.id,
            "mode": params.adapter.mode,
            **evaluate,
            "report": params.report.model_dump(),
        },
    }
    for number, iteration in enumerate(order):
        previous = params.iterations[iteration]["prev"]
        for stage in ITERATION_STAGES:
            section = params.stage(iteration, stage).model_dump()
            values: dict[str, Any] = {"seed": seed, "prev": previous, stage: section}
            if stage in (*TRAINING_STAGES, "label", "correct", "evaluate"):
                values["model"] = model | {"languages": params.taken_for_in(iteration)}
            if why := _left_out(params, iteration, number == 0, stage):
                values["left_out"] = why
            if stage in TRAINING_STAGES:
                values["train"] = values.pop(stage)
                values["mode"] = params.adapter.mode
                values["scope"] = params.adapter.scope
                values["mixture"], values["merge"] = params.mixture.model_dump(), params.merge.model_dump()
                values["normaliser"] = params.evaluate.normaliser
                if params.adapter.mode in GOLD_ALONE:
                    values["train"] |= {"gold_share": 1.0}
                    if "left_out" not in values:
                        values["keep_best"] = True  # so long on gold alone, a training is expected to overfit
                        values["stages"] = [
                            params.stage(it, s).model_dump() for it in order for s in TRAINING_STAGES
                        ]
            if stage in ("select", "correct"):
                values["normaliser"] = params.evaluate.normaliser
                values["languages"] = params.taken_for_in(iteration)
                values["label"] = params.stage(iteration, "label").model_dump()
            if stage == "correct":
                values["select"] = params.stage(iteration, "select").model_dump()
            if stage == "evaluate":
                values["stop"] = params.stop.model_dump()
            files[f"{iteration}/{stage}"] = values
        files[f"{iteration}/intake"] = {
            "seed": seed,
            "absent": params.absent(iteration),
            "budgets": params.budgets(iteration),
            "replay": params.mixture.replay_share > 0,
        }
    return files


def main() -> None:
    try:
        params = load_params()
        check_model_files(params)
        files = resolve(params)
        with replacing(DATA / "plan") as temporary:
            for name, values in files.items():
                write_json(temporary / f"{name}.json", values)
    except IltError as error:
        print(f"ERROR: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
