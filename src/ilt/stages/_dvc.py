"""dvc.yaml, rendered from the declarations of the stages."""

from __future__ import annotations

from importlib import resources
from typing import Any

from ilt import paths
from ilt.stages._stage import ORDER, Stage, stage_named

__all__ = ["render"]

ITERATION, PREVIOUS = "${key}", "${item.prev}"
"""DVC's templates for the names of an iteration and of the one before it."""

HEADER = """\
# plan -> sources -> corpus -> baseline -> evaluate_base -> report
#      -> (intake -> focus -> label -> select -> feedback -> correct -> fix -> predict -> evaluate)@it1, it2, ... ->
# Rendered by the package from its stages (`ilt upgrade` renders it again); say parameters in params.yaml, not here.
# A stage depends on data, and on its plan in data/plan: its parameters, and a digest of the code that decides.
"""


def _block(stage: Stage[Any], indent: str) -> list[str]:
    it, prev = (ITERATION, PREVIOUS) if stage.iterated else ("base", "base")
    deps = [paths.plan(stage.name, it if stage.iterated else None), *stage.inputs(it, prev)]
    outs = [*stage.outputs(it, prev), *([paths.costs(it, stage.name)] if stage.costed else [])]
    lines = [f"desc: {stage.description}"] if stage.description else []
    lines.append(f"cmd: python -m {stage.module}" + (f" {it}" if stage.iterated else ""))
    if stage.always:
        lines.append("always_changed: true")
    lines += ["deps:", *(f"  - {path.as_posix()}" for path in deps)]
    lines += ["outs:", *(f"  - {path.as_posix()}" for path in outs if path not in stage.metrics)]
    for path in stage.metrics[1:]:
        lines += [f"  - {path.as_posix()}:", "      cache: false"]
    if stage.metrics:
        lines += ["metrics:", f"  - {stage.metrics[0].as_posix()}:", "      cache: false"]
    return [indent + line for line in lines]


def render() -> str:
    """Return the text of dvc.yaml: the same for every project."""
    lines = [
        HEADER,
        "stages:",
        "  plan:",
        "    desc: What decides each stage, from params.yaml and the code; looked at on every run.",
        "    cmd: python -m ilt.stages.plan",
        "    always_changed: true",
        "    params:",
        "      - params.yaml:",
        "    outs:",
        "      - data/plan",
    ]
    for name in ORDER[1:]:
        stage = stage_named(name)
        lines += ["", f"  {name}:"]
        if stage.iterated:
            lines += ["    foreach: ${iterations}", "    do:", *_block(stage, "      ")]
        else:
            lines += _block(stage, "    ")
    plots = (resources.files("ilt.stages") / "plots.yaml").read_text(encoding="utf-8")
    return "\n".join(lines) + "\n\n" + plots
