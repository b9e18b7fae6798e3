"""Judging a label table: calibrate on dev, flag, decide, let people win. Used by select and correct."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from ilt import paths
from ilt.corpus.table import POOL_REFERENCE_TABLE
from ilt.errors import IltError
from ilt.evaluation.scoring import utterance_errors
from ilt.labels.calibration import LEAST_DEV, calibrate
from ilt.labels.selection import apply_corrections, decide, evidence_flags
from ilt.labels.table import CORRECTIONS_TABLE
from ilt.params import SelectParams

__all__ = ["judge", "oracle_of"]


def oracle_of(iteration: str, params: SelectParams) -> pl.DataFrame | None:
    """What was really said in the pool, for method `oracle` alone."""
    if params.method != "oracle":
        return None
    return POOL_REFERENCE_TABLE.read(paths.intake_reference(iteration))


def _with_true_error(frame: pl.DataFrame, references: pl.DataFrame | None, normaliser: str) -> pl.DataFrame:
    """Add `true_error` of pool rows, from what was really said."""
    truth = POOL_REFERENCE_TABLE.empty() if references is None else references
    joined = frame.join(truth.select("id", _said="text"), on="id", how="left", maintain_order="left")
    unknown = joined.filter(pl.col("split") == "pool", pl.col("_said").is_null())["id"]
    if len(unknown):
        raise IltError(
            f"select.method=oracle: {len(unknown)} pool rows have no reference, for example {unknown[0]!r}; "
            "give corpus.pool_reference, or choose select.method=calibrated"
        )
    said = joined["_said"].fill_null("").to_list()
    error = utterance_errors(said, joined["text"].to_list(), joined["language"].to_list(), normaliser)
    return frame.with_columns(true_error=pl.Series(error))


def judge(
    frame: pl.DataFrame,
    utterances: pl.LazyFrame,
    params: SelectParams,
    keep: float,
    max_expected_error: float,
    normaliser: str,
    keep_by_language: Mapping[str, float] | None = None,
    references: pl.DataFrame | None = None,
) -> tuple[pl.DataFrame, dict[str, Any]]:
    """A label table with expected errors and decisions, and a report.

    The calibrator is fitted on the table's dev rows, whose truth is in `utterances`. references: `id` and
    `text` of pool rows, which method `oracle` alone may see. Raises IltError where dev has no rows to
    calibrate on, and where the oracle does not know a row.
    """
    known = utterances.filter(pl.col("split") == "dev").select("id", "speaker", reference="text").collect()
    dev = frame.filter(pl.col("split") == "dev").join(known, on="id").sort("id")
    if len(dev) < LEAST_DEV:
        raise IltError(
            f"dev has {len(dev)} rows; {LEAST_DEV} at least are needed to calibrate expected errors"
        )
    truth = utterance_errors(
        dev["reference"].to_list(), dev["text"].to_list(), dev["language"].to_list(), normaliser
    )
    judged = frame.filter(pl.col("split") != "gold")
    calibration = calibrate(dev, truth, judged)
    judged = judged.with_columns(expected_error=pl.Series(calibration.expected).round(6))
    judged = evidence_flags(judged, params)
    if params.method == "oracle":
        judged = _with_true_error(judged, references, normaliser)
    judged = decide(
        judged, params.method, keep, max_expected_error, params.min_rows, params.relevance_weight,
        keep_by_language,
    )  # fmt: skip
    people = CORRECTIONS_TABLE.read(paths.CORRECTIONS)
    judged = apply_corrections(judged.drop("true_error", strict=False), people)
    result = pl.concat([judged, frame.filter(pl.col("split") == "gold")], how="diagonal_relaxed").sort("id")
    pool = result.filter(pl.col("split") == "pool")
    chosen = pool.filter(pl.col("selected"))
    if not len(chosen):
        flags = pool["flags"].explode().drop_nulls().unique().sort().to_list()
        raise IltError(
            f"nothing was selected of {len(pool)} pool rows; the best expected error is "
            f"{pool['expected_error'].to_numpy().min():.3f}: raise max_expected_error or min_rows, "
            f"or look at the flags ({', '.join(flags) or 'none'})"
        )
    return result, {
        "calibration": calibration.report,
        "pool": len(pool),
        "selected": len(chosen),
        "selected_by_language": dict(sorted(chosen.group_by("language").len().iter_rows())),
        "expected_error": {
            "pool": round(float(pool["expected_error"].mean()), 4),  # type: ignore[arg-type]
            "selected": round(float(chosen["expected_error"].mean()), 4),  # type: ignore[arg-type]
        },
        "flags": dict(sorted(pool["flags"].explode().drop_nulls().value_counts().iter_rows())),
    }
