"""Phrases that Whisper is known to invent over silence and music.

Their files, one a language, hold what users collected (openai/whisper discussion 928), and the sign-offs of videos and
the credits of subtitles that it comes from. A line is one phrase.

`= thank you`       people say it, too: it counts where nothing else is said, in its own language or its alias.
`subtitles by *`    the star stands for a name, of at most two words that end the text.
all other lines     nobody says to a listener who cannot see: they count in every language, since Whisper writes
                    them in others than it was told.
"""

from __future__ import annotations

import functools
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from importlib import resources
from typing import NamedTuple

from ilt.labels.units import UNSPACED, units_of

__all__ = ["is_invented"]

DATA_FILES = "phrases/*.txt"
"""Data files that decide results beside this code; see `ilt.digest`."""

SHARE = 0.7
"""Share of a text's units from which phrases make it an invented one; our own choice. A label with fewer of them can
be of somebody who speaks of watching or of subtitles: `thank you for watching my dog` has two thirds."""

NAME_WORDS, NAME_UNITS = 2, 6
"""Words that a name has at most, and characters in scripts without spaces."""


class _Phrase(NamedTuple):
    units: tuple[str, ...]
    named: bool


Phrases = dict[str, list[_Phrase]]
"""Phrases by their first unit."""


def _compared(text: str) -> list[str]:
    return [unit.folded for unit in units_of(unicodedata.normalize("NFC", text))]


def _lines() -> Iterator[tuple[str, str]]:
    """Yield the language and the text of each line."""
    for path in sorted((resources.files("ilt.labels") / "phrases").iterdir(), key=lambda path: path.name):
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.strip() and not line.startswith("#"):
                yield path.name.removesuffix(".txt"), line.strip()


@functools.cache
def _phrases() -> dict[str, Phrases]:
    """Return what counts in every language, as "", and what counts in each alone."""
    result: dict[str, Phrases] = defaultdict(lambda: defaultdict(list))
    for language, line in _lines():
        units = tuple(_compared(line.lstrip("= ").rstrip("* ")))
        phrases = result[language if line.startswith("=") else ""]
        phrases[units[0]].append(_Phrase(units, line.endswith("*")))
    return result


def _is_year(unit: str) -> bool:
    return len(unit) == 4 and unit.isdecimal() and unit[:2] in ("19", "20")


def _mark(units: list[str], phrases: Phrases, covered: list[bool]) -> None:
    """Mark the units that phrases cover."""
    for at, unit in enumerate(units):
        for phrase in phrases.get(unit, ()):
            end = at + len(phrase.units)
            if tuple(units[at:end]) != phrase.units:
                continue
            if phrase.named:
                name = units[end:]
                if not 0 < len(name) <= (NAME_UNITS if all(map(UNSPACED.match, name)) else NAME_WORDS):
                    continue
                end = len(units)
            covered[at:end] = [True] * (end - at)


def is_invented(text: str, *languages: str) -> bool:
    """Return whether a text is, by a share of `SHARE` of its units or by all of them, what Whisper invents.

    languages: its own, and its alias. Case, accents, punctuation, quotes and apostrophes do not count, nor do years.
    """
    units = [unit for unit in _compared(text) if not _is_year(unit)]
    covered = [False] * len(units)
    _mark(units, _phrases()[""], covered)
    if units and sum(covered) >= SHARE * len(units):
        return True
    for language in languages:
        _mark(units, _phrases().get(language, {}), covered)
    return bool(units) and all(covered)
