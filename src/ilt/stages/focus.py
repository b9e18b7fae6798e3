"""focus: adapt gently to the domain with a fresh LoRA on gold.

In: the lineage that the iteration before left, the utterances that take part. Out, in data/iterations/<it>:
adapters/focus, lineage.focus.json, and details/focus.json.
"""

from __future__ import annotations

from ilt import paths
from ilt.stages._stage import Run, Stage, run_stage
from ilt.stages._train_plan import TrainPlan, resolver
from ilt.stages._training import train_or_skip


def body(run: Run[TrainPlan]) -> None:
    train_or_skip(run, start=paths.lineage(run.plan.prev), labels=None)


STAGE = Stage(
    name="focus",
    plan=TrainPlan,
    resolve=resolver("focus"),
    inputs=lambda it, prev: [paths.lineage(prev), paths.stop(prev), paths.intake(it)],
    outputs=lambda it, _: [
        paths.adapter(it, "focus"),
        paths.lineage(it, "focus"),
        paths.details(it, "focus"),
    ],
    body=body,
)

if __name__ == "__main__":
    run_stage(STAGE)
