"""From evidence to expected error: a calibrator fitted on labelled dev rows.

Gradient-boosted trees, monotone in the evidence that has a known direction (more agreement can only lower
the expected error), small, since dev is small. Reliability is measured on folds that share no speaker.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

__all__ = ["EVIDENCE", "Calibration", "calibrate"]

EVIDENCE = {
    "avg_logprob": -1,
    "min_logprob": -1,
    "token_entropy": 1,
    "agreement": -1,
    "previous_agreement": -1,
    "no_speech_prob": 0,
    "detected_match": -1,
    "chars_per_second": 0,
    "compression_ratio": 0,
    "duration": 0,
}
"""Evidence columns, and the sign with which each moves the expected error (0: free)."""

FOLDS = 5
BINS = 5


@dataclass(frozen=True)
class Calibration:
    """Expected errors for all rows asked for, and how reliable they are (JSON-ready)."""

    expected: np.ndarray
    report: dict[str, Any]


def _matrix(frame: pl.DataFrame) -> np.ndarray:
    match = (pl.col("detected_language") == pl.col("language")).cast(pl.Float64)
    frame = frame.with_columns(
        detected_match=pl.when(match == 1)
        .then("detected_probability")
        .otherwise(-pl.col("detected_probability"))
    )
    return frame.select(pl.col(name).cast(pl.Float64) for name in EVIDENCE).to_numpy()


def _model(seed: int, rows: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingRegressor

    return HistGradientBoostingRegressor(
        max_iter=120,
        learning_rate=0.06,
        max_leaf_nodes=6,
        min_samples_leaf=max(5, min(20, rows // 12)),
        l2_regularization=1.0,
        monotonic_cst=list(EVIDENCE.values()),
        early_stopping=False,
        random_state=seed,
    )


def _folds(groups: list[str]) -> np.ndarray:
    """A fold for each row; rows of a group (a speaker) share one."""
    order = {name: number for number, name in enumerate(sorted(set(groups)))}
    return np.array([order[name] % FOLDS for name in groups])


def _reliability(expected: np.ndarray, true: np.ndarray) -> dict[str, Any]:
    order = np.argsort(expected, kind="stable")
    bins = [
        {
            "rows": len(part),
            "expected": round(float(expected[part].mean()), 4),
            "true": round(float(true[part].mean()), 4),
        }
        for part in np.array_split(order, min(BINS, len(order)))
    ]
    gap = sum(b["rows"] * abs(b["expected"] - b["true"]) for b in bins) / len(order)
    return {"bins": bins, "calibration_gap": round(float(gap), 4)}


def _kept_error(score: np.ndarray, true: np.ndarray, share: float = 0.5) -> float:
    kept = np.argsort(score, kind="stable")[: max(1, int(len(score) * share))]
    return round(float(true[kept].mean()), 4)


def calibrate(labelled: pl.DataFrame, true_error: np.ndarray, rows: pl.DataFrame, seed: int) -> Calibration:
    """Fit on labelled rows (evidence columns, `speaker`) and their true errors in [0, 1]; predict for `rows`.

    The report compares, out of fold, what would remain in the better half of the labelled rows if they
    were ranked by this calibrator, by mean log-probability, or by agreement alone.
    """
    features = _matrix(labelled)
    true = np.clip(true_error, 0.0, 1.0)
    speakers = [s if s is not None else i for s, i in zip(labelled["speaker"], labelled["id"], strict=True)]
    fold = _folds(speakers if len(set(speakers)) > 1 else labelled["id"].to_list())
    held_out = np.full(len(true), float(true.mean()))
    for number in sorted(set(fold.tolist())):
        rest, part = fold != number, fold == number
        if rest.any():
            fitted = _model(seed, int(rest.sum())).fit(features[rest], true[rest])
            held_out[part] = np.clip(fitted.predict(features[part]), 0.0, 1.0)
    model = _model(seed, len(true)).fit(features, true)
    expected = np.clip(model.predict(_matrix(rows)), 0.0, 1.0) if len(rows) else np.zeros(0)
    report = {
        "method": "monotone gradient-boosted trees on dev",
        "rows": len(true),
        "mean_error": round(float(true.mean()), 4),
        **_reliability(held_out, true),
        "better_half_error": {
            "calibrated": _kept_error(held_out, true),
            "avg_logprob": _kept_error(-labelled["avg_logprob"].fill_null(-99).to_numpy(), true),
            "agreement": _kept_error(-labelled["agreement"].fill_null(0).to_numpy(), true),
        },
    }
    return Calibration(expected, report)
