"""Rank by mean token log-probability, as most recipes do: for comparison."""

from __future__ import annotations

import polars as pl

from ilt.labels.rules.rule import Rule

__all__ = ["RULE"]

RULE = Rule(lambda _: -pl.col("avg_logprob"), limited=False)
