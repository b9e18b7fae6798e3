"""report: gather what the iterations measured into small files that git keeps, and a page for people.

In: data/plan/report.json (which iterations there are, in order), data/evaluations, data/details, data/labels,
data/costs, data/predictions, the utterance table (for the sound of examples), the pool reference. Out, in
data/metrics: summary.json, metrics.json (flat `final.*` and `best.*`, what `dvc exp show` shows),
history.csv, funnel.csv, calibration.csv and churn.csv (for `dvc plots`), costs.json; in data/report:
index.html, report.md and its pictures.
"""

from __future__ import annotations

from typing import Any

import polars as pl

from ilt import paths
from ilt.report.gather import gather
from ilt.report.plots import calibration, churn, funnel, history
from ilt.report.summary import SPLITS, costs_in, summarise
from ilt.report.write import write_report
from ilt.stages._stage import Stage, run_stage


def _flat(summary: dict[str, Any], final: str) -> dict[str, Any]:
    """The few columns of `dvc exp show`."""
    best = min(summary, key=lambda name: summary[name]["dev"]["micro"])
    labels = {key: summary[final]["labels"][key] for key in ("pool_error", "selected_error")}
    return {
        "final": {**{split: summary[final][split]["micro"] for split in SPLITS}, **labels},
        "best": {
            "iteration": best,
            "dev": summary[best]["dev"]["micro"],
            "test": summary[best]["test"]["micro"],
        },
    }


def body(stage: Stage) -> None:
    iterations: list[str] = stage.values["iterations"]
    previous = [(name, stage.values["previous"][name]) for name in iterations]
    summary = summarise(iterations)
    ran = [name for name in iterations if not summary[name].get("passed_through")]
    tables = {
        "history": history(summary, SPLITS),
        "funnel": funnel(iterations),
        "calibration": calibration(iterations),
        "churn": churn(previous),
    }
    costs = costs_in(iterations, stage.values["stages"])
    report = gather(stage.values, summary, tables, costs)
    for name, frame in tables.items():
        with paths.replacing(paths.METRICS / f"{name}.csv") as temporary:
            # Whoever plots a table can leave out what is a copy of the iteration before.
            frame.with_columns(passed=~pl.col("iteration").is_in(["base", *ran])).write_csv(temporary)
    # sort_keys: in the order of the iterations and of what matters, not of the alphabet: people read these.
    paths.write_json(paths.METRICS / "metrics.json", _flat(summary, iterations[-1]), sort_keys=False)
    paths.write_json(paths.METRICS / "costs.json", costs)
    paths.write_json(paths.SUMMARY, summary, sort_keys=False)
    write_report(report, paths.REPORT)
    print(f"  {paths.REPORT / 'index.html'}")


if __name__ == "__main__":
    run_stage("report", body, iterated=False, costed=False)
