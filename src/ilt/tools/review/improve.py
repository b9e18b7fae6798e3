"""The strategy `improve`: the labels whose correction should help training most."""

from __future__ import annotations

import polars as pl

from ilt.errors import IltError
from ilt.evaluation.normalise import normalise

__all__ = ["best"]

REACH = 0.15
"""A row counts half as much for each REACH that its expected error lies away from the limit of selection."""


def best(labels: pl.DataFrame, budget: int, decided: pl.Series) -> pl.DataFrame:
    """Return the `budget` rows with the best score, best first, with their `score`.

    labels:  pool rows labelled by machines, with `units`: words (or characters) of each text.
    decided: ids of rows that people have decided.

    score = wrong words expected (expected error x units)
            x 2^(-|expected error - limit| / REACH): labels that are clearly right have nothing to mend, and
              those far beyond the limit are mostly bad recordings and slow to write down; in between a
              correction either cleans a row that is trained on or takes in one that nearly was. The limit
              of a language is the largest expected error among its selected rows.
            x (0.5 + 0.5 x rank of the gold_similarity in the language, 0 to 1): speech like gold first.
            x 0.5^(rows with the same words that score better): the same sentence again teaches little.
            / (1 + rows of the language that score better / (budget / languages)): a language that has had its
              equal share needs twice the score.
    """
    rows = labels.filter(pl.col("expected_error").is_not_null() & (pl.col("units") > 0))
    if not len(rows):
        raise IltError("no pool row has a text with an expected error, so there is nothing to improve")
    error = pl.col("expected_error")
    limit = error.filter(pl.col("selected").fill_null(False)).max().over("language").fill_null(0.3)
    gold_similarity = (pl.col("gold_similarity").rank() / pl.len()).over("language").fill_null(0.5)
    words = [normalise(text, code) for text, code in rows.select("text", "language").iter_rows()]
    fresh = rows.with_columns(
        pl.Series("_words", words, pl.String),
        _score=error * pl.col("units") * (0.5 ** ((error - limit).abs() / REACH)) * (0.5 + 0.5 * gold_similarity),
    ).filter(~pl.col("id").is_in(decided.to_list()))
    if not len(fresh):
        raise IltError("people have decided every pool row already")
    better = pl.struct(-pl.col("_score"), pl.col("id")).rank("ordinal") - 1
    fresh = fresh.with_columns(_score=pl.col("_score") * 0.5 ** better.over("language", "_words"))
    share = budget / fresh["language"].n_unique()
    fresh = fresh.with_columns(score=(pl.col("_score") / (1 + better.over("language") / share)).round(6))
    return fresh.sort("score", "id", descending=[True, False]).head(budget).drop("_words", "_score")
