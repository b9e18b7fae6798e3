"""feedback: train a fresh LoRA, over everything before it merged, on gold and selected pseudo-labels.

In: the lineage after focus, the utterances that take part, the label table `selected`.
Out: data/adapters/<it>/feedback, its lineage, and data/details/<it>/feedback.json.
"""

from __future__ import annotations

from ilt import paths
from ilt.stages._left_out import train_or_pass
from ilt.stages._stage import Stage, run_stage


def body(stage: Stage) -> None:
    train_or_pass(
        stage, start=paths.lineage(stage.iteration, "focus"), labels=paths.labels(stage.iteration, "selected")
    )


if __name__ == "__main__":
    run_stage("feedback", body)
