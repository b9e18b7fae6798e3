"""Interface of a rule of selection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from ilt.params import SelectParams

__all__ = ["Rule"]


@dataclass(frozen=True)
class Rule:
    """Ranking of the rows of a language.

    score:            an expression over the label table, smaller is better.
    shown:            the column of errors that the reason names.
    limited:          whether rows above `max_expected_error`, in the column `shown`, are dropped.
    unfiltered:       whether every row is kept, flags and budget notwithstanding.
    needs_references: whether it needs the true texts of the pool, as a column `true_error`.
    """

    score: Callable[[SelectParams], pl.Expr]
    shown: str = "expected_error"
    limited: bool = True
    unfiltered: bool = False
    needs_references: bool = False
