"""correct: re-decode with the feedback model and repair the labels by voting, rules and people.

In: the lineage after feedback, the label table `selected`, the utterances that take part, corrections by
people. Out: data/labels/<it>/fixed.parquet, data/details/<it>/correct.json. Rows that stay doubtful are
dropped, rows that have become sure are taken in; each says why, and what was done to its label.
"""

from __future__ import annotations

import polars as pl

from ilt import paths
from ilt.asr.languages import say_taken_for
from ilt.asr.lineage import read_lineage
from ilt.corpus.intake import read_intake
from ilt.labels.correction import choose_weights, repair
from ilt.labels.judging import judge, oracle_of
from ilt.labels.table import LABEL_TABLE
from ilt.params import CorrectParams, LabelParams, ModelParams, SelectParams
from ilt.stages._left_out import pass_labels, why_left_out
from ilt.stages._stage import Stage, run_stage


def body(stage: Stage) -> None:
    if why := why_left_out(stage):
        before, after = (paths.labels(stage.iteration, name) for name in ("selected", "fixed"))
        pass_labels(stage, before, after, why)
        return
    # Late, so that a stage that passes need not wait for torch.
    from ilt.asr.features import FeatureStore
    from ilt.asr.recogniser import load_recogniser
    from ilt.labels.labelling import gold_rows, label_rows, undecided, with_text_evidence

    params, model = stage.section("correct", CorrectParams), stage.section("model", ModelParams)
    start, before = paths.lineage(stage.iteration, "feedback"), paths.labels(stage.iteration, "selected")
    utterances, labels = read_intake(stage.iteration), LABEL_TABLE.read(before)
    recogniser = load_recogniser(read_lineage(start), model)
    store = FeatureStore(utterances, recogniser.extractor, model.feature_cache_mb)
    decoded = label_rows(
        recogniser, utterances, labels, store, stage.section("label", LabelParams), model,
        stage.seed, stage.work(start, before, paths.intake(stage.iteration)),
    )  # fmt: skip
    weights: dict[str, float] | None = None
    tried: dict[str, float] = {}
    if params.vote:
        truth = utterances.filter(pl.col("split") == "dev").select("id", reference="text")
        weights, tried = choose_weights(decoded, labels, truth, stage.values["normaliser"])
    repaired = with_text_evidence(repair(decoded, labels, weights))
    actions = repaired.select("id", "action")
    repaired = undecided(repaired, recogniser.lineage.hash)
    frame = pl.concat([LABEL_TABLE.conform(part) for part in (repaired, gold_rows(utterances))])
    selecting = stage.section("select", SelectParams)
    frame, report = judge(
        frame, utterances.lazy(), selecting, params.keep, params.max_expected_error,
        stage.values["normaliser"], params.keep_by_language, oracle_of(stage.iteration, selecting),
    )  # fmt: skip
    machine = (pl.col("split") == "pool") & (pl.col("source") != "human")
    frame = frame.join(actions, on="id", how="left").with_columns(
        reason=pl.when(machine).then(pl.format("{}; {}", "reason", "action")).otherwise("reason"),
        iteration=pl.lit(stage.iteration),
        stage=pl.lit(stage.name),
    )
    frame = say_taken_for(frame, model.languages)
    LABEL_TABLE.write(frame, paths.labels(stage.iteration, "fixed"))
    pool = frame.filter(pl.col("split") == "pool")
    report["vote"] = {"weights": weights, "dev_error_by_previous_weight": tried}
    report["sources"] = dict(sorted(pool.group_by("source").len().iter_rows()))
    paths.write_json(paths.metrics(stage.iteration, "correct"), report)
    print(f"  kept {report['selected']} of {report['pool']}; {report['sources']}")


if __name__ == "__main__":
    run_stage("correct", body)
