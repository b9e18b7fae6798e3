"""Rank by true error, from the pool reference, as a perfect choice would: for comparison."""

from __future__ import annotations

import polars as pl

from ilt.labels.rules.rule import Rule

__all__ = ["RULE"]

RULE = Rule(lambda _: pl.col("true_error"), shown="true_error", needs_references=True)
