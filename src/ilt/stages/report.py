"""report: gather what the iterations measured into small files that git keeps, and a page for people.

In: data/iterations (of which it reads those that params.yaml names), the utterance table (for the sound of
examples), the pool reference. Out, in data/metrics: summary.json, metrics.json (flat `final.*` and `best.*`, the
columns of `dvc exp show`), history.csv, funnel.csv, calibration.csv and churn.csv (for `dvc plots`), costs.json; in
data/report: index.html.
"""

from __future__ import annotations

from typing import Any

import polars as pl

from ilt import paths
from ilt.params import Resolved
from ilt.stages._stage import Plan, Run, Stage, run_stage

TABLES = ("history", "funnel", "calibration", "churn")


class ReportPlan(Plan):
    """iterations: in their order. previous: the iteration before each. seed, bootstrap: of the intervals.

    audio_contexts: of the base and of the iterations, as `model.audio_context` has them.
    """

    seed: int
    iterations: list[str]
    previous: dict[str, str]
    model_id: str
    audio_contexts: dict[str, str]
    mode: str
    normaliser: str
    bootstrap: int
    price_per_hour: float | None


def resolve(resolved: Resolved, _: str) -> ReportPlan:
    params = resolved.params
    return ReportPlan(
        seed=params.seed,
        iterations=resolved.order,
        previous={name: resolved.prev(name) for name in resolved.order},
        model_id=params.model.id,
        audio_contexts={"base": params.baseline.audio_context, "iterations": params.model.audio_context},
        mode=params.adapter.mode,
        normaliser=params.evaluate.normaliser,
        bootstrap=params.evaluate.bootstrap,
        price_per_hour=params.report.price_per_hour,
    )


def _flat(summary: dict[str, Any], final: str, splits: tuple[str, ...]) -> dict[str, Any]:
    """Return the few columns of `dvc exp show`."""
    best = min(summary, key=lambda name: summary[name]["dev"]["micro"])
    labels = {key: summary[final]["labels"][key] for key in ("pool_error", "selected_error")}
    return {
        "final": {**{split: summary[final][split]["micro"] for split in splits}, **labels},
        "best": {
            "iteration": best,
            "dev": summary[best]["dev"]["micro"],
            "test": summary[best]["test"]["micro"],
        },
    }


def body(run: Run[ReportPlan]) -> None:
    from ilt.report.gather import Settings, gather
    from ilt.report.page import write_report
    from ilt.report.plots import calibration, churn, funnel, history
    from ilt.report.summary import SPLITS, costs_in, summarise

    plan = run.plan
    iterations = plan.iterations
    summary = summarise(iterations)
    ran = [name for name in iterations if not summary[name].get("skipped")]
    tables = {
        "history": history(summary, SPLITS),
        "funnel": funnel(iterations),
        "calibration": calibration(iterations),
        "churn": churn([(name, plan.previous[name]) for name in iterations]),
    }
    costs = costs_in(iterations)
    report = gather(Settings(**plan.model_dump(exclude={"skip", "iterations"})), summary, tables, costs)
    for name, frame in tables.items():
        with paths.replacing(paths.METRICS / f"{name}.csv") as temporary:
            # Whoever plots a table can drop what is a copy of the iteration before.
            frame.with_columns(skipped=~pl.col("iteration").is_in(["base", *ran])).write_csv(temporary)
    # sort_keys: in the order of the iterations and of what matters, not of the alphabet: people read these.
    paths.write_json(paths.METRICS / "metrics.json", _flat(summary, iterations[-1], SPLITS), sort_keys=False)
    paths.write_json(paths.METRICS / "costs.json", costs)
    paths.write_json(paths.SUMMARY, summary, sort_keys=False)
    write_report(report, paths.REPORT)
    print(f"  {paths.REPORT / 'index.html'}")


METRICS = (
    paths.METRICS / "metrics.json",
    paths.METRICS / "costs.json",
    paths.SUMMARY,
    *(paths.METRICS / f"{name}.csv" for name in TABLES),
)

STAGE = Stage(
    name="report",
    plan=ReportPlan,
    resolve=resolve,
    inputs=lambda _, __: [paths.ITERATIONS, paths.UTTERANCES, paths.POOL_REFERENCE],
    outputs=lambda _, __: [paths.REPORT, *METRICS],
    body=body,
    iterated=False,
    costed=False,
    metrics=METRICS,
)

if __name__ == "__main__":
    run_stage(STAGE)
