"""predict: decode the labelled splits with the model that an iteration leaves.

In: the lineage after fix, the utterances that take part, the base's predictions as of the iteration before. Out,
in data/iterations/<it>: predictions.parquet, and base_predictions.parquet, in which languages that begin here are
decoded with the base too.
"""

from __future__ import annotations

import polars as pl

from ilt import paths
from ilt.asr.families import FAMILIES
from ilt.errors import IltError
from ilt.params import RecogniserParams, Resolved
from ilt.stages._skip import skip_reason
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


def _skip(run: Run[PredictPlan], prev: str, reason: str) -> None:
    """Write the predictions of the iteration before.

    Raises IltError where a language begins with a skipped iteration: nobody would train or score it.
    """
    from ilt.corpus.intake import INTAKE_TABLE
    from ilt.evaluation.assess import SPLITS

    scored = set(pl.read_parquet(paths.predictions(prev), columns=["language"])["language"])
    wanted = INTAKE_TABLE.read(paths.intake(run.iteration)).filter(pl.col("split").is_in(SPLITS))
    if new := sorted(set(wanted["language"]) - scored):
        raise IltError(
            f"languages.{new[0]}.from: {run.iteration} is skipped ({reason}), and nothing would be trained on "
            f"{new[0]} or scored; let it begin in an iteration that runs, or let this one run (stop.min_gain: null)"
        )
    for where in (paths.predictions, paths.base_predictions):
        with paths.replacing(where(run.iteration)) as temporary:
            temporary.write_bytes(where(prev).read_bytes())
    print(f"  skipped: {reason}")


def body(run: Run[PredictPlan]) -> None:
    plan = run.plan
    if reason := skip_reason(plan.prev, plan.skip):
        _skip(run, plan.prev, reason)
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
