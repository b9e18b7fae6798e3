"""Error rates: WER, or CER for languages written without reliable spaces; micro and macro averages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jiwer
import numpy as np
import polars as pl

from ilt.evaluation.normalise import normalise, tokens

__all__ = [
    "bounds",
    "error_counts",
    "frame_errors",
    "gain_interval",
    "rate",
    "rates",
    "resampled_rates",
    "utterance_errors",
]


def _count(reference: list[str], hypothesis: list[str]) -> int:
    if not reference:
        return len(hypothesis)
    if reference == hypothesis:
        return 0
    output = jiwer.process_words(" ".join(reference), " ".join(hypothesis))
    return output.substitutions + output.deletions + output.insertions


def error_counts(
    references: Sequence[str], hypotheses: Sequence[str], languages: Sequence[str], normaliser: str = "basic"
) -> tuple[np.ndarray, np.ndarray]:
    """Return errors (substitutions, deletions, insertions) and reference units of each utterance, both (n,)."""
    errors, units = [], []
    for reference, hypothesis, language in zip(references, hypotheses, languages, strict=True):
        expected = tokens(normalise(reference, language, normaliser), language)
        errors.append(_count(expected, tokens(normalise(hypothesis, language, normaliser), language)))
        units.append(len(expected))
    return np.array(errors, dtype=np.int64), np.array(units, dtype=np.int64)


def frame_errors(
    frame: pl.DataFrame, reference: str, hypothesis: str, normaliser: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return `error_counts` of two columns of a frame that has a `language`."""
    return error_counts(
        frame[reference].to_list(), frame[hypothesis].to_list(), frame["language"].to_list(), normaliser
    )


def utterance_errors(
    references: Sequence[str], hypotheses: Sequence[str], languages: Sequence[str], normaliser: str = "basic"
) -> np.ndarray:
    """Return WER or CER of each utterance, (n,), at most 1."""
    errors, units = error_counts(references, hypotheses, languages, normaliser)
    return np.minimum(1.0, errors / np.maximum(units, 1))


def rate(errors: np.ndarray, units: np.ndarray) -> float:
    """Return the errors over the units of a set of utterances."""
    return float(errors.sum() / max(1, units.sum()))


def rates(frame: pl.DataFrame, normaliser: str) -> dict[str, Any]:
    """Return the error rates of a frame with `reference`, `hypothesis` and `language`; None where it has no rows.

    micro: all errors over all units. macro: mean over languages. unnormalised: micro, of the raw texts.
    by_language: WER, or CER where the language is scored so (`ilt.evaluation.normalise.CER_LANGUAGES`).
    """
    if not len(frame):
        return {"micro": None, "macro": None, "unnormalised": None, "utterances": 0, "by_language": {}}
    errors, units = frame_errors(frame, "reference", "hypothesis", normaliser)
    raw = rate(*frame_errors(frame, "reference", "hypothesis", "none"))
    codes = frame["language"].to_numpy()
    by_language = {
        language: round(rate(errors[codes == language], units[codes == language]), 6)
        for language in sorted(set(codes.tolist()))
    }
    macro = float(np.mean(list(by_language.values())))
    return {
        "micro": round(rate(errors, units), 6),
        "macro": round(macro, 6),
        "unnormalised": round(raw, 6),
        "utterances": len(frame),
        "by_language": by_language,
    }


def resampled_rates(errors: np.ndarray, units: np.ndarray, samples: int, seed: int) -> np.ndarray:
    """Return error rates of resampled utterances, (systems, samples): the bootstrap of Bisani and Ney (2004).

    errors, units: of the same utterances, (systems, n). All systems are resampled alike, so that differences of
    two rows are paired.
    """
    rng = np.random.default_rng(seed)
    count = errors.shape[1]
    rates = np.empty((len(errors), samples))
    for number in range(samples):
        at = rng.integers(0, count, count)
        rates[:, number] = [rate(wrong[at], of[at]) for wrong, of in zip(errors, units, strict=True)]
    return rates


def bounds(values: np.ndarray) -> tuple[float, float]:
    """Return the ends of the 95 % interval of resampled values, rounded to six places."""
    low, high = np.quantile(values, [0.025, 0.975])
    return round(float(low), 6), round(float(high), 6)


def gain_interval(
    before: tuple[np.ndarray, np.ndarray], after: tuple[np.ndarray, np.ndarray], samples: int, seed: int
) -> dict[str, float]:
    """Return the gain in micro error rate (`micro`, positive is better) and its 95 % interval (`low`, `high`).

    before, after: errors and units of the same utterances in the same order. Paired: see `resampled_rates`.
    """
    errors, units = (np.stack(pair) for pair in zip(before, after, strict=True))
    one, other = resampled_rates(errors, units, samples, seed)
    low, high = bounds(one - other)
    return {"micro": round(rate(*before) - rate(*after), 6), "low": low, "high": high}
