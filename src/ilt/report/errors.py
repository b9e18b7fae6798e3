"""Error rates of every iteration with intervals: of all languages together and of each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from ilt import paths
from ilt.errors import IltError
from ilt.evaluation.scoring import frame_errors
from ilt.labels.table import PREDICTION_TABLE

__all__ = ["ALL", "SPLITS", "error_tables", "gains_of_last", "scored"]

SPLITS = ("test", "retention")
"""What intervals are given for."""

ALL = ""
"""The language of rows that speak of all languages together."""


def _ids(path: Path) -> pl.DataFrame:
    frame = PREDICTION_TABLE.read(path).filter(pl.col("split").is_in(SPLITS))
    return frame.select("id", "language").sort("id")


def scored(order: list[str], normaliser: str) -> pl.DataFrame:
    """Test and retention utterances as each model heard them.

    order: the base and the iterations. Columns: iteration, id, language, split, reference, hypothesis,
    errors, units; sorted by iteration as in `order`, then id. A language that was added later is not there
    before. Raises IltError where the iterations were scored on different utterances of a language.
    """
    frames: list[pl.DataFrame] = []
    last = _ids(paths.predictions(order[-1]))
    for iteration in order:
        path = paths.predictions(iteration) if iteration != order[0] else paths.base_predictions(order[-1])
        frame = PREDICTION_TABLE.read(path).filter(pl.col("split").is_in(SPLITS)).sort("id")
        errors, units = frame_errors(frame, "reference", "hypothesis", normaliser)
        frame = frame.select(
            pl.lit(iteration).alias("iteration"), "id", "language", "split", "reference", "hypothesis"
        ).with_columns(pl.Series("errors", errors), pl.Series("units", units))
        known = frame["language"].unique().to_list()
        if not frame["id"].equals(last.filter(pl.col("language").is_in(known))["id"]):
            raise IltError(f"{path} and {paths.predictions(order[-1])} speak of different utterances; run `dvc repro`")
        frames.append(frame)
    return pl.concat(frames)


def _resampled(errors: np.ndarray, units: np.ndarray, samples: int, seed: int) -> np.ndarray:
    """Rates of resampled utterances, (iterations, samples); errors, units: (iterations, n).

    All iterations are resampled alike, and with the draws of `ilt.evaluation.scoring.gain_interval`. Fewer
    samples are drawn of very many utterances, whose intervals are narrow anyway.
    """
    count = errors.shape[1]
    samples = min(samples, max(200, round(2e8 / count)))
    rng = np.random.default_rng(seed)
    found = np.empty((len(errors), samples))
    for number in range(samples):
        at = rng.integers(0, count, count)
        found[:, number] = _rates(errors[:, at], units[:, at])
    return found


def _rates(errors: np.ndarray, units: np.ndarray) -> np.ndarray:
    return errors.sum(1) / np.maximum(1, units.sum(1))


def _bounds(values: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(values, [0.025, 0.975])
    return round(float(low), 6), round(float(high), 6)


def _counts(part: pl.DataFrame, order: list[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Errors and units of each model and utterance, and whether it was scored: (iterations, n) each."""
    place = pl.col("iteration").replace_strict({name: at for at, name in enumerate(order)}).alias("model")
    column = (pl.col("id").rank("dense") - 1).cast(pl.Int64).alias("column")
    found = part.select(place, column, "errors", "units")
    at = found["model"].to_numpy(), found["column"].to_numpy()
    shape = len(order), part["id"].n_unique()
    errors, units, scored_at = (np.zeros(shape, kind) for kind in (np.int64, np.int64, bool))
    errors[at], units[at], scored_at[at] = found["errors"].to_numpy(), found["units"].to_numpy(), True
    return errors, units, scored_at


def error_tables(found: pl.DataFrame, samples: int, seed: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rates with 95 % intervals, and what the last model gained over the first.

    found: what `scored` gave. Both tables have split and language (`ALL`: all together) and rows; the first
    also number, iteration, error, low, high, the second since (the first model that was scored on it),
    before, after, micro, low, high (the gain, positive where the error fell, on utterances that both models
    were scored on). Bootstrap over utterances (Bisani and Ney 2004), 95 %, the gains paired.
    """
    order = found["iteration"].unique(maintain_order=True).to_list()
    rates, gains = [], []
    for split in SPLITS:
        here = found.filter(pl.col("split") == split)
        for language in [ALL, *here["language"].unique().sort()] if len(here) else []:
            part = here if language == ALL else here.filter(pl.col("language") == language)
            errors, units, known = _counts(part, order)
            drawn = _resampled(errors, units, samples, seed)
            head = {"split": split, "language": language}
            for number, iteration in enumerate(order):
                if not known[number].any():
                    continue
                low, high = _bounds(drawn[number])
                rate = round(float(_rates(errors, units)[number]), 6)
                rates.append({**head, "rows": int(known[number].sum()), "number": number,
                              "iteration": iteration, "error": rate, "low": low, "high": high})  # fmt: skip
            first = int(known.any(1).argmax())
            common = known[first] & known[-1]
            if not common.all():
                errors, units = errors[:, common], units[:, common]
                drawn = _resampled(errors, units, samples, seed)
            exact = _rates(errors, units)
            low, high = _bounds(drawn[first] - drawn[-1])
            before, after = (round(float(exact[at]), 6) for at in (first, -1))
            micro = round(float(exact[first] - exact[-1]), 6)
            gains.append({**head, "rows": int(common.sum()), "since": order[first], "before": before,
                          "after": after, "micro": micro, "low": low, "high": high})  # fmt: skip
    return pl.DataFrame(rates), pl.DataFrame(gains)


def gains_of_last(found: pl.DataFrame, samples: int, seed: int) -> dict[str, dict[str, float]]:
    """What the last model gained on test over each before it: `micro`, `low` and `high`, as `error_tables`.

    By iteration; on the utterances that both were scored on.
    """
    order = found["iteration"].unique(maintain_order=True).to_list()
    errors, units, known = _counts(found.filter(pl.col("split") == "test"), order)
    gains = {}
    for number, iteration in enumerate(order[:-1]):
        common = known[number] & known[-1]
        pair = np.ix_([number, -1], common)
        drawn = _resampled(errors[pair], units[pair], samples, seed)
        exact = _rates(errors[pair], units[pair])
        low, high = _bounds(drawn[0] - drawn[1])
        gains[iteration] = {"micro": round(float(exact[0] - exact[1]), 6), "low": low, "high": high}
    return gains
