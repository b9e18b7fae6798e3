"""correct: re-decode with the feedback model and repair the labels by voting, rules and people.

In: the lineage after feedback, the label table `selected`, the utterances that take part, corrections by people.
Out, in data/iterations/<it>: labels/corrected.parquet, details/correct.json. Rows that stay doubtful are dropped,
rows that have become sure are taken in; each has its reason, and what was done to its label.
"""

from __future__ import annotations

import polars as pl

from ilt import paths
from ilt.asr.families import FAMILIES
from ilt.labels.rules import RULES
from ilt.params import (
    CorrectParams,
    LabelParams,
    RecogniserParams,
    Resolved,
    SelectParams,
    corrected_selection,
    stage_seed,
)
from ilt.stages._skip import skip_labels, skip_reason
from ilt.stages._stage import Plan, Run, Stage, run_stage


class CorrectPlan(Plan):
    """seed: of the perturbed decode. select: its limits, with the budget of `correct`."""

    seed: int
    prev: str
    normaliser: str
    model: RecogniserParams
    label: LabelParams
    select: SelectParams
    vote: bool

    def chosen_modules(self) -> tuple[str, ...]:
        return (FAMILIES.module(str(self.model.family)), RULES.module(self.select.method))


def resolve(resolved: Resolved, iteration: str) -> CorrectPlan:
    return CorrectPlan(
        skip=resolved.skip_reason(iteration, "correct"),
        seed=stage_seed(resolved.params.seed, iteration, "correct"),
        prev=resolved.prev(iteration),
        normaliser=resolved.params.evaluate.normaliser,
        model=resolved.recogniser(iteration),
        label=resolved.section(iteration, "label", LabelParams),
        select=corrected_selection(resolved.params, iteration),
        vote=resolved.section(iteration, "correct", CorrectParams).vote,
    )


def body(run: Run[CorrectPlan]) -> None:
    plan = run.plan
    before, after = (paths.labels(run.iteration, name) for name in ("selected", "corrected"))
    if reason := skip_reason(plan.prev, plan.skip):
        skip_labels(run, plan.prev, before, after, reason)
        return
    # Late, so that a stage that is skipped need not wait for torch.
    from ilt.asr.batching import Batching
    from ilt.asr.families import load_recogniser
    from ilt.asr.features import FeatureStore
    from ilt.asr.languages import note_language_alias
    from ilt.asr.lineage import read_lineage
    from ilt.corpus.intake import read_intake
    from ilt.labels.correction import choose_weights, repair
    from ilt.labels.labelling import Labelling, gold_rows, label_rows, undecided, with_text_evidence
    from ilt.labels.selection import calibrate_and_select, oracle_references
    from ilt.labels.table import LABEL_TABLE

    start = paths.lineage(run.iteration, "feedback")
    utterances, labels = read_intake(run.iteration), LABEL_TABLE.read(before)
    recogniser = load_recogniser(read_lineage(start), plan.model)
    store = FeatureStore(utterances, recogniser.extractor)
    labelling = Labelling(plan.label, Batching.of(plan.model), plan.seed, plan.model.languages)
    work = run.work(start, before, paths.intake(run.iteration))
    decoded = label_rows(recogniser, utterances, labels, store, labelling, work)
    weights: dict[str, float] | None = None
    tried: dict[str, float] = {}
    if plan.vote:
        truth = utterances.filter(pl.col("split") == "dev").select("id", reference="text")
        weights, tried = choose_weights(decoded, labels, truth, plan.normaliser, plan.model.languages)
    repaired = with_text_evidence(repair(decoded, labels, weights, plan.model.languages), plan.model.languages)
    actions = repaired.select("id", "action")
    repaired = undecided(repaired, recogniser.lineage.hash)
    frame = pl.concat([LABEL_TABLE.conform(part) for part in (repaired, gold_rows(utterances))])
    frame, report = calibrate_and_select(
        frame, utterances.lazy(), plan.select, plan.normaliser, oracle_references(run.iteration, plan.select)
    )
    machine = (pl.col("split") == "pool") & (pl.col("source") != "human")
    frame = frame.join(actions, on="id", how="left").with_columns(
        reason=pl.when(machine).then(pl.format("{}; {}", "reason", "action")).otherwise("reason"),
        iteration=pl.lit(run.iteration),
        stage=pl.lit(run.name),
    )
    frame = note_language_alias(frame, plan.model.languages)
    LABEL_TABLE.write(frame, after)
    pool = frame.filter(pl.col("split") == "pool")
    report["vote"] = {"weights": weights, "dev_error_by_previous_weight": tried}
    report["sources"] = dict(sorted(pool.group_by("source").len().iter_rows()))
    paths.write_json(paths.details(run.iteration, run.name), report)
    print(f"  kept {report['selected']} of {report['pool']}; {report['sources']}")


STAGE = Stage(
    name="correct",
    plan=CorrectPlan,
    resolve=resolve,
    inputs=lambda it, prev: [
        paths.lineage(it, "feedback"),
        paths.labels(it, "selected"),
        paths.stop(prev),
        paths.intake(it),
        paths.intake_reference(it),
        paths.CORRECTIONS,
    ],
    outputs=lambda it, _: [paths.labels(it, "corrected"), paths.details(it, "correct")],
    body=body,
)

if __name__ == "__main__":
    run_stage(STAGE)
