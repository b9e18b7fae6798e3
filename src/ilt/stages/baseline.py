"""baseline: the untouched base, as iteration 0: what it says on every split, and how wrong that is.

In: the model, the utterances that take part from the start, their pool reference. Out:
data/lineage/base.json, data/predictions/base.parquet (and the same as of_base/base.parquet, which iterations
add languages to), data/labels/base/fixed.parquet (its transcript of the pool), data/evaluations/base.json.
"""

from __future__ import annotations

import polars as pl

from ilt import paths
from ilt.asr.batching import Batching
from ilt.asr.features import FeatureStore
from ilt.asr.languages import say_taken_for
from ilt.asr.lineage import base_lineage
from ilt.asr.recogniser import load_recogniser
from ilt.asr.transcribe import transcribe_table
from ilt.corpus.intake import read_intake
from ilt.corpus.table import POOL_REFERENCE_TABLE
from ilt.errors import IltError
from ilt.evaluation.assess import assess_labels, assess_predictions
from ilt.evaluation.predict import predict
from ilt.labels.table import LABEL_TABLE, PREDICTION_TABLE
from ilt.params import EvaluateParams, ModelParams
from ilt.stages._stage import Stage, run_stage


def body(stage: Stage) -> None:
    model, params = stage.section("model", ModelParams), stage.section("evaluate", EvaluateParams)
    utterances = read_intake("base")
    lineage = base_lineage(model.id, model.revision)
    recogniser = load_recogniser(lineage, model)
    labelled = utterances.filter(pl.col("text").is_not_null())
    long = [key for key, text in labelled.select("id", "text").iter_rows() if not recogniser.fits(text)]
    if long:
        raise IltError(
            f"{len(long)} texts have more than the {recogniser.max_tokens} tokens that {model.id} can write, "
            f"for example {', '.join(long[:5])}: cut the utterances into shorter ones"
        )
    store = FeatureStore(utterances, recogniser.extractor, model.feature_cache_mb)
    work = stage.work(paths.intake("base"), also=lineage.hash)
    predictions = predict(recogniser, utterances, store, model, work)
    rows = utterances.filter(pl.col("split").is_in(["pool", "dev"])).sort("id")
    heard = transcribe_table(recogniser, rows, store, Batching.of(model), work, what="pool")
    labels = rows.select("id", "language", "split", "duration").with_columns(
        heard.drop("id", "embedding"),
        iteration=pl.lit("base"),
        stage=pl.lit(stage.name),
        source=pl.lit("pseudo"),
        selected=pl.lit(False),
        reason=pl.lit("dropped: the base's labels are only compared with"),
        lineage=pl.lit(lineage.hash),
    )
    LABEL_TABLE.write(say_taken_for(labels, model.languages), paths.labels("base", "fixed"))
    PREDICTION_TABLE.write(predictions, paths.predictions("base"))
    PREDICTION_TABLE.write(predictions, paths.base_predictions("base"))
    lineage.write(paths.lineage("base"))
    references = POOL_REFERENCE_TABLE.read(paths.intake_reference("base"))
    found = assess_predictions(predictions, params.normaliser)
    found["labels"] = assess_labels(references, {"pseudo": labels}, params.normaliser)
    paths.write_json(paths.evaluation("base"), found)
    paths.write_json(paths.stop("base"), {"why": None})
    print(f"  test error {found['test']['micro']:.1%}")


if __name__ == "__main__":
    run_stage("baseline", body, iterated=False)
