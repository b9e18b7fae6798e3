"""Treatment of transcripts, one for all formats: cleaned, or a problem. docs/corpora.md describes it."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass

import regex

__all__ = [
    "INVISIBLE",
    "MAX_CHARS_PER_SECOND",
    "SHORTEST_PACE",
    "CleanText",
    "clean_text",
    "pace_problem",
    "text_problems",
]

MAX_CHARS_PER_SECOND = 40.0
"""The limit that `select` has for pseudo-labels by default. People who speak fast utter 8 to 10 syllables a second,
which are 20 to 30 letters: above 40, the text or the times are of something else. A sign that writes a syllable counts
twice."""

SYLLABLES = regex.compile(r"[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\uac00-\ud7a3]")
"""Chinese characters, kana and Hangul: at most 20 a second, twice what people who speak fast utter."""

SHORTEST_PACE = 0.5
"""Seconds: a shorter utterance is taken for so long, since a few letters are a high rate there."""

SPACES = re.compile(r"[\x00-\x1f\x7f-\x9f\s]+")
"""White space of all kinds, the separators U+2028 and U+2029 included, and control characters."""

INVISIBLE = regex.compile(
    "(?![\u034f\u180b-\u180f\u200c\u200d\ufe00-\ufe0f\U000e0100-\U000e01ef])"
    "[\\p{Default_Ignorable_Code_Point}\ufff9-\ufffb]"
)
"""What Unicode says has no picture: soft hyphen, zero-width space, marks of direction, byte order mark, fillers.
Joiners (U+200C, U+200D) and variation selectors choose a form of a letter, which is spelling; scoring drops them."""

ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z]\w{1,30});")
"""A character as HTML and XML write it: `&amp;`, `&#39;`."""

ESCAPE = re.compile(r"\\(?:[nrt\"']|u[0-9a-fA-F]{4})")
"""A character as programs write it within quotes."""

CONTROL_TOKEN = re.compile(r"<\|[^|<>]*\|>")
"""A control token of Whisper, Qwen2-Audio and others, as `<|endoftext|>`."""

ANNOTATION = re.compile(
    r"""\[[^\[\]]*\] | \{[^{}]*\} | (?<!<)<+(?!\|)[^\s<>][^<>]*>+ | 【[^【】]*】 | 〔[^〔〕]*〕 | ［[^［］]*］ |
        ＜[^＜＞]*＞ | (?<!\w)\(+[^()]*\)+(?!\w) | （[^（）]*） | (?<![\w*])\*+[^\s*](?:[^*]*[^\s*])?\*+(?![\w*]) |
        (?<!\S)\+\+[^\s+]+\+\+(?!\w) | (?<!\S)%[^\W\d]\w*%? | (?<!\S)&[-=+~]\w+ | [♩♪♫♬¶🎵🎶🎼]+""",
    re.VERBOSE,
)
"""Annotations such as `[noise]`, `<unk>`, `{um}`, `(laughter)`, `（笑）`, `*cough*`, `♪`; `++um++` and `%um` of the
LDC, `&-uh` and `&=laughs` of CHAT. Whisper's normalisers, which errors are counted with, drop square, angle and round
brackets too. Round ones within a word are spelling: `word(s)`."""

HALVES = re.compile(r"[\[\]{}【】〔〕［］]")
"""Brackets that nobody writes but around annotations."""

NULLS = frozenset(
    {
        *("NULL", "Null", "null", "NaN", "nan", "NAN", "-nan", "None", "NA", "N/A", "n/a", "undefined", "\\N"),
        *("#N/A", "#NULL!", "#REF!", "#VALUE!", "#NAME?", "#DIV/0!", "#NUM!", "<NA>", "<NULL>", "<null>", "<nan>"),
    }
)
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
    plain = ENTITY.sub(lambda match: html.unescape(match[0]), stripped)
    plain = " ".join(SPACES.sub(" ", INVISIBLE.sub("", plain)).split())
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
    if escape := ESCAPE.search(text.text):
        problems.append(f"text holds {escape[0]}, a character as programs write it; write the character itself")
    dropped = tags == "drop" or (tags == "fail" and not text.annotations)
    if dropped and (half := HALVES.search(text.text)):
        problems.append(f"text holds {half[0]!r} without its other half; close the annotation, or take it out")
    if text.text in NULLS and not (text.text in ("null", "Null") and language in ZERO_IS_NULL):
        problems.append(
            f"text is {text.text!r}, with which programs write that there is none; give the words, drop the row, or "
            f"where this is what is said, write {text.text.lower() + '.'!r}"
        )
    if text.annotations and not clean_text(text.text, "drop").text:
        tagged = " ".join(text.annotations)
        problems.append(f"text is {tagged!r}, annotations and no words; give the words, or drop the row")
    elif text.annotations and tags == "fail":
        problems.append(
            f"text holds the annotation {text.annotations[0]!r}, which nobody says; take it out, or say "
            "corpus.tags: drop"
        )
    return problems


def pace_problem(text: str, seconds: float) -> str | None:
    """Return why a text cannot be said in `seconds`, or None where it can."""
    syllables = len(SYLLABLES.findall(text))
    if len(text) + syllables <= MAX_CHARS_PER_SECOND * max(seconds, SHORTEST_PACE):
        return None
    most = MAX_CHARS_PER_SECOND / 2 if 2 * syllables > len(text) else MAX_CHARS_PER_SECOND
    return (
        f"text has {len(text)} characters for {seconds:.2f} s; nobody says more than {most:g} a second: look whether "
        "text and times belong together"
    )
