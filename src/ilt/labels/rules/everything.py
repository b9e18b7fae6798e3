"""Keep every label, flagged ones too: for comparison."""

from __future__ import annotations

import polars as pl

from ilt.labels.rules.rule import Rule

__all__ = ["RULE"]

RULE = Rule(lambda _: pl.lit(0.0), unfiltered=True)
