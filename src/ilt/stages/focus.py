"""focus: adapt gently to the domain with a fresh LoRA on gold.

In: the lineage that the iteration before left, the utterances that take part. Out:
data/adapters/<it>/focus, its lineage, and data/details/<it>/focus.json.
"""

from __future__ import annotations

from ilt import paths
from ilt.stages._left_out import train_or_pass
from ilt.stages._stage import Stage, run_stage


def body(stage: Stage) -> None:
    train_or_pass(stage, start=paths.lineage(stage.values["prev"]), labels=None)


if __name__ == "__main__":
    run_stage("focus", body)
