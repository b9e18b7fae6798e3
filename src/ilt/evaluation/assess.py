"""Assessment of one model: error rates, gains with intervals, the true quality of its labels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl

from ilt.errors import IltError
from ilt.evaluation.scoring import frame_errors, gain_interval, rate, rates

__all__ = ["SPLITS", "assess_labels", "assess_predictions", "compare"]

SPLITS = ("dev", "test", "retention")


def assess_predictions(frame: pl.DataFrame, normaliser: str) -> dict[str, Any]:
    """Return the rates on each split, and `train_dev_gap`: error on dev minus error on gold.

    Raises IltError where gold, dev or test has no utterances, or a rate is not a number.
    """
    scores: dict[str, Any] = {
        split: rates(frame.filter(pl.col("split") == split), normaliser) for split in ("gold", *SPLITS)
    }
    for split in ("gold", "dev", "test"):
        if not scores[split]["utterances"]:
            raise IltError(f"{split} has no utterances, so that the result would be meaningless; add some")
        if not math.isfinite(scores[split]["micro"]):
            raise IltError(f"the error rate on {split} is not a number")
    scores["train_dev_gap"] = round(scores["dev"]["micro"] - scores["gold"]["micro"], 6)
    return scores


def _counts(frame: pl.DataFrame, normaliser: str, split: str) -> tuple[np.ndarray, np.ndarray]:
    rows = frame.filter(pl.col("split") == split).sort("id")
    return frame_errors(rows, "reference", "hypothesis", normaliser)


def compare(
    before: pl.DataFrame, after: pl.DataFrame, normaliser: str, samples: int, seed: int, split: str = "test"
) -> dict[str, float]:
    """Return the gain on a split of one prediction table over another: see `ilt.evaluation.scoring.gain_interval`.

    before, after: of the same utterances.
    """
    counts = [_counts(frame, normaliser, split) for frame in (before, after)]
    return gain_interval(counts[0], counts[1], samples, seed)


def _error(frame: pl.DataFrame, normaliser: str) -> float | None:
    if not len(frame):
        return None
    return round(rate(*frame_errors(frame, "truth", "text", normaliser)), 6)


def assess_labels(
    references: pl.DataFrame, tables: dict[str, pl.DataFrame], normaliser: str
) -> dict[str, float | None]:
    """Return the true error of pool labels, as fractions; None where no row has a reference.

    references: `id` and `text`. tables: the label tables `pseudo`, `selected` and `corrected`, or some of them.
    The result has pool_error (all pseudo-labels); selected_error, selected_share and selected_exact (share of
    selected labels without an error: the precision of the selection); the same three for `corrected`; and
    all_corrected_error (all labels after correction).
    """
    truth = references.select("id", truth="text")
    pools = {name: table.filter(pl.col("split") == "pool") for name, table in tables.items()}
    known = {
        name: pool.filter(pl.col("text").is_not_null()).join(truth, on="id", how="inner").sort("id")
        for name, pool in pools.items()
    }
    quality: dict[str, float | None] = {}
    if "pseudo" in known:
        quality["pool_error"] = _error(known["pseudo"], normaliser)
    for name in ("selected", "corrected"):
        if name not in known:
            continue
        chosen = known[name].filter(pl.col("selected"))
        quality[f"{name}_error"] = _error(chosen, normaliser)
        quality[f"{name}_share"] = round(float(pools[name]["selected"].sum()) / max(1, len(pools[name])), 6)
        if len(chosen):
            errors, _ = frame_errors(chosen, "truth", "text", normaliser)
            quality[f"{name}_exact"] = round(float((errors == 0).mean()), 6)
    if "corrected" in known:
        quality["all_corrected_error"] = _error(known["corrected"], normaliser)
    return quality
