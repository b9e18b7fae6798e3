"""fix: a short training at lower rank and learning rate, on gold and corrected labels.

In: the lineage after feedback, the utterances that take part, the label table `fixed`. Out:
data/adapters/<it>/fix, the lineage that the next iteration starts from, and data/details/<it>/fix.json.
"""

from __future__ import annotations

from ilt import paths
from ilt.stages._stage import Stage, run_stage
from ilt.stages._train import train_stage


def body(stage: Stage) -> None:
    train_stage(
        stage, start=paths.lineage(stage.iteration, "feedback"), labels=paths.labels(stage.iteration, "fixed")
    )


if __name__ == "__main__":
    run_stage("fix", body)
