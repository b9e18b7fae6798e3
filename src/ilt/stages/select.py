"""select: expected error by a calibrator fitted on dev, flags, budgets; a reason on every row.

In: the label table `pseudo`, the utterances that take part (dev texts), corrections by people. Out, in
data/iterations/<it>: labels/selected.parquet, details/select.json (reliability of the calibration).
"""

from __future__ import annotations

import polars as pl

from ilt import paths
from ilt.labels.rules import RULES
from ilt.params import Resolved, SelectParams
from ilt.stages._skip import skip_labels, skip_reason
from ilt.stages._stage import Plan, Run, Stage, run_stage


class SelectPlan(Plan):
    """prev: the iteration before. select: limits and budget."""

    prev: str
    normaliser: str
    language_alias: dict[str, str]
    select: SelectParams

    def chosen_modules(self) -> tuple[str, ...]:
        return (RULES.module(self.select.method),)


def resolve(resolved: Resolved, iteration: str) -> SelectPlan:
    return SelectPlan(
        skip=resolved.skip_reason(iteration, "select"),
        prev=resolved.prev(iteration),
        normaliser=resolved.params.evaluate.normaliser,
        language_alias=resolved.language_alias(iteration),
        select=resolved.section(iteration, "select", SelectParams),
    )


def body(run: Run[SelectPlan]) -> None:
    plan = run.plan
    before, after = (paths.labels(run.iteration, name) for name in ("pseudo", "selected"))
    if reason := skip_reason(plan.prev, plan.skip):
        skip_labels(run, plan.prev, before, after, reason)
        return
    # Late, so that a stage that is skipped need not wait for scikit-learn.
    from ilt.asr.languages import note_language_alias
    from ilt.corpus.intake import INTAKE_TABLE
    from ilt.labels.selection import calibrate_and_select, oracle_references
    from ilt.labels.table import LABEL_TABLE

    frame, report = calibrate_and_select(
        LABEL_TABLE.read(before), INTAKE_TABLE.scan(paths.intake(run.iteration)), plan.select,
        plan.normaliser, oracle_references(run.iteration, plan.select),
    )  # fmt: skip
    frame = note_language_alias(frame, plan.language_alias).with_columns(stage=pl.lit(run.name))
    LABEL_TABLE.write(frame, after)
    paths.write_json(paths.details(run.iteration, run.name), report)
    print(f"  selected {report['selected']} of {report['pool']}")


STAGE = Stage(
    name="select",
    plan=SelectPlan,
    resolve=resolve,
    inputs=lambda it, prev: [
        paths.labels(it, "pseudo"),
        paths.stop(prev),
        paths.intake(it),
        paths.intake_reference(it),
        paths.CORRECTIONS,
    ],
    outputs=lambda it, _: [paths.labels(it, "selected"), paths.details(it, "select")],
    body=body,
)

if __name__ == "__main__":
    run_stage(STAGE)
