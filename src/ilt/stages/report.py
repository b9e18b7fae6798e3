"""report: gather what the iterations measured into small files that git keeps.

In: data/plan/report.json (which iterations there are, in order), data/evaluations, data/costs.
Out: data/metrics/summary.json, metrics.json (flat `final.*` and `best.*`), history.csv (a row an iteration),
costs.json.
"""

from __future__ import annotations

from typing import Any

import polars as pl

from ilt import paths
from ilt.stages._stage import Stage, run_stage

SPLITS = ("test", "dev", "retention")
LABEL_KEYS = ("pool_error", "selected_error", "selected_share", "corrected_error")


def _summary(found: dict[str, Any]) -> dict[str, Any]:
    entry: dict[str, Any] = {
        split: {key: found[split][key] for key in ("micro", "macro", "unnormalised", "by_language")}
        for split in SPLITS
    }
    labels = found.get("labels", {})
    entry["labels"] = {key: labels.get(key) for key in LABEL_KEYS} | {
        key: value for key, value in labels.items() if key not in LABEL_KEYS
    }
    zero = {"micro": 0.0, "low": 0.0, "high": 0.0}
    entry["gain"] = found.get("gain", zero)
    entry["gain_over_previous"] = found.get("gain_over_previous", zero)
    entry["train_dev_gap"] = found["train_dev_gap"]
    return entry


def _history(summary: dict[str, Any]) -> pl.DataFrame:
    rows = []
    for number, (iteration, entry) in enumerate(summary.items()):
        rows.append(
            {
                "number": number,
                "iteration": iteration,
                **{split: entry[split]["micro"] for split in SPLITS},
                "test_macro": entry["test"]["macro"],
                "train_dev_gap": entry["train_dev_gap"],
                **{key: entry["labels"].get(key) for key in LABEL_KEYS},
            }
        )
    return pl.DataFrame(rows)


def _costs(iterations: list[str], stages: list[str]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for iteration, names in [("base", ["baseline"]), *((it, stages) for it in iterations)]:
        files = {name: paths.costs(iteration, name) for name in names}
        result[iteration] = {name: paths.read_json(path) for name, path in files.items() if path.is_file()}
    return result


def body(stage: Stage) -> None:
    iterations = stage.values["iterations"]
    summary = {name: _summary(paths.read_json(paths.evaluation(name))) for name in ("base", *iterations)}
    best = min(summary, key=lambda name: summary[name]["dev"]["micro"])
    flat: dict[str, Any] = {"best": {"iteration": best}, "final": {"iteration": iterations[-1]}}
    for key in ("best", "final"):
        entry = summary[flat[key]["iteration"]]
        flat[key] |= {split: entry[split]["micro"] for split in SPLITS} | {
            "test_macro": entry["test"]["macro"]
        }
    with paths.replacing(paths.METRICS / "history.csv") as temporary:
        _history(summary).write_csv(temporary)
    paths.write_json(paths.METRICS / "metrics.json", flat)
    paths.write_json(paths.METRICS / "costs.json", _costs(iterations, stage.values["stages"]))
    # In the order of the iterations, not of the alphabet: people read this file.
    paths.write_json(paths.SUMMARY, summary, sort_keys=False)


if __name__ == "__main__":
    run_stage("report", body, iterated=False, costed=False)
