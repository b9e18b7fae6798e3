"""Correction: repair labels from all decodes that there are, and say what was done to each."""

from __future__ import annotations

import polars as pl

from ilt.evaluation.normalise import CER_LANGUAGES
from ilt.labels.evidence import deloop
from ilt.labels.voting import vote

__all__ = ["WEIGHTS", "repair"]

WEIGHTS = {"text": 1.5, "perturbed_text": 1.0, "label": 1.0, "label_perturbed": 0.6, "label_previous": 0.4}
"""How much each decode counts in the vote: the newest model most, the same model on perturbed speech less."""


def _units(text: str, language: str) -> list[str]:
    return list(text) if language in CER_LANGUAGES else text.split()


def _joined(units: list[str], language: str) -> str:
    return "".join(units) if language in CER_LANGUAGES else " ".join(units)


def _repaired(row: dict[str, str | None], voting: bool) -> tuple[str, str]:
    """The text of one row, and what was done."""
    language, text = str(row["language"]), row["text"] or ""
    done = []
    if voting:
        cast = [
            (_units(value, language), weight)
            for name, weight in WEIGHTS.items()
            if (value := row[name]) is not None
        ]
        voted = _joined(vote(cast), language)
        if voted != text:
            done.append("by vote")
        text = voted
    cut = _joined(deloop(_units(text, language)), language)
    if cut != text:
        done.append("loop cut")
    if cut == row["label"]:
        return cut, "label confirmed"
    return cut, f"label corrected ({', '.join(done) or 'by the new model'})"


def repair(decoded: pl.DataFrame, labels: pl.DataFrame, voting: bool) -> pl.DataFrame:
    """Repair `decoded` rows (from the feedback model) with what `labels` (the table before) say.

    Returns `decoded` with the repaired `text`, `source`, and a column `action`.
    """
    before = labels.select(
        "id", label="text", label_perturbed="perturbed_text", label_previous="previous_text"
    )
    joined = decoded.join(before, on="id", how="left", maintain_order="left")
    names = ["language", *WEIGHTS]
    results = [_repaired(row, voting) for row in joined.select(names).iter_rows(named=True)]
    repaired = decoded.with_columns(
        pl.Series("text", [text for text, _ in results], pl.String),
        pl.Series("action", [action for _, action in results], pl.String),
    )
    changed = pl.col("action") != "label confirmed"
    return repaired.with_columns(
        source=pl.when(changed).then(pl.lit("corrected")).otherwise(pl.lit("pseudo"))
    )
