"""baseline: decode with the untouched base, which is iteration 0.

In: the identity of the base, the utterances that take part from the start. Out, in data/iterations/base:
predictions.parquet (and base_predictions.parquet, the same, which iterations add languages to), and
labels/corrected.parquet, its transcript of the pool (without texts where `baseline.pool` is false).
"""

from __future__ import annotations

import polars as pl

from ilt import paths
from ilt.asr.families import FAMILIES
from ilt.params import RecogniserParams, Resolved
from ilt.stages._stage import Plan, Run, Stage, run_stage


class BaselinePlan(Plan):
    """model: with the audio context of `baseline`. pool: whether the pool is decoded."""

    model: RecogniserParams
    pool: bool

    def chosen_modules(self) -> tuple[str, ...]:
        return (FAMILIES.module(str(self.model.family)),)


def resolve(resolved: Resolved, _: str) -> BaselinePlan:
    baseline = resolved.params.baseline
    model = resolved.recogniser("base").model_copy(update={"audio_context": baseline.audio_context})
    return BaselinePlan(model=model, pool=baseline.pool)


def body(run: Run[BaselinePlan]) -> None:
    from ilt.asr.batching import Batching
    from ilt.asr.families import load_recogniser
    from ilt.asr.features import FeatureStore
    from ilt.asr.languages import note_language_alias
    from ilt.asr.lineage import read_lineage
    from ilt.asr.predict import predict
    from ilt.asr.transcribe import Decoding, transcribe_table
    from ilt.corpus.intake import read_intake
    from ilt.labels.table import LABEL_TABLE, PREDICTION_TABLE

    model, lineage = run.plan.model, read_lineage(paths.lineage("base"))
    utterances = read_intake("base")
    recogniser = load_recogniser(lineage, model)
    store = FeatureStore(utterances, recogniser.extractor)
    work = run.work(paths.intake("base"), also=lineage.hash)
    predictions = predict(recogniser, utterances, store, model, work)
    rows = utterances.filter(pl.col("split").is_in(["pool", "dev"])).sort("id")
    rows = rows.select("id", "language", "split", "duration")
    if run.plan.pool:
        pool = rows.filter(pl.col("split") == "pool")
        hypotheses = transcribe_table(recogniser, pool, store, Decoding(Batching.of(model)), work, "pool")
        dev = predictions.select("id", "avg_logprob", text="hypothesis")
        texts = pl.concat([hypotheses.drop("embedding"), dev], how="diagonal")
        rows = rows.join(texts, on="id", how="left", maintain_order="left")
    not_decoded = "dropped: not decoded with the base (baseline.pool)"
    labels = rows.with_columns(
        iteration=pl.lit("base"),
        stage=pl.lit(run.name),
        source=pl.lit("pseudo"),
        selected=pl.lit(False),
        flags=pl.lit([], pl.List(pl.String)),
        reason=pl.lit("dropped: the base's labels are only compared with" if run.plan.pool else not_decoded),
        lineage=pl.lit(lineage.hash),
    )
    LABEL_TABLE.write(note_language_alias(labels, model.languages), paths.labels("base", "corrected"))
    for path in (paths.predictions("base"), paths.base_predictions("base")):
        PREDICTION_TABLE.write(predictions, path)


STAGE = Stage(
    name="baseline",
    plan=BaselinePlan,
    resolve=resolve,
    inputs=lambda _, __: [paths.intake("base"), paths.lineage("base")],
    outputs=lambda _, __: [
        paths.predictions("base"),
        paths.base_predictions("base"),
        paths.labels("base", "corrected"),
    ],
    body=body,
    iterated=False,
)

if __name__ == "__main__":
    run_stage(STAGE)
