"""Error rates of every iteration with intervals: of all languages together and of each."""

from __future__ import annotations

import numpy as np
import polars as pl

from ilt import paths
from ilt.errors import IltError
from ilt.evaluation.scoring import frame_errors
from ilt.labels.table import PREDICTION_TABLE

__all__ = ["ALL", "SPLITS", "error_tables", "scored"]

SPLITS = ("test", "retention")
"""What intervals are given for."""

ALL = ""
"""The language of rows that speak of all languages together."""


def scored(order: list[str], normaliser: str) -> pl.DataFrame:
    """Test and retention utterances as each model heard them.

    order: the base and the iterations. Columns: iteration, id, language, split, reference, hypothesis,
    errors, units; sorted by iteration as in `order`, then id. The base was scored on all that takes part in
    the last iteration, an iteration before that not on languages that begin later: there, hypothesis and
    errors are null. Raises IltError where the iterations were scored on different utterances otherwise.
    """
    frames: list[pl.DataFrame] = []
    for iteration in order:
        path = paths.predictions(iteration) if iteration != order[0] else paths.base_predictions(order[-1])
        frame = PREDICTION_TABLE.read(path).filter(pl.col("split").is_in(SPLITS)).sort("id")
        errors, units = frame_errors(frame, "reference", "hypothesis", normaliser)
        frame = frame.select(
            pl.lit(iteration).alias("iteration"), "id", "language", "split", "reference", "hypothesis"
        ).with_columns(pl.Series("errors", errors), pl.Series("units", units))
        if frames:
            frame = _completed(frame, frames[0], iteration)
        if frames and not frame["id"].equals(frames[0]["id"]):
            raise IltError(
                f"{path} and {paths.predictions(order[0])} speak of different utterances; run `dvc repro`"
            )
        frames.append(frame)
    return pl.concat(frames)


def _completed(frame: pl.DataFrame, whole: pl.DataFrame, iteration: str) -> pl.DataFrame:
    """The rows of an iteration, and empty ones for languages of `whole` that it has none of."""
    missing = whole.filter(~pl.col("language").is_in(frame["language"].unique().implode()))
    if not len(missing):
        return frame
    empty = missing.with_columns(
        iteration=pl.lit(iteration), hypothesis=pl.lit(None, pl.String), errors=pl.lit(None, pl.Int64)
    )
    return pl.concat([frame, empty]).sort("id")


def _resampled(errors: np.ndarray, units: np.ndarray, samples: int, seed: int) -> np.ndarray:
    """Rates of resampled utterances, (iterations, samples); errors, units: (iterations, n).

    All iterations are resampled alike, and with the draws of `ilt.evaluation.scoring.gain_interval`. Fewer
    samples are drawn of very many utterances, whose intervals are narrow anyway.
    """
    count = units.shape[1]
    samples = min(samples, max(200, round(2e8 / count)))
    rng = np.random.default_rng(seed)
    found = np.empty((len(errors), samples))
    for number in range(samples):
        at = rng.integers(0, count, count)
        found[:, number] = errors[:, at].sum(1) / np.maximum(1, units[:, at].sum(1))
    return found


def _bounds(values: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(values, [0.025, 0.975])
    return round(float(low), 6), round(float(high), 6)


def error_tables(found: pl.DataFrame, samples: int, seed: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rates with 95 % intervals, and what the last model gained over the first.

    found: what `scored` gave. Both tables have split and language (`ALL`: all together) and rows; the first
    also number, iteration, error, low, high (of what the iteration was scored on, null where that is
    nothing), the second before, after, micro, low, high (the gain, positive where the error fell). Bootstrap
    over utterances (Bisani and Ney 2004), 95 %, the gains paired.
    """
    order = found["iteration"].unique(maintain_order=True).to_list()
    rates, gains = [], []
    for split in SPLITS:
        here = found.filter(pl.col("split") == split)
        for language in [ALL, *here["language"].unique().sort()] if len(here) else []:
            part = here if language == ALL else here.filter(pl.col("language") == language)
            heard = part["errors"].is_not_null().to_numpy().reshape(len(order), -1)
            errors = part["errors"].fill_null(0).to_numpy().reshape(len(order), -1)
            units = part["units"].to_numpy().reshape(len(order), -1) * heard
            drawn = _resampled(errors, units, samples, seed)
            exact = errors.sum(1) / np.maximum(1, units.sum(1))
            head = {"split": split, "language": language, "rows": units.shape[1]}
            for number, iteration in enumerate(order):
                low, high = _bounds(drawn[number])
                told: dict[str, float | None] = {"error": None, "low": None, "high": None}
                if heard[number].any():  # else its languages begin later
                    told = {"error": round(float(exact[number]), 6), "low": low, "high": high}
                rates.append({**head, "number": number, "iteration": iteration, **told})
            low, high = _bounds(drawn[0] - drawn[-1])
            before, after = (round(float(exact[at]), 6) for at in (0, -1))
            micro = round(float(exact[0] - exact[-1]), 6)
            gains.append({**head, "before": before, "after": after, "micro": micro, "low": low, "high": high})
    return pl.DataFrame(rates), pl.DataFrame(gains)
