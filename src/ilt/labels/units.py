"""Units of a text as flags compare them: words, or characters of scripts without spaces, folded; with their places."""

from __future__ import annotations

import functools
import re
import unicodedata
from typing import NamedTuple

__all__ = ["UNSPACED", "Unit", "fold", "units_of"]

UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005\u3007\u3041-\u30fb\u30fd-\u30ff\u31f0-\u31ff\u3400-\u9fff"
    "\ua9e0-\ua9ff\uaa60-\uaa7f\uac00-\ud7af\uf900-\ufaff\uff66-\uff6f\uff71-\uff9d\U00020000-\U0003ffff]"
)
"""Characters of Thai, Lao, Myanmar, Khmer, Han, Kana and Hangul. Each is a unit: what models write in these scripts
has spaces here and there, and one space must not hide a loop."""

JOINING = frozenset("'\u2019\u02bc\u02bb`\u00b4")
"""Apostrophes: between letters they are part of a word, and are not compared."""

LEAST_DROPPED = 10
"""Combining class from which marks are not compared: accents, points of Hebrew and Arabic, tones of Thai. Below are
virama, nukta, and the voicing of Kana, which make another letter."""


class Unit(NamedTuple):
    """One unit: as it is compared, and its place in the text."""

    folded: str
    start: int
    end: int


@functools.lru_cache(maxsize=100_000)
def fold(word: str) -> str:
    """Return a word without case, accents, apostrophes, invisible characters and forms of width."""
    letters = [
        letter
        for letter in unicodedata.normalize("NFKD", word.casefold())
        if letter not in JOINING
        and letter != "\u0640"  # tatweel stretches a word
        and unicodedata.combining(letter) < LEAST_DROPPED
        and unicodedata.category(letter) != "Cf"
    ]
    # Turkish writes I for both, so that capitals do not tell them apart.
    return unicodedata.normalize("NFC", "".join(letters)).replace("\u0131", "i")


@functools.cache
def _kind(letter: str) -> str:
    """Return `unit`, `letter`, `mark` or `joining` for what belongs to units, and `gap` for what lies between."""
    if letter in JOINING or (category := unicodedata.category(letter)) == "Cf":
        return "joining"
    if category[0] == "M" or letter in "\u30fc\uff70":  # these two lengthen the vowel before
        return "mark"
    if category[0] not in "LN":
        return "gap"
    return "unit" if UNSPACED.match(letter) else "letter"


def units_of(text: str) -> list[Unit]:
    """Return the units of a text in NFC, in their order; punctuation, spaces and symbols are between them."""
    spans: list[list[int]] = []
    before = "gap"
    for at, letter in enumerate(text):
        kind = _kind(letter)
        if kind == "unit" or (kind == "letter" and before != "letter"):
            spans.append([at, at + 1])
        elif kind in ("letter", "mark") and before != "gap":
            spans[-1][1] = at + 1
        # Marks and apostrophes go on with what was before.
        before = kind if kind in ("unit", "letter", "gap") else before
    units = (Unit(fold(text[start:end]), start, end) for start, end in spans)
    return [unit for unit in units if unit.folded]
