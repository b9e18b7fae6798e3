"""predict: decode the labelled splits with the model that an iteration leaves.

In: the lineage after fix, the utterances that take part, the base's predictions as of the iteration before. Out,
in data/iterations/<it>: predictions.parquet, and base_predictions.parquet, in which languages that begin here are
decoded with the base too.
"""

from __future__ import annotations

import polars as pl

from ilt import paths
from ilt.asr.families import FAMILIES
from ilt.params import RecogniserParams, Resolved
from ilt.stages._skip import skip_predictions, skip_reason
from ilt.stages._stage import Plan, Run, Stage, run_stage


class PredictPlan(Plan):
    """prev: the iteration before."""

    prev: str
    model: RecogniserParams

    def chosen_modules(self) -> tuple[str, ...]:
        return (FAMILIES.module(str(self.model.family)),)


def resolve(resolved: Resolved, iteration: str) -> PredictPlan:
    skip = resolved.skip_reason(iteration, "predict")
    return PredictPlan(skip=skip, prev=resolved.prev(iteration), model=resolved.recogniser(iteration))


def body(run: Run[PredictPlan]) -> None:
    plan = run.plan
    if reason := skip_reason(plan.prev, plan.skip):
        skip_predictions(run, plan.prev, reason)
        return
    # Late, so that a stage that is skipped need not wait for torch.
    from ilt.asr.families import load_recogniser
    from ilt.asr.features import FeatureStore
    from ilt.asr.lineage import read_lineage
    from ilt.asr.predict import predict
    from ilt.corpus.intake import read_intake
    from ilt.labels.table import PREDICTION_TABLE

    start = paths.lineage(run.iteration)
    utterances, lineage = read_intake(run.iteration), read_lineage(start)
    recogniser = load_recogniser(lineage, plan.model)
    store = FeatureStore(utterances, recogniser.extractor)
    work = run.work(start, paths.intake(run.iteration))
    PREDICTION_TABLE.write(predict(recogniser, utterances, store, plan.model, work), paths.predictions(run.iteration))
    base = PREDICTION_TABLE.read(paths.base_predictions(plan.prev))
    new = utterances.filter(~pl.col("language").is_in(base["language"].unique().implode()))
    if len(new):
        print(f"  the base on {', '.join(new['language'].unique().sort())}, which begin here")
        recogniser = load_recogniser(lineage.base, plan.model)
        more = predict(recogniser, new, store, plan.model, work, "base")
        base = pl.concat([PREDICTION_TABLE.conform(part) for part in (base, more)]).sort("id")
    PREDICTION_TABLE.write(base, paths.base_predictions(run.iteration))


STAGE = Stage(
    name="predict",
    plan=PredictPlan,
    resolve=resolve,
    inputs=lambda it, prev: [
        paths.lineage(it),
        paths.predictions(prev),
        paths.base_predictions(prev),
        paths.stop(prev),
        paths.intake(it),
    ],
    outputs=lambda it, _: [paths.predictions(it), paths.base_predictions(it)],
    body=body,
)

if __name__ == "__main__":
    run_stage(STAGE)
