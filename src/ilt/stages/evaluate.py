"""evaluate: score the model that an iteration leaves, and audit the labels that it was trained on.

In: the lineage after fix, the utterance table, the label tables, the predictions of the base and of the
iteration before, and the pool reference, which only auditing reads. Out: data/predictions/<it>.parquet,
data/evaluations/<it>.json.
"""

from __future__ import annotations

from ilt import paths
from ilt.asr.features import FeatureStore
from ilt.asr.lineage import read_lineage
from ilt.asr.recogniser import load_recogniser
from ilt.corpus.table import POOL_REFERENCE_TABLE, UTTERANCE_TABLE
from ilt.evaluation.assess import assess_labels, assess_predictions, compare
from ilt.evaluation.predict import predict
from ilt.evaluation.stopping import stop_reason
from ilt.labels.table import LABEL_TABLE, PREDICTION_TABLE
from ilt.params import EvaluateParams, ModelParams, StopParams
from ilt.stages._left_out import pass_evaluation, why_left_out
from ilt.stages._stage import Stage, run_stage


def body(stage: Stage) -> None:
    if why := why_left_out(stage):
        pass_evaluation(stage, why)
        return
    model, params = stage.section("model", ModelParams), stage.section("evaluate", EvaluateParams)
    stopping = stage.section("stop", StopParams)
    start = paths.lineage(stage.iteration)
    utterances = UTTERANCE_TABLE.read(paths.UTTERANCES)
    recogniser = load_recogniser(read_lineage(start), model)
    store = FeatureStore(utterances, recogniser.extractor, model.feature_cache_mb)
    predictions = predict(recogniser, utterances, store, model, stage.work(start, paths.UTTERANCES))
    PREDICTION_TABLE.write(predictions, paths.predictions(stage.iteration))
    tables = {
        name: LABEL_TABLE.read(paths.labels(stage.iteration, name))
        for name in ("pseudo", "selected", "fixed")
    }
    found = assess_predictions(predictions, params.normaliser)
    found["labels"] = assess_labels(
        POOL_REFERENCE_TABLE.read(paths.POOL_REFERENCE), tables, params.normaliser
    )
    for key, before in (("gain", "base"), ("gain_over_previous", stage.values["prev"])):
        earlier = PREDICTION_TABLE.read(paths.predictions(before))
        found[key] = compare(earlier, predictions, params.normaliser, params.bootstrap, stage.values["seed"])
    paths.write_json(paths.evaluation(stage.iteration), found)
    earlier = PREDICTION_TABLE.read(paths.predictions(stage.values["prev"]))
    gained = compare(
        earlier, predictions, params.normaliser, params.bootstrap, stage.values["seed"], stopping.split
    )
    why = stop_reason(stage.iteration, gained, stopping.min_gain, stopping.split)
    paths.write_json(paths.stop(stage.iteration), {"why": why})
    if why:
        print(f"  {why}")
    gain, error = found["gain_over_previous"]["micro"], found["test"]["micro"]
    print(f"  test error {error:.1%}, gain over {stage.values['prev']} {gain:+.1%}")


if __name__ == "__main__":
    run_stage("evaluate", body)
