"""fix: train a fresh LoRA on gold and corrected labels, to remove what the noise taught.

In: the lineage after feedback, the utterances that take part, the label table `corrected`. Out, in
data/iterations/<it>: adapters/fix, lineage.json, which the next iteration starts from, and details/fix.json.
"""

from __future__ import annotations

from ilt import paths
from ilt.stages._stage import Run, Stage, run_stage
from ilt.stages._train_plan import TrainPlan, resolver
from ilt.stages._training import train_or_skip


def body(run: Run[TrainPlan]) -> None:
    train_or_skip(run, start=paths.lineage(run.iteration, "feedback"), labels=paths.labels(run.iteration, "corrected"))


STAGE = Stage(
    name="fix",
    plan=TrainPlan,
    resolve=resolver("fix"),
    inputs=lambda it, prev: [
        paths.lineage(it, "feedback"),
        paths.labels(it, "corrected"),
        paths.stop(prev),
        paths.intake(it),
    ],
    outputs=lambda it, _: [
        paths.adapter(it, "fix"),
        paths.lineage(it, "fix"),
        paths.details(it, "fix"),
    ],
    body=body,
)

if __name__ == "__main__":
    run_stage(STAGE)
