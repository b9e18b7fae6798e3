"""Text normalisation before scoring, alike for references and hypotheses."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Callable

import regex

__all__ = ["CER_LANGUAGES", "NORMALISERS", "lower_case", "normalise", "tokens"]

CER_LANGUAGES = frozenset({"ja", "ko", "th", "zh", "yue", "lo", "my", "km"})
"""Languages scored by character error rate: written without, or with unreliable, spaces."""

NORMALISERS = ("basic", "whisper", "mlc-slm", "none")
"""Names of the normalisers, see `normalise`."""


_APOSTROPHE = regex.compile(
    "[\u00b4\u02b9\u02bb-\u02bf\u055a\u05f3\u1fbd\u2018\u2019\u201b\u2032\u2035\ua78b\ua78c\uff07]|"
    r"(?<=\p{L}\p{M}*)`(?=\p{L})"
)
"""What is typed or printed for an apostrophe: quotation marks, modifier letters as in Uzbek and Ukrainian, primes,
geresh, an acute accent that stands alone, and a grave one between letters."""

_LOOKALIKES = str.maketrans("\u2010\u2011\u05f4", '--"')
"""Hyphens that look like the one of ASCII, of which the second forbids a line break, and Hebrew gershayim."""

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")

_INVISIBLE = regex.compile("(?![\u200c\u200d])[\\p{Default_Ignorable_Code_Point}\ufff9-\ufffb]|\u0640")
"""What Unicode says has no picture of its own (DerivedCoreProperties.txt): soft hyphen, zero-width space, marks of
direction, byte order mark, variation selectors, Hangul fillers; and tatweel, which only stretches a word."""

_JOINERS = regex.compile(
    r"(?<![\p{jt=D}\p{jt=L}]\p{jt=T}*)\u200c|\u200c(?!\p{jt=T}*[\p{jt=D}\p{jt=R}])|(?<!\u09b0)\u200d|\u200d(?!\u09cd)"
)
"""Joiners that decide no word. U+200C stays between Arabic letters that it keeps from joining (rule A1 of UAX 31,
section 2.3), which readers see, and U+200D between Bengali ra and virama (the Unicode Standard, 12.2), which makes
another word of it. Elsewhere they choose between forms of the same letters."""

_CHILLUS = {
    "\u0d23": "\u0d7a", "\u0d28": "\u0d7b", "\u0d30": "\u0d7c", "\u0d32": "\u0d7d", "\u0d33": "\u0d7e",
    "\u0d15": "\u0d7f", "\u0d2e": "\u0d54", "\u0d2f": "\u0d55", "\u0d34": "\u0d56",
}  # fmt: skip
"""Malayalam consonants and their chillus (the Unicode Standard, 12.9)."""

_SAME: list[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]] = [
    (re.compile("([\u0d15\u0d23\u0d28\u0d2e\u0d2f\u0d30\u0d32-\u0d34])\u0d4d\u200d"), lambda m: _CHILLUS[m[1]]),
    (re.compile("\u0d7b\u0d4d?\u0d31"), "\u0d28\u0d4d\u0d31"),  # Malayalam nta
    (re.compile("\u09a4\u09cd\u200d"), "\u09ce"),  # Bengali khanda ta
    (re.compile("\u09b0\u200c\u09cd"), "\u09b0\u200d\u09cd"),  # Bengali ra before ya-phalaa, as it was once written
    (re.compile("\u0930\u094d\u200d"), "\u0931\u094d"),  # eyelash ra of Marathi and Nepali
    (re.compile("\u0e4d([\u0e48-\u0e4b]?)\u0e32|([\u0e48-\u0e4b])\u0e4d\u0e32"), "\\1\\2\u0e33"),  # Thai am
    (re.compile("\u0ecd([\u0ec8-\u0ecb]?)\u0eb2|([\u0ec8-\u0ecb])\u0ecd\u0eb2"), "\\1\\2\u0eb3"),  # Lao am
    (re.compile("\u0e40\u0e40"), "\u0e41"),  # Thai ae, typed as e twice
    (re.compile("\u0ec0\u0ec0"), "\u0ec1"),  # the same in Lao
    (re.compile("([ij\u012f])\u0307"), "\\1"),  # what str.lower makes of a dotted capital; the dot is there already
]
"""Spellings that look alike, or are an older encoding, and what they become. They come before joiners are dropped."""

_PERSIAN = str.maketrans("\u064a\u0649\u0643", "\u06cc\u06cc\u06a9")
_KEYBOARDS = {
    "fa": _PERSIAN,
    "ur": _PERSIAN | {0x0647: 0x06C1},
    "ro": str.maketrans("\u015f\u0163\u015e\u0162", "\u0219\u021b\u0218\u021a"),
}
"""Letters of another language's keyboard, which the alphabet of this one does not have: Arabic yeh, kaf and heh in
Persian and Urdu, s and t with a cedilla in Romanian."""

_DOTLESS = frozenset({"tr", "az", "crh", "gag", "kk", "tt"})
"""Languages whose Latin alphabet pairs I with dotless \u0131, and \u0130 with i (SpecialCasing.txt has tr and az).
Lithuanian needs nothing: the dots that SpecialCasing.txt keeps for it under accents cannot be seen."""

_CYRILLIC = regex.compile(r"\p{Script=Cyrillic}")


def _unified(text: str, language: str) -> str:
    """Return a text in NFC without what nobody sees, and with one form of what is typed in several ways."""
    text = _APOSTROPHE.sub("'", unicodedata.normalize("NFC", _CONTROL.sub(" ", text)))
    if text.isascii():
        return text
    text = _INVISIBLE.sub("", text).translate(_LOOKALIKES).translate(_KEYBOARDS.get(language, {}))
    for spelling, same in _SAME:
        text = spelling.sub(same, text)
    return unicodedata.normalize("NFC", _JOINERS.sub("", text))


def lower_case(text: str, language: str) -> str:
    """Return a text in lower case, as its language has it.

    Kazakh, Tatar and others are written in Cyrillic too: a Latin word in such a text is a foreign one.
    """
    if language in _DOTLESS and not _CYRILLIC.search(text):
        text = text.replace("\u0130", "i").replace("I", "\u0131")
    return text.lower().replace("i\u0307", "i")


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
MLC-SLM-Baseline. Other punctuation stays: hyphen and apostrophe, but also a typographic quotation mark or dash."""


