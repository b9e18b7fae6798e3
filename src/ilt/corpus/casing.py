"""Casing of texts: a corpus that is in upper case throughout, as many Kaldi recipes write it, is put in lower case.

A pretrained model writes sentences. To it a word in upper case is a row of rare tokens, so that gold in upper case has
it learn to spell before it learns to hear.
"""

from __future__ import annotations

from typing import Literal

import polars as pl

from ilt.evaluation.normalise import lower_case

__all__ = ["with_case"]

UPPER_SHARE = 0.95
"""Share of upper case among the cased letters of texts that are in upper case throughout; some names slip through."""


def _is_upper(text: pl.Expr) -> pl.Expr:
    upper, lower = (text.str.count_matches(rf"\p{{{kind}}}").sum() for kind in ("Lu", "Ll"))
    return (upper > 0) & (upper >= UPPER_SHARE * (upper + lower))


def with_case(
    frame: pl.DataFrame, case: Literal["auto", "as_is", "lower"], by: tuple[str, ...]
) -> tuple[pl.DataFrame, list[str]]:
    """Return rows with their texts in the case of `corpus.case`, and the groups that `auto` put in lower case.

    frame: columns `text`, `language` and `by`. by: columns of a group whose texts are judged together.
    """
    if case == "as_is" or not len(frame):
        return frame, []
    chosen = pl.lit(True) if case == "lower" else _is_upper(pl.col("text")).over(*by)
    marked = frame.with_columns(_lower=chosen.fill_null(False) & pl.col("text").is_not_null())
    texts = [
        lower_case(text, language or "") if lower else text
        for text, language, lower in marked.select("text", "language", "_lower").iter_rows()
    ]
    groups = marked.filter("_lower").select(by).unique().sort(by) if case == "auto" else marked.select(by).clear()
    return frame.with_columns(pl.Series("text", texts, dtype=pl.String)), [" ".join(row) for row in groups.iter_rows()]
