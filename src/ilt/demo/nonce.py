"""Invented words, made of syllables, so that the demo models learn letters and not a word list."""

from __future__ import annotations

import random

__all__ = ["nonce_word"]

_LATIN = ("b c d f g h j k l m n p r s t v z br cr tr pl st", "a e i o u", "n r l s t")
_SYLLABLES = {
    "ru": ("б в г д ж з к л м н п р с т ф х ч ш ст пр", "а е и о у ы я ю", "н р л с т й"),
    "ar": ("ب ت ج ح خ د ر ز س ش ص ط ع ف ق ك ل م ن ه", "ا و ي", "ن ر ل م ت"),
    "bn": ("ক খ গ চ জ ট ড ত দ ন প ব ভ ম র ল শ স হ", "া ি ু ে ো", "ন র ল ম"),
    "de": (_LATIN[0] + " sch w", "a e i o u ä ö ü ei au", _LATIN[2]),
    "fr": (_LATIN[0] + " ch", "a é i o ou è oi eau", "n r l"),
    "es": (_LATIN[0] + " ñ ll", "a e i o u á ó", _LATIN[2]),
    "pt": (_LATIN[0] + " lh nh ç", "a e i o u ã é", "r s"),
    "it": (_LATIN[0], "a e i o u", "n r l"),
    "en": (_LATIN[0] + " sh th w y", "a e i o u ee oo ay", _LATIN[2]),
}


def _hangul(rng: random.Random) -> str:
    onset = rng.choice((0, 2, 3, 5, 6, 7, 9, 11, 12, 14, 15, 16, 17, 18))
    vowel, coda = rng.choice((0, 1, 4, 8, 13, 20)), rng.choice((0, 0, 0, 4, 21))
    return chr(0xAC00 + (onset * 21 + vowel) * 28 + coda)


def nonce_word(language: str, rng: random.Random) -> str:
    """Return a word of two or three invented syllables in the script of the language."""
    count = rng.choice((2, 2, 3))
    if language == "ko":
        return "".join(_hangul(rng) for _ in range(count))
    onsets, vowels, codas = (part.split() for part in _SYLLABLES[language])
    return "".join(
        rng.choice(onsets) + rng.choice(vowels) + (rng.choice(codas) if rng.random() < 0.3 else "")
        for _ in range(count)
    )
