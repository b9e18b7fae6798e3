"""Selection of pseudo-labels to train on; every row gets its reason. Used by select and correct."""

from __future__ import annotations

from typing import Any

import polars as pl

from ilt import paths
from ilt.corpus.table import POOL_REFERENCE_TABLE
from ilt.errors import IltError
from ilt.evaluation.scoring import utterance_errors
from ilt.labels.calibration import calibrate
from ilt.labels.rules import RULES
from ilt.labels.rules.rule import Rule
from ilt.labels.table import CORRECTIONS_TABLE
from ilt.params import LEAST_DEV, SelectParams

__all__ = [
    "apply_corrections",
    "calibrate_and_select",
    "check_corrections",
    "decide",
    "evidence_flags",
    "ignored_corrections",
    "oracle_references",
]

VERDICTS = ("accepted", "corrected", "unusable")


def evidence_flags(frame: pl.DataFrame, params: SelectParams) -> pl.DataFrame:
    """Add flags that depend on limits: too_slow, too_fast, repetitive, no_speech."""
    limits = {
        "too_slow": pl.col("chars_per_second") < params.min_chars_per_second,
        "too_fast": pl.col("chars_per_second") > params.max_chars_per_second,
        "repetitive": pl.col("compression_ratio") > params.max_compression_ratio,
        "no_speech": pl.col("no_speech_prob") > params.max_no_speech_prob,
    }
    more = pl.concat_list(
        pl.when(condition.fill_null(False)).then(pl.lit(name)).otherwise(pl.lit(None))
        for name, condition in limits.items()
    ).list.drop_nulls()
    return frame.with_columns(flags=pl.concat_list("flags", more))


def _reason(
    rule: Rule, params: SelectParams, flagged: pl.Expr, within: pl.Expr, good: pl.Expr, floor: pl.Expr
) -> pl.Expr:
    """Return the reason of each row of the pool, from the tests that it passed."""
    number, what = pl.col(rule.shown).round(3).cast(pl.String), pl.lit(rule.shown.replace("_", " "))
    limit = pl.lit(params.max_expected_error)
    place = pl.format("rank {} of the budget of {}", "_rank", "_budget")
    return (
        pl.when(pl.lit(rule.unfiltered)).then(pl.lit("kept: selection is off"))
        .when(flagged).then(pl.format("dropped: {}", pl.col("flags").list.join(", ")))
        .when(~within).then(pl.format("dropped: {}", place))
        .when(~(good | floor)).then(pl.format("dropped: {} {} is above {}", what, number, limit))
        .when(~good).then(pl.format("kept: among the best {} of {}", pl.lit(params.min_rows), "language"))
        .otherwise(pl.format("kept: {} {}, {}", what, number, place))
    )  # fmt: skip


def decide(frame: pl.DataFrame, rule: Rule, params: SelectParams) -> pl.DataFrame:
    """Decide for every pool row, others pass through: set `selected` and `reason`.

    Within a language, rows without flags are ranked by the rule. The best `keep` of the language's rows are its
    budget; of those, rows above `max_expected_error` are dropped, but each language keeps its best `min_rows`, so
    that none is starved.
    """
    pool = pl.col("split") == "pool"
    share = pl.lit(params.keep)
    if params.keep_by_language:
        share = pl.col("language").replace_strict(
            dict(params.keep_by_language), default=params.keep, return_dtype=pl.Float64
        )
    flagged = pl.col("flags").list.len() > 0
    candidate = pool & ~flagged
    frame = frame.with_columns(_score=pl.when(candidate).then(rule.score(params)))
    frame = frame.with_columns(
        _rank=pl.struct("_score", "id").rank("ordinal").over("language", pl.col("_score").is_null()),
        _budget=(pool.sum().over("language") * share).ceil().cast(pl.UInt32),
    )
    floor = pl.col("_rank") <= params.min_rows
    good = pl.col(rule.shown) <= params.max_expected_error if rule.limited else pl.lit(True)
    within = pl.col("_rank") <= pl.max_horizontal(pl.col("_budget"), pl.lit(params.min_rows))
    chosen = pool if rule.unfiltered else candidate & within & (good | floor)
    reason = pl.when(pool).then(_reason(rule, params, flagged, within, good, floor)).otherwise("reason")
    selected = pl.when(pool).then(chosen).otherwise("selected")
    return frame.with_columns(selected=selected, reason=reason).drop("_score", "_rank", "_budget")


def check_corrections(corrections: pl.DataFrame) -> None:
    """Raise IltError for corrections that cannot be followed."""
    no_text = pl.col("text").fill_null("").str.strip_chars() == ""
    for wrong, what in (
        (pl.col("id").is_duplicated(), "has more than one row; keep the one that holds"),
        (~pl.col("verdict").is_in(VERDICTS), f"has a verdict that is none of {', '.join(VERDICTS)}"),
        ((pl.col("verdict") == "corrected") & no_text, "is corrected but has no text"),
    ):
        rows = corrections.filter(wrong.fill_null(True))
        if len(rows):
            raise IltError(f"{paths.CORRECTIONS}: {rows['id'][0]!r} {what}")


