"""The assessment of one model: error rates, gains with intervals, the true quality of its labels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl

from ilt.errors import IltError
from ilt.evaluation.scoring import frame_errors, gain_interval, rate, rates

__all__ = ["assess_labels", "assess_predictions", "compare"]

SPLITS = ("dev", "test", "retention")


def assess_predictions(frame: pl.DataFrame, normaliser: str) -> dict[str, Any]:
    """Rates on each split, and the train-dev gap (dev minus gold: how much was learnt by heart)."""
    result: dict[str, Any] = {
        split: rates(frame.filter(pl.col("split") == split), normaliser) for split in ("gold", *SPLITS)
    }
    for split in ("gold", "dev", "test"):
        if not result[split]["utterances"]:
            raise IltError(f"there are no {split} utterances, so that the result would be meaningless")
        if not math.isfinite(result[split]["micro"]):
            raise IltError(f"the error rate on {split} is not a number")
    result["train_dev_gap"] = round(result["dev"]["micro"] - result["gold"]["micro"], 6)
    return result


def _counts(frame: pl.DataFrame, normaliser: str, split: str) -> tuple[np.ndarray, np.ndarray]:
    rows = frame.filter(pl.col("split") == split).sort("id")
    return frame_errors(rows, "reference", "hypothesis", normaliser)


def compare(
    before: pl.DataFrame, after: pl.DataFrame, normaliser: str, samples: int, seed: int, split: str = "test"
) -> dict[str, float]:
    """The gain on a split of one prediction table over another, with a paired bootstrap interval."""
    counts = [_counts(frame, normaliser, split) for frame in (before, after)]
    return gain_interval(counts[0], counts[1], samples, seed)


def _error(frame: pl.DataFrame, normaliser: str) -> float | None:
    if not len(frame):
        return None
    return round(rate(*frame_errors(frame, "truth", "text", normaliser)), 6)


def assess_labels(
    references: pl.DataFrame, tables: dict[str, pl.DataFrame], normaliser: str
) -> dict[str, float | None]:
    """The true error of labels, where it is known what was said.

    tables: label tables `pseudo`, `selected`, `fixed`, as far as there are. Returns fractions:
    pool_error (of all pseudo-labels), selected_error, selected_share, selected_exact (share of selected
    labels without an error: the precision of the selection), corrected_error, corrected_share and
    all_corrected_error (of all labels after correction). None where there is no reference.
    """
    truth = references.select("id", truth="text")
    found: dict[str, float | None] = {}
    joined = {
        name: table.filter(pl.col("split") == "pool", pl.col("text").is_not_null())
        .join(truth, on="id", how="inner")
        .sort("id")
        for name, table in tables.items()
    }
    if "pseudo" in joined:
        found["pool_error"] = _error(joined["pseudo"], normaliser)
    for name, prefix in (("selected", "selected"), ("corrected", "corrected")):
        if name not in joined:
            continue
        chosen = joined[name].filter(pl.col("selected"))
        found[f"{prefix}_error"] = _error(chosen, normaliser)
        pool = tables[name].filter(pl.col("split") == "pool")
        found[f"{prefix}_share"] = round(float(pool["selected"].sum()) / max(1, len(pool)), 6)
        if len(chosen):
            errors, _ = frame_errors(chosen, "truth", "text", normaliser)
            found[f"{prefix}_exact"] = round(float((errors == 0).mean()), 6)
    if "corrected" in joined:
        found["all_corrected_error"] = _error(joined["corrected"], normaliser)
    return found
