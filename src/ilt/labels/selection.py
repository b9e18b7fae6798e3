"""Selection: which pseudo-labels are trained on, and why; every row says its reason."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from ilt import paths
from ilt.errors import IltError
from ilt.params import SelectParams

__all__ = ["apply_corrections", "decide", "evidence_flags"]

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


def decide(
    frame: pl.DataFrame,
    method: str,
    keep: float,
    max_expected_error: float,
    min_rows: int,
    relevance_weight: float,
    keep_by_language: Mapping[str, float] | None = None,
) -> pl.DataFrame:
    """Decide for every pool row; other rows pass through. Sets `selected` and `reason`.

    Within a language, rows without flags are ranked by expected error plus `relevance_weight` times how far
    they are from gold (0: the nearest row of the language, 1: the farthest). The best `keep` of the
    language's rows are its budget; of those, rows above `max_expected_error` are dropped, but each
    language keeps its best `min_rows`, so that none is starved. keep_by_language: other shares than `keep`.
    Method `oracle` does the same with a column `true_error`.
    """
    pool = pl.col("split") == "pool"
    share = pl.lit(keep)
    if keep_by_language:
        share = pl.col("language").replace_strict(
            dict(keep_by_language), default=keep, return_dtype=pl.Float64
        )
    flagged = pl.col("flags").list.len() > 0
    candidate = pool & ~flagged
    distance = 1 - (pl.col("relevance").rank() / pl.len()).over("language", "split")
    match method:
        case "calibrated":
            score = pl.col("expected_error") + relevance_weight * distance.fill_null(0.5)
        case "logprob":
            score = -pl.col("avg_logprob")
        case "oracle":
            score = pl.col("true_error")
        case _:
            score = pl.lit(0.0)
    everything = method == "all"
    frame = frame.with_columns(_score=pl.when(candidate).then(score))
    frame = frame.with_columns(
        _rank=pl.struct("_score", "id").rank("ordinal").over("language", pl.col("_score").is_null()),
        _budget=(pool.sum().over("language") * share).ceil().cast(pl.UInt32),
    )
    floor = pl.col("_rank") <= min_rows
    judged = "true_error" if method == "oracle" else "expected_error"
    good = pl.lit(True) if method == "logprob" else pl.col(judged) <= max_expected_error
    within = pl.col("_rank") <= pl.max_horizontal(pl.col("_budget"), pl.lit(min_rows))
    chosen = pool if everything else candidate & within & (good | floor)
    number, what = pl.col(judged).round(3).cast(pl.String), pl.lit(judged.replace("_", " "))
    limit = pl.lit(max_expected_error)
    place = pl.format("rank {} of the budget of {}", "_rank", "_budget")
    reason = (
        pl.when(~pool).then("reason")
        .when(pl.lit(everything)).then(pl.lit("kept: selection is off"))
        .when(flagged).then(pl.format("dropped: {}", pl.col("flags").list.join(", ")))
        .when(~within).then(pl.format("dropped: {}", place))
        .when(~(good | floor)).then(pl.format("dropped: {} {} is above {}", what, number, limit))
        .when(~good).then(pl.format("kept: among the best {} of {}", pl.lit(min_rows), "language"))
        .otherwise(pl.format("kept: {} {}, {}", what, number, place))
    )  # fmt: skip
    selected = pl.when(pool).then(chosen).otherwise("selected")
    return frame.with_columns(selected=selected, reason=reason).drop("_score", "_rank", "_budget")


def _check_corrections(corrections: pl.DataFrame) -> None:
    """Raise IltError for corrections that cannot be followed."""
    no_text = pl.col("text").fill_null("").str.strip_chars() == ""
    for wrong, what in (
        (pl.col("id").is_duplicated(), "has more than one row; keep the one that holds"),
        (~pl.col("verdict").is_in(VERDICTS), f"has a verdict that is none of {', '.join(VERDICTS)}"),
        ((pl.col("verdict") == "corrected") & no_text, "is corrected but has no text"),
    ):
        found = corrections.filter(wrong.fill_null(True))
        if len(found):
            raise IltError(f"{paths.CORRECTIONS}: {found['id'][0]!r} {what}")


def apply_corrections(frame: pl.DataFrame, corrections: pl.DataFrame) -> pl.DataFrame:
    """Let people win over any model: their text, or that a row is unusable. Only pool rows change."""
    _check_corrections(corrections)
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