@functools.lru_cache(maxsize=200_000)
def normalise(text: str, language: str, normaliser: str = "basic") -> str:
    """Normalise one text.

    Every normaliser composes (NFC), drops what nobody sees, has one apostrophe, and one form of some letters that are
    typed in two ways. NFC, since it joins what Unicode defines to be the same text and nothing else; `basic` and
    `whisper` go on to NFKC as Whisper does, which also makes a ligature its letters and a full-width digit a digit.

    language: its code; it decides about capital letters (Turkish I) and keyboards (Persian kaf).
    normaliser:
      basic:   Whisper's BasicTextNormalizer for every language, but words with combining marks stay whole.
      whisper: the same, but Whisper's EnglishTextNormalizer for English. It writes numbers as digits and
               joins them ("two six zero" becomes "260"), so that on digit strings a word is an utterance.
      mlc-slm: lower case, without the punctuation that the MLC-SLM 2025 challenge deletes.
      none:    nothing more; case and punctuation stay.
    Raises ValueError for another name.
    """
    if normaliser not in NORMALISERS:
        raise ValueError(f"unknown normaliser {normaliser!r}; there are {', '.join(NORMALISERS)}")
    text = _unified(text, language)
    if normaliser == "whisper" and language == "en":
        text = _whisper(True)(text)
    elif normaliser in ("basic", "whisper"):
        # BasicTextNormalizer turns combining marks into spaces, which tears Bengali and Thai words apart; so they
        # are put away as letters of the private use area while it works. Lower case comes before: it can make one.
        text = unicodedata.normalize("NFKC", lower_case(unicodedata.normalize("NFKC", text), language))
        letters = _marks_as_letters(text)
        plain = _whisper(False)(text.translate(letters))
        text = plain.translate({letter: mark for mark, letter in letters.items()})
    elif normaliser == "mlc-slm":
        text = lower_case(text, language).translate(_MLC_SLM_DELETES)
    return " ".join(text.split())


def tokens(text: str, language: str) -> list[str]:
    """Return the units of scoring: words, or characters (without spaces) in the languages scored by CER."""
    return list(text.replace(" ", "")) if language in CER_LANGUAGES else text.split()
