"""fix: train a fresh LoRA on gold and corrected labels, to remove what the noise taught.

In: the lineage after feedback, the utterances that take part, the label table `fixed`. Out:
data/adapters/<it>/fix, the lineage that the next iteration starts from, and data/details/<it>/fix.json.
"""

from __future__ import annotations

from ilt import paths
from ilt.stages._left_out import train_or_pass
from ilt.stages._stage import Stage, run_stage


def body(stage: Stage) -> None:
    train_or_pass(
        stage, start=paths.lineage(stage.iteration, "feedback"), labels=paths.labels(stage.iteration, "fixed")
    )


if __name__ == "__main__":
    run_stage("fix", body)
