"""label: transcribe the pool (and dev, for calibration) with the focus model, keeping all evidence.

In: the lineage after focus, the utterances that take part, the label table `fixed` of the iteration before.
Out: data/labels/<it>/pseudo.parquet; nothing is decided yet.
"""

from __future__ import annotations

import polars as pl

from ilt import paths
from ilt.asr.languages import say_taken_for
from ilt.asr.lineage import read_lineage
from ilt.corpus.intake import read_intake
from ilt.labels.table import LABEL_TABLE
from ilt.params import LabelParams, ModelParams
from ilt.stages._left_out import pass_labels, why_left_out
from ilt.stages._stage import Stage, run_stage


def body(stage: Stage) -> None:
    if why := why_left_out(stage):
        earlier = paths.labels(stage.values["prev"], "fixed")
        pass_labels(stage, earlier, paths.labels(stage.iteration, "pseudo"), why, details=False)
        return
    # Late, so that a stage that passes need not wait for torch.
    from ilt.asr.features import FeatureStore
    from ilt.asr.recogniser import load_recogniser
    from ilt.labels.labelling import gold_rows, label_rows, undecided

    model = stage.section("model", ModelParams)
    start, before = paths.lineage(stage.iteration, "focus"), paths.labels(stage.values["prev"], "fixed")
    utterances = read_intake(stage.iteration)
    recogniser = load_recogniser(read_lineage(start), model)
    store = FeatureStore(utterances, recogniser.extractor, model.feature_cache_mb)
    rows = label_rows(
        recogniser, utterances, LABEL_TABLE.read(before), store, stage.section("label", LabelParams), model,
        stage.seed, stage.work(start, before, paths.intake(stage.iteration)),
    )  # fmt: skip
    rows = undecided(rows.with_columns(source=pl.lit("pseudo")), recogniser.lineage.hash)
    frame = pl.concat([LABEL_TABLE.conform(part) for part in (rows, gold_rows(utterances))])
    frame = frame.with_columns(iteration=pl.lit(stage.iteration), stage=pl.lit(stage.name))
    frame = say_taken_for(frame, model.languages)
    LABEL_TABLE.write(frame, paths.labels(stage.iteration, "pseudo"))


if __name__ == "__main__":
    run_stage("label", body)
