"""The series that `dvc plots` draws: history over iterations, selection funnel, calibration, churn."""

from __future__ import annotations

from typing import Any

import polars as pl

from ilt import paths
from ilt.evaluation.comparison.compare import compare
from ilt.labels.table import LABEL_TABLE

__all__ = ["LABEL_KEYS", "calibration", "churn", "funnel", "history"]

LABEL_KEYS = ("pool_error", "selected_error", "selected_share", "corrected_error")


def history(summary: dict[str, Any], splits: tuple[str, ...]) -> pl.DataFrame:
    """A row an iteration, the base first: error rates and the true quality of labels, as fractions."""
    rows = [
        {
            "number": number,
            "iteration": iteration,
            **{split: entry[split]["micro"] for split in splits},
            "test_macro": entry["test"]["macro"],
            "train_dev_gap": entry["train_dev_gap"],
            **{key: entry["labels"].get(key) for key in LABEL_KEYS},
        }
        for number, (iteration, entry) in enumerate(summary.items())
    ]
    return pl.DataFrame(rows)


def funnel(iterations: list[str]) -> pl.DataFrame:
    """How many pool rows are left after each step of an iteration: columns iteration, step, rows."""
    rows = []
    for iteration in iterations:
        tables = {
            name: LABEL_TABLE.scan(paths.labels(iteration, name)).filter(pl.col("split") == "pool")
            for name in ("selected", "corrected")
        }
        clean = pl.col("flags").list.len() == 0
        steps = {
            "heard": tables["selected"],
            "without flags": tables["selected"].filter(clean),
            "selected": tables["selected"].filter("selected"),
            "kept after correction": tables["corrected"].filter("selected"),
            "decided by people": tables["corrected"].filter(pl.col("source") == "human"),
        }
        rows += [
            {
                "iteration": iteration,
                "step": f"{iteration} {step}",
                "rows": frame.select(pl.len()).collect().item(),
            }
            for step, frame in steps.items()
        ]
    return pl.DataFrame(rows)


def calibration(iterations: list[str]) -> pl.DataFrame:
    """Expected and true error on dev, out of fold, by bin: iteration, stage, rows, expected, observed."""
    schema = {
        "iteration": pl.String(), "stage": pl.String(), "rows": pl.Int64(), "expected": pl.Float64(),
        "observed": pl.Float64(),
    }  # fmt: skip
    rows = []
    for iteration in iterations:
        for stage in ("select", "correct"):
            told = paths.read_json(paths.details(iteration, stage))
            bins = told.get("calibration", {}).get("bins", [])  # a stage that was left out has none
            rows += [{"iteration": iteration, "stage": stage, **part, "observed": part["true"]} for part in bins]
    return pl.DataFrame(rows, schema=schema)


def churn(order: list[tuple[str, str]]) -> pl.DataFrame:
    """What changed in the fixed labels since the iteration before, for (iteration, previous) pairs.

    Columns: number, iteration, churn (share of rows that changed in text, decision or source), reworded
    (share with another text), moved (WER or CER between old and new texts of these).
    """
    rows = []
    for number, (iteration, previous) in enumerate(order, start=1):
        counts = compare(paths.labels(previous, "corrected"), paths.labels(iteration, "corrected"), limit=1).counts
        total = counts.drop("language").sum().row(0, named=True)
        rows.append(
            {
                "number": number,
                "iteration": iteration,
                "churn": round(total["changed"] / max(1, total["union"]), 6),
                "reworded": round(total["reworded"] / max(1, total["union"]), 6),
                "moved": round((total["edits"] or 0) / max(1, total["units"] or 0), 6),
            }
        )
    return pl.DataFrame(rows)
