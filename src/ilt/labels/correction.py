"""Correction: repair of labels by a vote of all their decodes, with a note of the action."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import polars as pl

from ilt.evaluation.normalise import CER_LANGUAGES
from ilt.evaluation.scoring import frame_errors, rate
from ilt.labels.loops import deloop
from ilt.labels.voting import vote

__all__ = ["PREVIOUS_WEIGHTS", "WEIGHTS", "choose_weights", "repair"]

WEIGHTS = {"text": 1.5, "perturbed_text": 1.0, "label": 1.0, "label_perturbed": 0.6, "label_previous": 0.4}
"""Weight of each decode in the vote: the newest model counts most, the same model on perturbed speech less."""

PREVIOUS_WEIGHTS = (0.4, 0.0, 1.0, 1.5)
"""Weights of `label_previous` to try on dev. In the first iteration it is the base's text, if the pool was decoded;
later the label that the iteration before voted for, which is often better than a single decode."""


NO_ALIAS: Mapping[str, str] = MappingProxyType({})


def _units(text: str, language: str) -> list[str]:
    return list(text) if language in CER_LANGUAGES else text.split()


def _joined(units: list[str], language: str) -> str:
    return "".join(units) if language in CER_LANGUAGES else " ".join(units)


def _repaired(
    row: dict[str, str | None], weights: dict[str, float] | None, language_alias: Mapping[str, str]
) -> tuple[str, str]:
    """Return the repaired text of one row, and the action."""
    language, text = str(row["language"]), row["text"] or ""
    steps = []
    if weights is not None:
        votes = [
            (_units(value, language), weight)
            for name, weight in weights.items()
            if weight and (value := row[name]) is not None
        ]
        voted = _joined(vote(votes), language)
        if voted != text:
            steps.append("by vote")
        text = voted
    cut = deloop(text, language, language_alias.get(language, language))
    if cut != text:
        steps.append("loop cut")
    if cut == row["label"]:
        return cut, "label confirmed"
    return cut, f"label corrected ({', '.join(steps) or 'by the new model'})"


def _decodes(decoded: pl.DataFrame, labels: pl.DataFrame) -> pl.DataFrame:
    """Add to `decoded` the decodes in the label table before it."""
    before = labels.select("id", label="text", label_perturbed="perturbed_text", label_previous="previous_text")
    return decoded.join(before, on="id", how="left", maintain_order="left")


def _repairs(
    joined: pl.DataFrame, weights: dict[str, float] | None, language_alias: Mapping[str, str]
) -> list[tuple[str, str]]:
    """Return the repaired text and the action of each row."""
    rows = joined.select("language", *WEIGHTS).iter_rows(named=True)
    return [_repaired(row, weights, language_alias) for row in rows]


def choose_weights(
    decoded: pl.DataFrame,
    labels: pl.DataFrame,
    truth: pl.DataFrame,
    normaliser: str,
    language_alias: Mapping[str, str] = NO_ALIAS,
) -> tuple[dict[str, float], dict[str, float]]:
    """Choose the weights whose vote has the lowest error rate on dev.

    truth: `id` and `reference` of dev rows. Returns the weights, and the error rate for each weight of
    `label_previous` that was tried. Ties go to the first of `PREVIOUS_WEIGHTS`.
    """
    known = _decodes(decoded, labels).join(truth, on="id", maintain_order="left")
    tried: dict[str, float] = {}
    for previous in PREVIOUS_WEIGHTS:
        weights = WEIGHTS | {"label_previous": previous}
        texts = pl.Series("voted", [text for text, _ in _repairs(known, weights, language_alias)], pl.String)
        errors, units = frame_errors(known.with_columns(texts), "reference", "voted", normaliser)
        tried[str(previous)] = round(rate(errors, units), 6)
    best = min(tried, key=lambda name: tried[name])
    return WEIGHTS | {"label_previous": float(best)}, tried


def repair(
    decoded: pl.DataFrame,
    labels: pl.DataFrame,
    weights: dict[str, float] | None,
    language_alias: Mapping[str, str] = NO_ALIAS,
) -> pl.DataFrame:
    """Repair `decoded` rows (from the feedback model) by a vote with the decodes in `labels` (the table before).

    weights: of each decode, as `WEIGHTS`; None: no vote. language_alias: see `Labelling`. Returns `decoded` with
    the repaired `text`, `source`, and a column `action`.
    """
    results = _repairs(_decodes(decoded, labels), weights, language_alias)
    repaired = decoded.with_columns(
        pl.Series("text", [text for text, _ in results], pl.String),
        pl.Series("action", [action for _, action in results], pl.String),
    )
    changed = pl.col("action") != "label confirmed"
    return repaired.with_columns(source=pl.when(changed).then(pl.lit("corrected")).otherwise(pl.lit("pseudo")))
