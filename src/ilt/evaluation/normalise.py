"""Text normalisation before scoring, alike for references and hypotheses."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Callable

__all__ = ["CER_LANGUAGES", "NORMALISERS", "normalise", "tokens"]

CER_LANGUAGES = frozenset({"ja", "ko", "th", "zh", "yue", "lo", "my", "km"})
"""Languages scored by character error rate: written without, or with unreliable, spaces."""

NORMALISERS = ("basic", "whisper", "mlc-slm", "none")
"""Names of the normalisers, see `normalise`."""


@functools.cache
def _whisper(english: bool) -> Callable[[str], str]:
    from transformers.models.whisper.english_normalizer import BasicTextNormalizer, EnglishTextNormalizer

    normaliser: Callable[[str], str] = EnglishTextNormalizer({}) if english else BasicTextNormalizer()
    return normaliser


def _marks_as_letters(text: str) -> dict[int, int]:
    """Return a letter of the private use area for each combining mark of a text, as for `str.translate`."""
    marks = sorted({c for c in text if unicodedata.category(c)[0] == "M"})
    return {ord(mark): 0xE000 + number for number, mark in enumerate(marks)}


_MLC_SLM_DELETES = dict.fromkeys(map(ord, '!"#$%&()*+,./:;<=>?@[\\]^_`{|}~。、？！・¿¡，'))
"""Punctuation that the challenge deletes, after examples/mlcslm/asr/local/text_normalization.py of its
MLC-SLM-Baseline."""


def _mlc_slm(text: str) -> str:
    """Normalise as the scorer of the MLC-SLM 2025 challenge: lower case, without its list of punctuation.

    Other punctuation stays: apostrophe and hyphen, but also a typographic quotation mark or dash.
    """
    return re.sub(r"\s+", " ", text.lower().translate(_MLC_SLM_DELETES)).strip()


@functools.lru_cache(maxsize=200_000)
def normalise(text: str, language: str, normaliser: str = "basic") -> str:
    """Normalise one text.

    normaliser:
      basic:   Whisper's BasicTextNormalizer for every language.
      whisper: the same, but Whisper's EnglishTextNormalizer for English. It writes numbers as digits and
               joins them ("two six zero" becomes "260"), so that on digit strings a word is an utterance.
      mlc-slm: the MLC-SLM 2025 challenge's scorer.
      none:    only spaces are collapsed.
    Raises ValueError for another name.
    """
    if normaliser == "whisper" and language == "en":
        return _whisper(True)(text).strip()
    if normaliser in ("basic", "whisper"):
        text = unicodedata.normalize("NFKC", text)
        # BasicTextNormalizer turns combining marks into spaces, which tears Bengali and Thai words apart; so
        # they are put away as letters of the private use area while it works.
        letters = _marks_as_letters(text)
        plain = _whisper(False)(text.translate(letters))
        return plain.translate({letter: mark for mark, letter in letters.items()}).strip()
    if normaliser == "mlc-slm":
        return _mlc_slm(text)
    if normaliser == "none":
        return " ".join(text.split())
    raise ValueError(f"unknown normaliser {normaliser!r}")


def tokens(text: str, language: str) -> list[str]:
    """Return the units of scoring: words, or characters (without spaces) in the languages scored by CER."""
    return list(text.replace(" ", "")) if language in CER_LANGUAGES else text.split()
