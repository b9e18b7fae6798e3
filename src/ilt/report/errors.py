"""Error rates of every iteration with intervals: of all languages together and of each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from ilt import paths
from ilt.errors import IltError
from ilt.evaluation.scoring import bounds, frame_errors, gain_interval, rate, resampled_rates
from ilt.labels.table import PREDICTION_TABLE

__all__ = ["ALL", "SPLITS", "error_tables", "gains_of_last", "score_utterances"]

SPLITS = ("test", "retention")
"""Splits that have intervals."""

ALL = ""
"""The language of rows for all languages together."""


def _read(path: Path) -> pl.DataFrame:
    return PREDICTION_TABLE.read(path).filter(pl.col("split").is_in(SPLITS)).sort("id")


def score_utterances(order: list[str], normaliser: str) -> pl.DataFrame:
    """Return the errors of each model on each test and retention utterance.

    order: the base and the iterations. Columns: iteration, id, language, split, reference, hypothesis,
    errors, units; sorted by iteration as in `order`, then id. A language that was added later has no rows
    before. Raises IltError where the iterations were scored on different utterances of a language.
    """
    frames: list[pl.DataFrame] = []
    last = paths.predictions(order[-1])
    scored_last = _read(last).select("id", "language")
    for iteration in order:
        path = paths.predictions(iteration) if iteration != order[0] else paths.base_predictions(order[-1])
        frame = _read(path)
        errors, units = frame_errors(frame, "reference", "hypothesis", normaliser)
        frame = frame.select(
            pl.lit(iteration).alias("iteration"), "id", "language", "split", "reference", "hypothesis"
        ).with_columns(pl.Series("errors", errors), pl.Series("units", units))
        languages = frame["language"].unique().to_list()
        if not frame["id"].equals(scored_last.filter(pl.col("language").is_in(languages))["id"]):
            raise IltError(f"{path} and {last} have different utterances; run `dvc repro`")
        frames.append(frame)
    return pl.concat(frames)


@dataclass(frozen=True)
class _Counts:
    """errors, units of each model and utterance, 0 where it was not scored, and `scored`: (iterations, n) each."""

    errors: np.ndarray
    units: np.ndarray
    scored: np.ndarray

    def rate(self, model: int) -> float:
        """Return the error rate of a model, rounded to six places."""
        return round(rate(self.errors[model], self.units[model]), 6)

    def gain_of_last(self, model: int, samples: int, seed: int) -> dict[str, Any]:
        """Return rows, before, after, micro, low and high: the last model over another, where both were scored."""
        common = self.scored[model] & self.scored[-1]
        before, after = ((self.errors[at, common], self.units[at, common]) for at in (model, -1))
        rates = {"before": round(rate(*before), 6), "after": round(rate(*after), 6)}
        return {"rows": int(common.sum()), **rates, **gain_interval(before, after, samples, seed)}


def _counts(rows: pl.DataFrame, order: list[str]) -> _Counts:
    model = pl.col("iteration").replace_strict({name: at for at, name in enumerate(order)}).alias("model")
    column = (pl.col("id").rank("dense") - 1).cast(pl.Int64).alias("column")
    places = rows.select(model, column)
    at = places["model"].to_numpy(), places["column"].to_numpy()
    shape = len(order), rows["id"].n_unique()
    errors, units, scored = (np.zeros(shape, kind) for kind in (np.int64, np.int64, bool))
    errors[at], units[at], scored[at] = rows["errors"].to_numpy(), rows["units"].to_numpy(), True
    return _Counts(errors, units, scored)


def error_tables(scores: pl.DataFrame, samples: int, seed: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return error rates and gains with 95 % intervals: see `ilt.evaluation.scoring.resampled_rates`.

    scores: from `score_utterances`. Both tables have split, language (`ALL`: all together) and rows. The first
    has number, iteration, error, low and high. The second has since (the first model that was scored), before,
    after, micro, low and high: the gain of the last model over that one, positive where the error fell.
    """
    order = scores["iteration"].unique(maintain_order=True).to_list()
    rates, gains = [], []
    for split in SPLITS:
        of_split = scores.filter(pl.col("split") == split)
        for language in [ALL, *of_split["language"].unique().sort()] if len(of_split) else []:
            rows = of_split if language == ALL else of_split.filter(language=language)
            counts = _counts(rows, order)
            resampled = resampled_rates(counts.errors, counts.units, samples, seed)
            head = {"split": split, "language": language}
            for number, iteration in enumerate(order):
                if count := int(counts.scored[number].sum()):
                    low, high = bounds(resampled[number])
                    rates.append({**head, "rows": count, "number": number, "iteration": iteration,
                                  "error": counts.rate(number), "low": low, "high": high})  # fmt: skip
            first = int(counts.scored.any(1).argmax())
            gains.append({**head, "since": order[first], **counts.gain_of_last(first, samples, seed)})
    return pl.DataFrame(rates), pl.DataFrame(gains)


def gains_of_last(scores: pl.DataFrame, samples: int, seed: int) -> dict[str, dict[str, float]]:
    """Return the gain on test of the last model over each before it: `micro`, `low` and `high`, by iteration."""
    order = scores["iteration"].unique(maintain_order=True).to_list()
    counts = _counts(scores.filter(pl.col("split") == "test"), order)
    gains = [counts.gain_of_last(number, samples, seed) for number in range(len(order) - 1)]
    return {
        iteration: {key: gain[key] for key in ("micro", "low", "high")}
        for iteration, gain in zip(order, gains, strict=False)
    }
