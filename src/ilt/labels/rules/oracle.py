"""For comparison: rank by true error, from the pool reference: what a perfect choice would give."""

from __future__ import annotations

import polars as pl

from ilt.labels.rules.rule import Rule

__all__ = ["RULE"]

RULE = Rule(lambda _: pl.col("true_error"), shown="true_error", needs_references=True)
