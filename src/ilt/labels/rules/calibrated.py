"""Rank by expected error, with a little weight on similarity to gold."""

from __future__ import annotations

import polars as pl

from ilt.labels.rules.rule import Rule
from ilt.params import SelectParams

__all__ = ["RULE"]


def _score(params: SelectParams) -> pl.Expr:
    # 0 for the row of its language that is most like gold, 1 for the least.
    distance = 1 - (pl.col("gold_similarity").rank() / pl.len()).over("language", "split")
    return pl.col("expected_error") + params.similarity_weight * distance.fill_null(0.5)


RULE = Rule(_score)
