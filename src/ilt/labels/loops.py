"""Loops: one sequence of units again and again, which decoders fall into and people do not say.

A loop is a sequence of any length that stands five times or more in a row, anywhere in the text; a cut repeat at the
end belongs to it. Punctuation and case do not tell repeats apart.

Digits are the exception: `five five five five five` can be a part of a telephone number. Numbers hold any digit
anywhere, so that chance alone repeats them: of n digits that repeat what came before them, once in 10^n places. Up to
seven, as in eight equal digits, the longest numbers of subscribers, they are taken for speech; more are a loop. The
rate of speech would not tell: a decoder in a loop stops at a limit of length that speech reaches, too, and what is
faster than that is flagged as too fast.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from importlib import resources

from ilt.labels.units import Unit, units_of

__all__ = ["deloop"]

DATA_FILES = "digits.txt"
"""Data files that decide results beside this code; see `ilt.digest`."""

REPEATS = 5
"""Repeats that make a loop; our own choice. Emphasis and laughter are rarely written so often."""

REPEATED_DIGITS = 7
"""Digits in a row that may repeat what came before them."""

WITHIN_WORD = re.compile(r"([^\W\d_]+?)\1{9,}|(\d{1,4}?)\2{15,}", re.IGNORECASE)
"""A loop within a word, as `hahahaha...` or `0000...`: of letters at least ten times, since people write `aaaah`; of
digits sixteen times, since a trillion has twelve zeros."""


@functools.cache
def _words_of_digits() -> dict[str, list[str]]:
    text = (resources.files("ilt.labels") / "digits.txt").read_text(encoding="utf-8")
    lines = [line.split() for line in text.splitlines() if not line.startswith("#")]
    return {code: ["".join(unit.folded for unit in units_of(word)) for word in words] for code, *words in lines}


@functools.cache
def _digit(languages: tuple[str, ...]) -> re.Pattern[str]:
    """Return the pattern of one digit, written as `0` or as a word of these languages."""
    words = {word for code in languages for word in _words_of_digits().get(code, [])}
    return re.compile("|".join(["0", *sorted(map(re.escape, words), key=lambda word: (-len(word), word))]))


def _are_spoken_digits(units: list[Unit], period: int, languages: tuple[str, ...]) -> bool:
    """Return whether a run of repeats is of digits alone, and short enough to be spoken."""
    digit = _digit(languages)
    # A run can begin within the word of a digit: one of the rotations of its sequence is digits alone.
    for shift in range(period):
        folded = "".join(unit.folded for unit in units[shift : shift + period])
        written = "".join("0" if letter.isnumeric() else letter for letter in folded)
        if re.fullmatch(f"(?:{digit.pattern})+", written):
            return len(digit.findall(written)) * (len(units) - period) <= REPEATED_DIGITS * period
    return False


def _cut(text: str, units: list[Unit], languages: tuple[str, ...]) -> str | None:
    """Return the text with its first loop of the shortest period cut to one repeat; None where it has none."""
    words = [unit.folded for unit in units]
    last = len(words) - 1
    for period in range(1, len(words) // REPEATS + 1):
        end = period
        while end < len(words):
            start = end - period
            while end < len(words) and words[end] == words[end - period]:
                end += 1
            run = end - start
            if run >= REPEATS * period and not _are_spoken_digits(units[start:end], period, languages):
                cut_word = end == last and words[end - period].startswith(words[end])
                stop = len(words) if end > last or cut_word else start + run // period * period
                return text[: units[start + period - 1].end] + text[units[stop - 1].end :]
            end += 1
    return None


def deloop(text: str, *languages: str) -> str:
    """Return a text with one repeat of each loop left; the text itself where it has none.

    languages: codes whose words of digits are known for digits: its own, and its alias.
    """
    composed = unicodedata.normalize("NFC", text)
    result = WITHIN_WORD.sub(lambda match: match[1] or match[2], composed)
    while (cut := _cut(result, units_of(result), languages)) is not None:
        result = cut
    return text if result == composed else result.strip()
