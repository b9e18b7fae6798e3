"""The strategy `audit`: a stratified random sample of the selected labels; any beginning of it is one too."""

from __future__ import annotations

import hashlib

import polars as pl

from ilt.errors import IltError

__all__ = ["draw"]

MOST_BANDS = 4
ROWS_A_BAND = 4
"""Bands of expected error per language: as many as get this many rows of the budget each, four at most."""
LEAST = 2
"""Rows of each stratum that are drawn first: a variance needs two."""
ALLOCATION = 0.25
"""Rows are drawn in proportion to N_h (e_h (1 - e_h))^ALLOCATION, e_h the expected error of the stratum.

0 would be proportional allocation, 0.5 Neyman's optimum if the expected errors were right; half-way,
intervals are shorter than with the first and hang on the calibration less than with the second.
"""


def _random_number(seed: int, key: str) -> str:
    return hashlib.blake2b(f"{seed}\0{key}".encode(), digest_size=8).hexdigest()


def _with_strata(rows: pl.DataFrame, budget: int) -> pl.DataFrame:
    """Add `stratum`, `stratum_size`, `stratum_units` and `stratum_expected`.

    Within a language the rows are cut into bands of equal size by expected error, of two rows at least.
    """
    languages = rows["language"].n_unique()
    bands = max(1, min(MOST_BANDS, budget // (languages * ROWS_A_BAND)))
    size = pl.len().over("language")
    mine = pl.min_horizontal(pl.lit(bands), pl.max_horizontal(pl.lit(1), size // LEAST))
    rank = pl.struct(pl.col("expected_error").fill_null(0.5), "id").rank("ordinal").over("language") - 1
    rows = rows.with_columns(_band=rank * mine // size + 1, _of=mine)
    rows = rows.with_columns(stratum=pl.format("{} {}/{}", "language", "_band", "_of")).drop("_band", "_of")
    expected = pl.col("units") * pl.col("expected_error").fill_null(0.5)
    return rows.with_columns(
        stratum_size=pl.len().over("stratum"),
        stratum_units=pl.col("units").sum().over("stratum"),
        stratum_expected=expected.sum().over("stratum").round(6),
    )


def draw(rows: pl.DataFrame, budget: int, seed: int, decided: pl.Series) -> pl.DataFrame:
    """Draw from the population until the sample has `budget` rows that nobody has decided.

    rows:    the population, the selected labels of machines; with `units`: words (or characters) of the text.
    decided: ids of rows that people have decided; they count for the sample where their turn comes, so that
             a later, larger audit takes in an earlier one, but they cost nothing.
    Returns the sample with `stratum`, `stratum_size`, `sampled`, `stratum_units`, `stratum_expected`, in
    the order in which to review: the first rows are a stratified sample, too, if time runs out.

    Each row has a random number of its own (Ohlsson 1995, permanent random numbers), and a stratum's
    sample is its rows with the smallest numbers: simple random sampling without replacement. Which stratum
    gives the next row is Sainte-Lague's rule, after `LEAST` rows from each. Raises IltError if the budget is
    too small.
    """
    if not len(rows):
        raise IltError("no pool row is selected that a machine has labelled, so there is nothing to audit")
    languages = rows["language"].n_unique()
    if budget < LEAST * languages:
        raise IltError(
            f"--budget {budget} is too small: an audit of {languages} languages needs at least "
            f"{LEAST * languages} rows, {LEAST} of each"
        )
    rows = _with_strata(rows, budget)
    numbers = [_random_number(seed, key) for key in rows["id"]]
    error = pl.col("expected_error").fill_null(0.5).mean().over("stratum").clip(0.01, 0.99)
    weight = pl.col("stratum_size") * (error * (1 - error)).pow(ALLOCATION)
    turn = pl.struct("_number", "id").rank("ordinal").over("stratum")
    ordered = (
        rows.with_columns(pl.Series("_number", numbers, pl.String), _weight=weight)
        .with_columns(_turn=turn)
        .with_columns(_first=pl.col("_turn") > LEAST, _priority=(pl.col("_turn") - 0.5) / pl.col("_weight"))
        .sort("_first", "_priority", "_number", "id")
    )
    fresh = ~pl.col("id").is_in(decided.to_list())
    taken = ordered.with_columns(_fresh=fresh.cast(pl.Int64).cum_sum() - fresh.cast(pl.Int64)).filter(
        pl.col("_fresh") < budget
    )
    return taken.select(*rows.columns, sampled=pl.len().over("stratum"))
