"""Edit distances of many pairs of texts at once, without a Python loop over words."""

from __future__ import annotations

import numpy as np
import polars as pl
from rapidfuzz.distance import Levenshtein
from rapidfuzz.process import cpdist

from ilt.evaluation.normalise import CER_LANGUAGES

__all__ = ["edit_counts"]

_VOCABULARY = 1_000_000
"""Distinct words that fit into Unicode's code points."""


def _words(texts: pl.Series) -> tuple[pl.Series, np.ndarray]:
    """Return all words of all texts, one after the other, and the number of each text's words, (n,)."""
    plain = not bool(texts.str.contains(r"[^\S ]|  |^ | $").any())  # splitting is several times faster
    lists = texts.str.split(" ") if plain else texts.str.extract_all(r"\S+")
    counts = lists.list.len().to_numpy().astype(np.int64)
    flat = lists.explode(empty_as_null=False)
    if plain:  # an empty text splits into one empty word
        counts[(texts == "").to_numpy()] = 0
        flat = flat.filter(flat != "")
    return flat, counts


def _numbered(words: pl.Series) -> np.ndarray:
    """Return a number for each word, equal for equal words."""
    kind = pl.Categorical(pl.Categories.random())  # of its own, so that the words are freed afterwards
    return words.cast(kind).to_physical().to_numpy().astype(np.uint32) + 1


def _letters(numbers: np.ndarray, counts: np.ndarray) -> list[str]:
    """Return each text with one letter for each of its words."""
    ends = np.cumsum(counts)
    letters = (numbers + np.where(numbers >= 0xD800, 0x800, 0)).astype("<u4")  # surrogates are no code points
    joined = letters.tobytes().decode("utf-32-le")
    return [joined[start:end] for start, end in zip((ends - counts).tolist(), ends.tolist(), strict=True)]


def _words_of(numbers: np.ndarray, counts: np.ndarray, keep: np.ndarray) -> np.ndarray:
    """Return the words of the texts that a mask, (n,), keeps."""
    return numbers[np.repeat(keep, counts)]


def _word_edits(before: pl.Series, after: pl.Series) -> tuple[np.ndarray, np.ndarray]:
    words, counts = _words(pl.concat([before, after]).fill_null(""))
    numbers, pairs = _numbered(words), len(before)
    old_counts, new_counts = counts[:pairs], counts[pairs:]
    old, new = numbers[: old_counts.sum()], numbers[old_counts.sum() :]
    # Equal numbers of words that differ in at most two places: one edit is one place, so two places are two.
    even = old_counts == new_counts
    places = np.zeros(pairs, np.int64)
    owner = np.repeat(np.flatnonzero(even), old_counts[even])
    unlike = _words_of(old, old_counts, even) != _words_of(new, new_counts, even)
    places += np.bincount(owner[unlike], minlength=pairs)
    rest = ~even | (places > 2)
    if rest.any():
        words_left = [_words_of(old, old_counts, rest), _words_of(new, new_counts, rest)]
        dense = np.unique(np.concatenate(words_left), return_inverse=True)[1].astype(np.uint32) + 1
        if len(dense) and int(dense.max()) > _VOCABULARY:
            half = pairs // 2
            parts = [_word_edits(before[:half], after[:half]), _word_edits(before[half:], after[half:])]
            return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])
        cut = len(words_left[0])
        places[rest] = _distances(_letters(dense[:cut], old_counts[rest]), _letters(dense[cut:], new_counts[rest]))
    return places, old_counts


def _distances(before: list[str], after: list[str]) -> np.ndarray:
    return cpdist(before, after, scorer=Levenshtein.distance, workers=-1, dtype=np.int32).astype(np.int64)


def edit_counts(before: pl.Series, after: pl.Series, languages: pl.Series) -> tuple[np.ndarray, np.ndarray]:
    """Return the edits that lead from each text to the other, and the units of the text before, both (n,).

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
    if not letters:
        return _word_edits(before, after)
    old, new = (part.fill_null("").str.replace_all(r"\s+", "").to_list() for part in (before, after))
    return _distances(old, new), np.array([len(text) for text in old], np.int64)
