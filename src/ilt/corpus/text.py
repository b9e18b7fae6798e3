"""Treatment of transcripts, one for all formats: cleaned, or a problem. docs/corpora.md describes it."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["MAX_CHARS_PER_SECOND", "SHORTEST_PACE", "CleanText", "clean_text", "pace_problem", "text_problems"]

MAX_CHARS_PER_SECOND = 40.0
"""The limit that `select` has for pseudo-labels by default. People who speak fast utter 8 to 10 syllables a second,
which are 20 to 30 letters: above 40, the text or the times are of something else."""

SHORTEST_PACE = 0.5
"""Seconds: a shorter utterance is taken for so long, since a few letters are a high rate there."""

SPACES = re.compile(r"[\x00-\x1f\x7f-\x9f\s]+")
"""White space of all kinds, the separators U+2028 and U+2029 included, and control characters."""

INVISIBLE = re.compile("[\u00ad\u061c\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]")
"""Soft hyphen, zero-width space, marks of direction, byte order mark. Joiners (U+200C, U+200D) are spelling."""

CONTROL_TOKEN = re.compile(r"<\|[^|<>]*\|>")
"""A control token of Whisper, Qwen2-Audio and others, as `<|endoftext|>`."""

ANNOTATION = re.compile(
    r"""\[[^\[\]]*\] | \{[^{}]*\} | <(?!\|)[^\s<>][^<>]*> | 【[^【】]*】 | 〔[^〔〕]*〕 | ［[^［］]*］ | ＜[^＜＞]*＞ |
        (?<!\w)\(+[^()]*\)+(?!\w) | （[^（）]*） | [♩♪♫♬]+""",
    re.VERBOSE,
)
"""Annotations such as `[noise]`, `<unk>`, `{laugh}`, `(laughter)`, `（笑）`, `♪`. Whisper's normalisers, which errors
are counted with, drop square, angle and round brackets too. Round ones within a word are spelling: `word(s)`."""

NULLS = frozenset({"NULL", "null", "NaN", "nan", "NAN", "None", "N/A", "n/a", "#N/A", "<NA>", "undefined"})
"""Texts with which programs write that they have none."""

ZERO_IS_NULL = frozenset({"de", "et", "fo", "lb", "nn", "no"})
"""Languages in which people say `null`: it is their zero."""


@dataclass(frozen=True, slots=True)
class CleanText:
    """A transcript after cleaning.

    cleaned:     whether characters were replaced or deleted within it.
    annotations: those that it had; they are still in `text` unless they were dropped.
    """

    text: str
    cleaned: bool = False
    annotations: tuple[str, ...] = ()


def clean_text(text: str, tags: str) -> CleanText:
    """Return a transcript on one line, with single spaces, and with tags "drop" without its annotations."""
    stripped = text.strip()
    plain = " ".join(SPACES.sub(" ", INVISIBLE.sub("", stripped)).split())
    annotations = tuple(ANNOTATION.findall(plain))
    rest = plain
    while tags == "drop" and ANNOTATION.search(rest):  # of nested ones, the inner go first
        rest = ANNOTATION.sub(" ", rest)
    if annotations:
        rest = re.sub(r"\s+(?=[,.;:!?…])", "", " ".join(rest.split())).lstrip(",.;: ") if tags == "drop" else rest
    return CleanText(rest, plain != stripped, annotations)


def text_problems(text: CleanText, language: str | None, tags: str) -> list[str]:
    """Return what is wrong with a transcript that is to be trained on or scored against."""
    problems = []
    if token := CONTROL_TOKEN.search(text.text):
        problems.append(
            f"text holds {token[0]!r}, which is a control token of models and no word; write what is said alone"
        )
    if "\ufffd" in text.text:
        problems.append("text holds U+FFFD, which stands for a character that was lost; restore it from the original")
    if text.text in NULLS and not (text.text == "null" and language in ZERO_IS_NULL):
        problems.append(
            f"text is {text.text!r}, with which programs write that there is none; give the words, drop the row, or "
            f"where this is what is said, write {text.text.lower() + '.'!r}"
        )
    if text.annotations and tags == "fail":
        problems.append(
            f"text holds the annotation {text.annotations[0]!r}, which nobody says; take it out, or say "
            "corpus.tags: drop"
        )
    if text.annotations and not text.text:
        tagged = " ".join(text.annotations)
        problems.append(f"text is {tagged!r}, annotations and no words; give the words, or drop the row")
    return problems


def pace_problem(text: str, seconds: float) -> str | None:
    """Return why a text cannot be said in `seconds`, or None where it can."""
    if len(text) <= MAX_CHARS_PER_SECOND * max(seconds, SHORTEST_PACE):
        return None
    return (
        f"text has {len(text)} characters for {seconds:.2f} s; nobody says more than {MAX_CHARS_PER_SECOND:g} a "
        "second: look whether text and times belong together"
    )
