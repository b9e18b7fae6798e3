"""label: transcribe the pool (and dev, for calibration) with the focus model, keeping all evidence.

In: the lineage after focus, the utterances that take part, the label table `corrected` of the iteration before.
Out: data/iterations/<it>/labels/pseudo.parquet; nothing is decided yet.
"""

from __future__ import annotations

import polars as pl

from ilt import paths
from ilt.asr.families import FAMILIES
from ilt.params import LabelParams, RecogniserParams, Resolved, stage_seed
from ilt.stages._skip import skip_labels, skip_reason
from ilt.stages._stage import Plan, Run, Stage, run_stage


class LabelPlan(Plan):
    """seed: of the perturbed decode. prev: the iteration before."""

    seed: int
    prev: str
    model: RecogniserParams
    label: LabelParams

    def chosen_modules(self) -> tuple[str, ...]:
        return (FAMILIES.module(str(self.model.family)),)


def resolve(resolved: Resolved, iteration: str) -> LabelPlan:
    return LabelPlan(
        skip=resolved.skip_reason(iteration, "label"),
        seed=stage_seed(resolved.params.seed, iteration, "label"),
        prev=resolved.prev(iteration),
        model=resolved.recogniser(iteration),
        label=resolved.section(iteration, "label", LabelParams),
    )


def body(run: Run[LabelPlan]) -> None:
    plan = run.plan
    start, before = paths.lineage(run.iteration, "focus"), paths.labels(plan.prev, "corrected")
    if reason := skip_reason(plan.prev, plan.skip):
        skip_labels(run, plan.prev, before, paths.labels(run.iteration, "pseudo"), reason)
        return
    # Late, so that a stage that is skipped need not wait for torch.
    from ilt.asr.batching import Batching
    from ilt.asr.families import load_recogniser
    from ilt.asr.features import FeatureStore
    from ilt.asr.languages import note_language_alias
    from ilt.asr.lineage import read_lineage
    from ilt.corpus.intake import read_intake
    from ilt.labels.labelling import Labelling, gold_rows, label_rows, undecided
    from ilt.labels.table import LABEL_TABLE

    utterances = read_intake(run.iteration)
    recogniser = load_recogniser(read_lineage(start), plan.model)
    store = FeatureStore(utterances, recogniser.extractor)
    labelling = Labelling(plan.label, Batching.of(plan.model), plan.seed, plan.model.languages)
    work = run.work(start, before, paths.intake(run.iteration))
    rows = label_rows(recogniser, utterances, LABEL_TABLE.read(before), store, labelling, work)
    rows = undecided(rows.with_columns(source=pl.lit("pseudo")), recogniser.lineage.hash)
    frame = pl.concat([LABEL_TABLE.conform(part) for part in (rows, gold_rows(utterances))])
    frame = frame.with_columns(iteration=pl.lit(run.iteration), stage=pl.lit(run.name))
    LABEL_TABLE.write(note_language_alias(frame, plan.model.languages), paths.labels(run.iteration, "pseudo"))


STAGE = Stage(
    name="label",
    plan=LabelPlan,
    resolve=resolve,
    inputs=lambda it, prev: [
        paths.lineage(it, "focus"),
        paths.labels(prev, "corrected"),
        paths.stop(prev),
        paths.intake(it),
    ],
    outputs=lambda it, _: [paths.labels(it, "pseudo")],
    body=body,
)

if __name__ == "__main__":
    run_stage(STAGE)
