"""Series for `dvc plots`: history over iterations, selection funnel, calibration, churn."""

from __future__ import annotations

from typing import Any

import polars as pl

from ilt import paths
from ilt.evaluation.comparison.compare import Filters, compare
from ilt.report import pool
from ilt.report.errors import ALL

__all__ = ["LABEL_KEYS", "calibration", "churn", "funnel", "history"]

LABEL_KEYS = ("pool_error", "selected_error", "selected_share", "corrected_error")


def history(summary: dict[str, Any], splits: tuple[str, ...]) -> pl.DataFrame:
    """Return a row an iteration, the base first: error rates and the true quality of labels, as fractions."""
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
    """Return the pool rows left after each step of an iteration: columns iteration, step, rows."""
    rows = []
    for counts in pool.funnel(iterations).filter(language=ALL).iter_rows(named=True):
        steps = {
            "transcribed": counts["pool"],
            "without flags": counts["pool"] - counts["flagged"],
            "selected": counts["selected"],
            "kept after correction": counts["used"],
            "decided by people": counts["people"],
        }
        iteration = counts["iteration"]
        rows += [
            {"iteration": iteration, "step": f"{iteration} {step}", "rows": count} for step, count in steps.items()
        ]
    return pl.DataFrame(rows)


def calibration(iterations: list[str]) -> pl.DataFrame:
    """Return expected and true error on dev, out of fold, by bin: iteration, stage, rows, expected, observed."""
    schema = {
        "iteration": pl.String(), "stage": pl.String(), "rows": pl.Int64(), "expected": pl.Float64(),
        "observed": pl.Float64(),
    }  # fmt: skip
    rows = []
    for iteration in iterations:
        for stage in ("select", "correct"):
            details = paths.read_json(paths.details(iteration, stage))
            bins = details.get("calibration", {}).get("bins", [])  # a skipped stage has none
            rows += [{"iteration": iteration, "stage": stage, **part, "observed": part["true"]} for part in bins]
    return pl.DataFrame(rows, schema=schema)


def churn(order: list[tuple[str, str]]) -> pl.DataFrame:
    """Return the changes of the corrected labels since the iteration before, for (iteration, previous) pairs.

    Columns: number, iteration, churn (share of rows that changed in text, decision or source), reworded
    (share with another text), moved (WER or CER between old and new texts of these); null where the one before
    has no labels.
    """
    schema = {
        "number": pl.Int64(), "iteration": pl.String(), "churn": pl.Float64(), "reworded": pl.Float64(),
        "moved": pl.Float64(),
    }  # fmt: skip
    rows: list[dict[str, Any]] = []
    for number, (iteration, previous) in enumerate(order, start=1):
        rows.append({"number": number, "iteration": iteration})
        if not pool.has_labels(previous):
            continue
        before, after = (paths.labels(name, "corrected") for name in (previous, iteration))
        total = compare(before, after, filters=Filters(limit=1)).counts.drop("language").sum().row(0, named=True)
        rows[-1] |= {
            "churn": round(total["changed"] / max(1, total["union"]), 6),
            "reworded": round(total["reworded"] / max(1, total["union"]), 6),
            "moved": round((total["edits"] or 0) / max(1, total["units"] or 0), 6),
        }
    return pl.DataFrame(rows, schema=schema)
