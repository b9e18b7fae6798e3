"""evaluate: score the model that an iteration leaves, and audit the labels that it was trained on.

In: the lineage after fix, the utterances that take part, the label tables, the predictions of the base and of
the iteration before, and the pool reference, which only auditing reads. Out: data/predictions/<it>.parquet,
data/evaluations/<it>.json, and data/predictions/of_base/<it>.parquet: what the base says of all that takes
part, so that the base is scored on a language when it begins. The gain over the iteration before is on what
both were scored on.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from ilt import paths
from ilt.asr.lineage import Lineage, read_lineage
from ilt.corpus.intake import read_intake
from ilt.corpus.table import POOL_REFERENCE_TABLE
from ilt.evaluation.assess import assess_labels, assess_predictions, compare
from ilt.evaluation.stopping import stop_reason
from ilt.figures import interval
from ilt.labels.table import LABEL_TABLE, PREDICTION_TABLE
from ilt.params import EvaluateParams, ModelParams, StopParams
from ilt.stages._left_out import pass_evaluation, why_left_out
from ilt.stages._stage import Stage, run_stage

if TYPE_CHECKING:
    from ilt.asr.features import FeatureStore


def _base(
    stage: Stage, utterances: pl.DataFrame, store: FeatureStore, model: ModelParams, work: Path
) -> pl.DataFrame:
    """What the base says of all that takes part: known from before, but for languages that begin here."""
    known = PREDICTION_TABLE.read(paths.base_predictions(stage.values["prev"]))
    new = utterances.filter(~pl.col("language").is_in(known["language"].unique().implode()))
    if not len(new):
        return known
    from ilt.asr.recogniser import load_recogniser
    from ilt.evaluation.predict import predict

    print(f"  the base on {', '.join(new['language'].unique().sort())}, which begin here")
    own = read_lineage(paths.lineage(stage.iteration))
    recogniser = load_recogniser(Lineage(own.id, own.revision, own.content), model)
    heard = predict(recogniser, new, store, model, work, "base")
    return pl.concat([PREDICTION_TABLE.conform(part) for part in (known, heard)]).sort("id")


def body(stage: Stage) -> None:
    if why := why_left_out(stage):
        pass_evaluation(stage, why)
        return
    # Late, so that a stage that passes need not wait for torch.
    from ilt.asr.features import FeatureStore
    from ilt.asr.recogniser import load_recogniser
    from ilt.evaluation.predict import predict

    model, params = stage.section("model", ModelParams), stage.section("evaluate", EvaluateParams)
    stopping = stage.section("stop", StopParams)
    start = paths.lineage(stage.iteration)
    utterances = read_intake(stage.iteration)
    recogniser = load_recogniser(read_lineage(start), model)
    store = FeatureStore(utterances, recogniser.extractor, model.feature_cache_mb)
    work = stage.work(start, paths.intake(stage.iteration))
    predictions = predict(recogniser, utterances, store, model, work)
    PREDICTION_TABLE.write(predictions, paths.predictions(stage.iteration))
    tables = {
        name: LABEL_TABLE.read(paths.labels(stage.iteration, name))
        for name in ("pseudo", "selected", "fixed")
    }
    found = assess_predictions(predictions, params.normaliser)
    found["labels"] = assess_labels(
        POOL_REFERENCE_TABLE.read(paths.intake_reference(stage.iteration)), tables, params.normaliser
    )
    base = _base(stage, utterances, store, model, work)
    PREDICTION_TABLE.write(base, paths.base_predictions(stage.iteration))
    previous = PREDICTION_TABLE.read(paths.predictions(stage.values["prev"]))
    if len(base) > len(PREDICTION_TABLE.read(paths.predictions("base"))):
        found["base"] = assess_predictions(base, params.normaliser)
    for key, earlier in (("gain", base), ("gain_over_previous", previous)):
        both = predictions.join(earlier, on="id", how="semi")
        found[key] = compare(earlier, both, params.normaliser, params.bootstrap, stage.values["seed"])
    paths.write_json(paths.evaluation(stage.iteration), found)
    gained = found["gain_over_previous"]
    if stopping.split != "test":
        both = predictions.join(previous, on="id", how="semi")
        gained = compare(
            previous, both, params.normaliser, params.bootstrap, stage.values["seed"], stopping.split
        )
    why = stop_reason(stage.iteration, gained, stopping.min_gain, stopping.split)
    paths.write_json(paths.stop(stage.iteration), {"why": why})
    if why:
        print(f"  {why}")
    print(
        f"  test error {found['test']['micro']:.1%}, gain over {stage.values['prev']} "
        f"{interval(found['gain_over_previous'])} points; `ilt summary` tells costs and more"
    )


if __name__ == "__main__":
    run_stage("evaluate", body)
