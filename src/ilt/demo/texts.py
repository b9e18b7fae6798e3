"""Texts of the demo corpus: phrases in ten languages, from number words and a small lexicon.

Patterns of the source domain: `digits` (one to six digits), `number` (a cardinal), `time`.
Patterns of the target domain: `date`, `amount` (a cardinal and a currency), `order` (an order line).
The words and templates are data, a file a language in `lexicon/`.
"""

from __future__ import annotations

import functools
import random
import tomllib
from importlib import resources
from typing import Any

from num2words import num2words

__all__ = ["LANGUAGES", "PATTERNS", "lexicon", "phrase", "spoken"]

DATA_FILES = "lexicon/*.toml"
"""Files that decide results beside this code; see `ilt.digest`."""

LANGUAGES = ("ar", "bn", "de", "en", "es", "fr", "it", "ko", "pt", "ru")

PATTERNS = ("digits", "number", "time", "date", "amount", "order")


@functools.cache
def lexicon(language: str) -> dict[str, Any]:
    """Return the lexicon file of a language, as parsed TOML."""
    path = resources.files("ilt.demo") / "lexicon" / f"{language}.toml"
    return tomllib.loads(path.read_text(encoding="utf-8"))


@functools.cache
def cardinal(number: int, language: str) -> str:
    """Return a number in words, lower case, without hyphens and commas."""
    words = num2words(number, lang=language)
    return " ".join(words.replace("-", " ").replace(",", " ").lower().split())


def _digits(rng: random.Random, language: str, low: int, high: int) -> str:
    return " ".join(cardinal(rng.randrange(10), language) for _ in range(rng.randint(low, high)))


def phrase(pattern: str, language: str, rng: random.Random) -> str:
    """Return a random phrase of a pattern: lower-case words with single spaces between them."""
    data = lexicon(language)
    words, templates = data["words"], data["templates"]
    match pattern:
        case "digits":
            return _digits(rng, language, 1, 6)
        case "number":
            return cardinal(rng.randrange(10, rng.choice((100, 1000))), language)
        case "time":
            hour, minute = rng.randrange(1, 13), rng.randrange(1, 60)
            return str(templates["time"]).format(h=cardinal(hour, language), m=cardinal(minute, language))
        case "date":
            return str(templates["date"]).format(
                weekday=rng.choice(words["weekdays"]),
                day=cardinal(rng.randrange(1, 32), language),
                month=rng.choice(words["months"]),
            )
        case "amount":
            return str(templates["amount"]).format(
                n=cardinal(rng.randrange(2, rng.choice((100, 1000))), language),
                currency=rng.choice(words["currencies"]),
            )
        case "order":
            return str(templates["order"]).format(
                digits=_digits(rng, language, 2, 3),
                n=cardinal(rng.randrange(2, 20), language),
                item=rng.choice(words["items"]),
            )
    raise ValueError(f"unknown pattern {pattern!r}; expected one of {', '.join(PATTERNS)}")


def spoken(text: str, language: str) -> str:
    """Return a text as the synthesiser takes it, which may need vowel marks that labels lack."""
    table = lexicon(language).get("spoken", {})
    return " ".join(table.get(word, word) for word in text.split())
