"""How far texts moved: edit distances of many pairs at once, without a Python loop over words."""

from __future__ import annotations

import numpy as np
import polars as pl
from rapidfuzz.distance import Levenshtein
from rapidfuzz.process import cpdist

from ilt.evaluation.normalise import CER_LANGUAGES

__all__ = ["edit_counts"]

_VOCABULARY = 1_000_000
"""Distinct words that fit into Unicode's code points."""


def _as_letters(texts: pl.Series) -> list[str] | None:
    """Each text with a letter for each word, equal letters for equal words; None if there are too many."""
    words = texts.fill_null("").str.extract_all(r"\S+")
    counts = words.list.len().to_numpy()
    kind = pl.Categorical(pl.Categories.random())  # of its own, so that the words are freed afterwards
    flat = words.explode(empty_as_null=False).cast(kind).to_physical().to_numpy().astype(np.uint32) + 1
    if len(flat) and int(flat.max()) > _VOCABULARY:
        return None
    flat += np.where(flat >= 0xD800, 0x800, 0).astype(np.uint32)  # surrogates are no code points
    letters = flat.astype("<u4").tobytes().decode("utf-32-le")
    ends = np.cumsum(counts)
    return [letters[start:end] for start, end in zip((ends - counts).tolist(), ends.tolist(), strict=True)]


def _distances(before: list[str], after: list[str]) -> np.ndarray:
    return cpdist(before, after, scorer=Levenshtein.distance, workers=-1, dtype=np.int32).astype(np.int64)


def edit_counts(before: pl.Series, after: pl.Series, languages: pl.Series) -> tuple[np.ndarray, np.ndarray]:
    """Edits that lead from each text to the other, and units of the text before, both (n,).

    Units are words, or characters without spaces in the languages scored by CER. Texts are compared as they
    stand: nothing is normalised. A null text is an empty one.
    """
    edits, units = np.zeros(len(before), np.int64), np.zeros(len(before), np.int64)
    by_letter = languages.is_in(sorted(CER_LANGUAGES)).fill_null(False).to_numpy()
    for mask, letters in ((by_letter, True), (~by_letter, False)):
        at = np.flatnonzero(mask)
        if len(at):
            edits[at], units[at] = _counts(before.gather(at), after.gather(at), letters)
    return edits, units


def _counts(before: pl.Series, after: pl.Series, letters: bool) -> tuple[np.ndarray, np.ndarray]:
    if letters:
        old, new = (part.fill_null("").str.replace_all(r"\s+", "").to_list() for part in (before, after))
    else:
        both = _as_letters(pl.concat([before, after]))
        if both is None:
            half = len(before) // 2
            parts = [
                _counts(before[:half], after[:half], letters),
                _counts(before[half:], after[half:], letters),
            ]
            return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])
        old, new = both[: len(before)], both[len(before) :]
    return _distances(old, new), np.array([len(text) for text in old], np.int64)
