"""evaluate_base: score the untouched base.

In: its predictions, its labels, the pool reference. Out: data/iterations/base/evaluation.json and stop.json.
"""

from __future__ import annotations

from ilt import paths
from ilt.corpus.table import POOL_REFERENCE_TABLE
from ilt.evaluation.assess import assess_labels, assess_predictions
from ilt.labels.table import LABEL_TABLE, PREDICTION_TABLE
from ilt.params import Resolved
from ilt.stages._stage import Plan, Run, Stage, run_stage


class EvaluateBasePlan(Plan):
    normaliser: str


def resolve(resolved: Resolved, _: str) -> EvaluateBasePlan:
    return EvaluateBasePlan(normaliser=resolved.params.evaluate.normaliser)


def body(run: Run[EvaluateBasePlan]) -> None:
    normaliser = run.plan.normaliser
    scores = assess_predictions(PREDICTION_TABLE.read(paths.predictions("base")), normaliser)
    references = POOL_REFERENCE_TABLE.read(paths.intake_reference("base"))
    labels = LABEL_TABLE.read(paths.labels("base", "corrected"))
    scores["labels"] = assess_labels(references, {"pseudo": labels}, normaliser)
    paths.write_json(paths.evaluation("base"), scores)
    paths.write_json(paths.stop("base"), {"why": None})
    print(f"  test error {scores['test']['micro']:.1%}")


STAGE = Stage(
    name="evaluate_base",
    plan=EvaluateBasePlan,
    resolve=resolve,
    inputs=lambda _, __: [
        paths.predictions("base"),
        paths.labels("base", "corrected"),
        paths.intake_reference("base"),
    ],
    outputs=lambda _, __: [paths.evaluation("base"), paths.stop("base")],
    body=body,
    iterated=False,
    costed=False,
)

if __name__ == "__main__":
    run_stage(STAGE)