def apply_corrections(frame: pl.DataFrame, corrections: pl.DataFrame) -> pl.DataFrame:
    """Apply what people decided over any model: their text, or that a row is unusable. Only pool rows change."""
    check_corrections(corrections)
    people = corrections.select("id", _text="text", _verdict="verdict", _by="reviewer")
    joined = frame.join(people, on="id", how="left", maintain_order="left")
    human = pl.col("_verdict").is_in(["accepted", "corrected"]) & (pl.col("split") == "pool")
    unusable = (pl.col("_verdict") == "unusable") & (pl.col("split") == "pool")
    by = pl.col("_by").fill_null("unknown")
    return joined.with_columns(
        text=pl.when(human).then(pl.coalesce("_text", "text")).otherwise("text"),
        source=pl.when(human).then(pl.lit("human")).otherwise("source"),
        expected_error=pl.when(human).then(0.0).otherwise("expected_error"),
        selected=pl.when(human).then(True).when(unusable).then(False).otherwise("selected"),
        reason=pl.when(human).then(pl.format("kept: {} by {}", "_verdict", by))
        .when(unusable).then(pl.format("dropped: unusable, says {}", by))
        .otherwise("reason"),
    ).drop("_text", "_verdict", "_by")  # fmt: skip


def ignored_corrections(frame: pl.DataFrame, corrections: pl.DataFrame) -> str | None:
    """Return a line on corrections of ids that are no pool rows of `frame`, or None where there are none.

    frame: with `id` and `split`; where a language begins later, its corrections count among them.
    """
    ids = corrections.join(frame.filter(pl.col("split") == "pool"), on="id", how="anti")["id"].sort()
    if not len(ids):
        return None
    return (
        f"{paths.CORRECTIONS}: {len(ids)} of {len(corrections)} corrections are ignored, as of {ids[0]!r}: "
        "these ids are not in the pool"
    )


def oracle_references(iteration: str, params: SelectParams) -> pl.DataFrame | None:
    """Return the true texts of the pool for a rule that asks for them, and None for all others."""
    if not RULES.load(params.method).needs_references:
        return None
    return POOL_REFERENCE_TABLE.read(paths.intake_reference(iteration))


def _with_true_error(frame: pl.DataFrame, references: pl.DataFrame | None, normaliser: str) -> pl.DataFrame:
    """Add `true_error` of pool rows, by their references. Raises IltError where one is missing."""
    truth = POOL_REFERENCE_TABLE.empty() if references is None else references
    joined = frame.join(truth.select("id", _reference="text"), on="id", how="left", maintain_order="left")
    unknown = joined.filter(pl.col("split") == "pool", pl.col("_reference").is_null())["id"]
    if len(unknown):
        raise IltError(
            f"select.method=oracle: {len(unknown)} pool rows have no reference, for example {unknown[0]!r}; "
            "give corpus.pool_reference, or choose select.method=calibrated"
        )
    true_texts = joined["_reference"].fill_null("").to_list()
    error = utterance_errors(true_texts, joined["text"].to_list(), joined["language"].to_list(), normaliser)
    return frame.with_columns(true_error=pl.Series(error))


def calibrate_and_select(
    frame: pl.DataFrame,
    utterances: pl.LazyFrame,
    params: SelectParams,
    normaliser: str,
    references: pl.DataFrame | None = None,
) -> tuple[pl.DataFrame, dict[str, Any]]:
    """Return a label table with expected errors and decisions, and a report.

    The calibrator is fitted on the table's dev rows, whose texts are in `utterances`. references: `id` and `text`
    of pool rows, for a rule that asks for them. Raises IltError where dev has too few rows to calibrate on, where
    nothing is selected, and where a reference is missing.
    """
    known = utterances.filter(pl.col("split") == "dev").select("id", "speaker", reference="text").collect()
    dev = frame.filter(pl.col("split") == "dev").join(known, on="id").sort("id")
    if len(dev) < LEAST_DEV:
        raise IltError(f"dev has {len(dev)} rows; {LEAST_DEV} at least are needed to calibrate expected errors")
    truth = utterance_errors(dev["reference"].to_list(), dev["text"].to_list(), dev["language"].to_list(), normaliser)
    rows = frame.filter(pl.col("split") != "gold")
    calibration = calibrate(dev, truth, rows)
    rows = rows.with_columns(expected_error=pl.Series(calibration.expected).round(6))
    rows = evidence_flags(rows, params)
    rule: Rule = RULES.load(params.method)
    if rule.needs_references:
        rows = _with_true_error(rows, references, normaliser)
    rows = decide(rows, rule, params).drop("true_error", strict=False)
    corrections = CORRECTIONS_TABLE.read(paths.CORRECTIONS)
    rows = apply_corrections(rows, corrections)
    if ignored := ignored_corrections(rows, corrections):
        print(f"  {ignored}")
    result = pl.concat([rows, frame.filter(pl.col("split") == "gold")], how="diagonal_relaxed").sort("id")
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
