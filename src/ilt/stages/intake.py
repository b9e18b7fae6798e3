"""intake: the utterances that take part in an iteration, so that a language can be added from one of them on.

In: the utterance table, the pool reference. Out, in data/iterations/<it>: intake.parquet (without audio) and
pool_reference.parquet. Both stay as they are, byte for byte, when a language is added that begins in a later
iteration (`languages.CODE.from`).
"""

from __future__ import annotations

import polars as pl

from ilt import paths
from ilt.corpus.checks import check_corpus
from ilt.corpus.intake import write_intake
from ilt.errors import IltError
from ilt.params import CorrectParams, Resolved, SelectParams, per_language_stages
from ilt.stages._stage import Plan, Run, Stage, run_stage


class IntakePlan(Plan):
    """absent: languages that do not take part yet. budgets: languages with a budget of their own, by stage.

    replay: whether the split `replay` is needed. own_steps: of each training stage in which every language trains an
    adapter of its own, null where its length goes by epochs.
    """

    absent: list[str]
    budgets: dict[str, list[str]]
    replay: bool
    own_steps: dict[str, int | None]


def resolve(resolved: Resolved, iteration: str) -> IntakePlan:
    budgets = {
        "select": sorted(resolved.section(iteration, "select", SelectParams).keep_by_language),
        "correct": sorted(resolved.section(iteration, "correct", CorrectParams).keep_by_language),
    }
    own_steps = {
        stage: resolved.training(iteration, stage).steps for stage in per_language_stages(resolved.params.adapter.scope)
    }
    replay = resolved.params.mixture.replay_share > 0
    return IntakePlan(absent=resolved.absent(iteration), budgets=budgets, replay=replay, own_steps=own_steps)


def _check(rows: pl.DataFrame, plan: IntakePlan, iteration: str) -> None:
    """Raise IltError for parameters that speak of utterances that do not exist."""
    codes = set(rows["language"])
    problems = [
        f"{name}.keep_by_language: {code!r} does not take part in {iteration}; {', '.join(sorted(codes))} do"
        for name, budgets in plan.budgets.items()
        for code in budgets
        if code not in codes
    ]
    if plan.replay and not (rows["split"] == "replay").any():
        problems.append(
            "mixture.replay_share: there are no utterances of the split `replay`; give some, or say "
            "mixture.replay_share: 0"
        )
    gold = set(rows.filter(pl.col("split") == "gold")["language"])
    problems += [
        f"{stage}.steps: {steps} in {iteration} cannot be shared by the adapters of {len(gold)} languages "
        f"(adapter.scope); say {len(gold)} or more, or 0 to skip the stage"
        for stage, steps in plan.own_steps.items()
        if steps and steps < len(gold)
    ]
    if problems:
        raise IltError("parameters do not fit the corpus:\n" + "\n".join(f"  {line}" for line in problems))


def body(run: Run[IntakePlan]) -> None:
    absent = run.plan.absent
    rows = write_intake(run.iteration, absent)
    check_corpus(rows)
    _check(rows, run.plan, run.iteration)
    print(f"  {len(rows)} utterances" + (f"; not yet: {', '.join(absent)}" if absent else ""))


STAGE = Stage(
    name="intake",
    plan=IntakePlan,
    resolve=resolve,
    inputs=lambda _, __: [paths.UTTERANCES, paths.POOL_REFERENCE],
    outputs=lambda it, _: [paths.intake(it), paths.intake_reference(it)],
    body=body,
    costed=False,
    description="Utterances that take part; a language that begins later leaves earlier iterations as they are.",
)

if __name__ == "__main__":
    run_stage(STAGE)
