"""evaluate: score the model that an iteration leaves, and audit the labels that it was trained on.

In: predictions of the iteration, of the one before and of the base, the label tables, and the pool reference,
which only audits read. Out, in data/iterations/<it>: evaluation.json, and stop.json, the early-stopping decision.
The gain over the iteration before is on what both were scored on.
"""

from __future__ import annotations

from ilt import paths
from ilt.corpus.table import POOL_REFERENCE_TABLE
from ilt.evaluation.assess import assess_labels, assess_predictions, compare
from ilt.evaluation.figures import interval
from ilt.evaluation.stopping import stop_reason
from ilt.labels.table import LABEL_TABLE, PREDICTION_TABLE
from ilt.params import EvaluateParams, Resolved, StopParams
from ilt.stages._skip import skip_reason, stopped
from ilt.stages._stage import Plan, Run, Stage, run_stage

TABLES = ("pseudo", "selected", "corrected")


class EvaluatePlan(Plan):
    """seed: of the bootstrap. prev: the iteration before."""

    seed: int
    prev: str
    evaluate: EvaluateParams
    stop: StopParams


def resolve(resolved: Resolved, iteration: str) -> EvaluatePlan:
    return EvaluatePlan(
        skip=resolved.skip_reason(iteration, "evaluate"),
        seed=resolved.params.seed,
        prev=resolved.prev(iteration),
        evaluate=resolved.section(iteration, "evaluate", EvaluateParams),
        stop=resolved.params.stop,
    )


def _skip(run: Run[EvaluatePlan], prev: str, reason: str) -> None:
    """Write the scores of the iteration before, which gained nothing on itself."""
    nothing = {"micro": 0.0, "low": 0.0, "high": 0.0}
    scores = paths.read_json(paths.evaluation(prev)) | {"gain_over_previous": nothing, "skipped": reason}
    paths.write_json(paths.evaluation(run.iteration), scores)
    paths.write_json(paths.stop(run.iteration), {"why": stopped(prev)})
    print(f"  skipped: {reason}")


def body(run: Run[EvaluatePlan]) -> None:
    plan, stop, iteration = run.plan, run.plan.stop, run.iteration
    if reason := skip_reason(plan.prev, plan.skip):
        _skip(run, plan.prev, reason)
        return
    normaliser, samples = plan.evaluate.normaliser, plan.evaluate.bootstrap
    predictions = PREDICTION_TABLE.read(paths.predictions(iteration))
    tables = {name: LABEL_TABLE.read(paths.labels(iteration, name)) for name in TABLES}
    references = POOL_REFERENCE_TABLE.read(paths.intake_reference(iteration))
    scores = assess_predictions(predictions, normaliser)
    scores["labels"] = assess_labels(references, tables, normaliser)
    base, previous = (
        PREDICTION_TABLE.read(path) for path in (paths.base_predictions(iteration), paths.predictions(plan.prev))
    )
    if len(base) > len(PREDICTION_TABLE.read(paths.predictions("base"))):  # languages have begun since
        scores["base"] = assess_predictions(base, normaliser)
    for key, earlier in (("gain", base), ("gain_over_previous", previous)):
        both = predictions.join(earlier, on="id", how="semi")
        scores[key] = compare(earlier, both, normaliser, samples, plan.seed)
    paths.write_json(paths.evaluation(iteration), scores)
    gain = scores["gain_over_previous"]
    if stop.split != "test":
        both = predictions.join(previous, on="id", how="semi")
        gain = compare(previous, both, normaliser, samples, plan.seed, stop.split)
    why = stop_reason(iteration, gain, stop.min_gain, stop.split)
    paths.write_json(paths.stop(iteration), {"why": why})
    if why:
        print(f"  {why}")
    print(
        f"  test error {scores['test']['micro']:.1%}, gain over {plan.prev} "
        f"{interval(scores['gain_over_previous'])} points; `ilt summary` shows costs and more"
    )


STAGE = Stage(
    name="evaluate",
    plan=EvaluatePlan,
    resolve=resolve,
    inputs=lambda it, prev: [
        paths.predictions(it),
        paths.base_predictions(it),
        paths.predictions("base"),
        paths.predictions(prev),
        paths.evaluation(prev),
        *(paths.labels(it, name) for name in TABLES),
        paths.stop(prev),
        paths.intake_reference(it),
    ],
    outputs=lambda it, _: [paths.evaluation(it), paths.stop(it)],
    body=body,
    costed=False,
)

if __name__ == "__main__":
    run_stage(STAGE)
