"""feedback: train a fresh LoRA, over everything before it merged, on gold and selected pseudo-labels.

In: the lineage after focus, the utterances that take part, the label table `selected`. Out, in
data/iterations/<it>: adapters/feedback, lineage.feedback.json, and details/feedback.json.
"""

from __future__ import annotations

from ilt import paths
from ilt.stages._stage import Run, Stage, run_stage
from ilt.stages._train_plan import TrainPlan, resolver
from ilt.stages._training import train_or_skip


def body(run: Run[TrainPlan]) -> None:
    train_or_skip(run, start=paths.lineage(run.iteration, "focus"), labels=paths.labels(run.iteration, "selected"))


STAGE = Stage(
    name="feedback",
    plan=TrainPlan,
    resolve=resolver("feedback"),
    inputs=lambda it, prev: [
        paths.lineage(it, "focus"),
        paths.labels(it, "selected"),
        paths.stop(prev),
        paths.intake(it),
    ],
    outputs=lambda it, _: [
        paths.adapter(it, "feedback"),
        paths.lineage(it, "feedback"),
        paths.details(it, "feedback"),
    ],
    body=body,
)

if __name__ == "__main__":
    run_stage(STAGE)
