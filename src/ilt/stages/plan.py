"""plan: check params.yaml and write what decides the result of every stage to `data/plan`.

In: params.yaml, the code. Out: data/plan/<stage>.json and data/plan/<iteration>/<stage>.json, each with the
resolved parameters of that stage and the digest of its code. Every other stage depends on its own file, so that a
change of parameters or code reruns what depends on it and nothing else. Runs at every `dvc repro`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from ilt import paths
from ilt.asr.families import model_info
from ilt.errors import IltError
from ilt.params import TRAINING_STAGES, Params, Resolved, default_learning_rate, load_params, training
from ilt.stages._stage import ORDER, package_versions, stage_named

__all__ = ["notes", "plan_files", "resolve"]


def resolve(params: Params) -> Resolved:
    """Return the parameters with the facts of their model. Raises IltError where there is no such model."""
    return Resolved(params, model_info(params.model))


def plan_files(resolved: Resolved) -> dict[str, dict[str, Any]]:
    """Return the content of each plan file, by its path below `data/plan` without the suffix."""
    files = {}
    for name in ORDER[1:]:
        stage = stage_named(name)
        codes: dict[tuple[str, ...], str] = {}  # most iterations choose the same modules
        for iteration in resolved.order if stage.iterated else ["base"]:
            plan = stage.resolve(resolved, iteration)
            chosen = plan.chosen_modules()
            codes[chosen] = codes.get(chosen) or stage.code(plan)
            content = {"parameters": plan.model_dump(mode="json", by_alias=True), "code": codes[chosen]}
            files[f"{iteration}/{name}" if stage.iterated else name] = content
    return files


def _without_effect(params: Params) -> list[str]:
    """Return the keys of stage sections that every iteration overrides, so that they change nothing."""

    def leaves(section: Mapping[str, Any], at: str = "") -> list[str]:
        return [
            leaf
            for key, value in section.items()
            for leaf in (leaves(value, f"{at}{key}.") if isinstance(value, dict) else [f"{at}{key}"])
        ]

    written = {stage: getattr(params, stage) for stage in TRAINING_STAGES}
    written |= {
        stage: getattr(params, stage).model_dump(exclude_unset=True)
        for stage in ("label", "select", "correct", "evaluate")
        if stage in params.model_fields_set
    }
    return [
        f"{stage}.{leaf}"
        for stage, section in written.items()
        for leaf in leaves(section)
        if all(leaf in leaves(entry.get(stage) or {}) for entry in params.iterations.values())
    ]


def _ignored(resolved: Resolved) -> list[str]:
    """Return a line for each value that other parameters leave without effect, or nearly so."""
    params = resolved.params
    lines = [
        f"corpus.{name} has no effect: corpus.source is {params.corpus.source}"
        for name in ("manifest", "sources")
        if getattr(params.corpus, name) and params.corpus.source != name
    ]
    if params.model.prompts and resolved.model.family == "whisper":
        lines.append("model.prompts has no effect: whisper takes none")
    focuses = {"focus": params.focus} | {
        f"iterations.{name}.focus": entry.get("focus") or {} for name, entry in params.iterations.items()
    }
    lines += [
        f"{at}.gold_share has no effect: focus has gold alone"
        for at, section in focuses.items()
        if section.get("gold_share", 1.0) != 1.0
    ]
    for iteration, stage in ((name, stage) for name in resolved.order for stage in TRAINING_STAGES):
        train, at = training(params, iteration, stage), f"iterations.{iteration}.{stage}"
        if train.steps == 0 or resolved.skip_reason(iteration, stage):
            continue
        if train.gold_share == 0:
            lines.append(f"{at}: gold_share is 0, so that it trains on pseudo-labels alone, with all of their errors")
        if train.steps is not None and train.evaluations > train.steps:
            lines.append(f"{at}: of {train.evaluations} evaluations, {train.steps} are made, one a step")
        if train.steps is not None and train.average > max(1, train.steps // 2):
            lines.append(f"{at}: average is {train.average}, and the second half has {max(1, train.steps // 2)} steps")
    return lines


def _changed_versions() -> list[str]:
    """Return a line for each package of which a stage ran with another version than the one here."""
    here = package_versions()
    other: dict[tuple[str, str], list[str]] = {}
    for path in sorted(paths.ITERATIONS.glob("*/costs/*.json")):
        for name, old in paths.read_json(path).get("versions", {}).items():
            if here.get(name, old) != old:
                other.setdefault((name, old), []).append(f"{path.parts[-3]}.{path.stem}")
    return [
        f"{name} is {here[name]} here, and was {old} when {stages[0]} ran"
        + (f" and {len(stages) - 1} more stages" if len(stages) > 1 else "")
        + "; nothing is rerun for it, and last digits may differ"
        for (name, old), stages in other.items()
    ]


def notes(resolved: Resolved) -> list[str]:
    """Return what a person should know of these parameters: defaults that were taken, keys without effect."""
    params, lines = resolved.params, []
    if params.train.get("learning_rate") is None:
        rate, source = default_learning_rate(resolved.model.width)
        lines.append(f"train.learning_rate: {rate:g} ({source})")
    if ignored := _without_effect(params):
        lines.append(f"without effect, since every iteration has its own value: {', '.join(ignored)}")
    return lines + _ignored(resolved) + _changed_versions()


def write_plan() -> list[str]:
    """Write all plan files. Returns `notes`. Raises IltError for wrong parameters; then nothing is written."""
    resolved = resolve(load_params())
    files = plan_files(resolved)
    with paths.replacing(paths.DATA / "plan") as temporary:
        for name, content in files.items():
            paths.write_json(temporary / f"{name}.json", content)
    return notes(resolved)


def main() -> None:
    try:
        for line in write_plan():
            print(f"  {line}")
    except IltError as error:
        print(f"ERROR: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
