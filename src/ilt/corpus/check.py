"""What can be wrong with a row before its audio is looked at."""

from __future__ import annotations

import re

from ilt.corpus.formats.row import Row
from ilt.corpus.table import SPLITS
from ilt.evaluation.normalise import normalise

__all__ = ["LABELLED", "faults", "printable"]

LABELLED = ("gold", "dev", "test", "retention", "replay")
"""Splits whose rows need a text."""


UNPRINTABLE = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029\\ud800-\\udfff]")
"""Control characters, separators of lines, and halves of surrogate pairs."""


def printable(name: str) -> str:
    """A name as it can stand in a message and in a table: what cannot be printed is escaped."""
    return UNPRINTABLE.sub(lambda match: match[0].encode("unicode_escape").decode(), name)


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _unknown_language(code: str, known: frozenset[str]) -> str:
    some = [other for other in ("de", "en", "es", "ko", "zh") if other in known]
    named = ", ".join(sorted(known)) if len(known) < 12 else f"{len(known)}, with codes as {', '.join(some)}"
    return (
        f"the model does not know the language {code!r}; it has {named}. If this is another name of one of "
        f"them, write its code (`lang` in a manifest, language: {{{code}: CODE}} in corpus.sources); if not, "
        f"say which one it is to be taken for: languages: {{{code}: {{as: CODE}}}} in params.yaml"
    )


def faults(row: Row, languages: frozenset[str] | None) -> list[str]:
    """Everything that is wrong with a row, what its format saw first.

    languages: codes that the model knows, or None for any.
    """
    wrong = list(row.faults)
    if row.broken:
        return wrong
    # Fields of which the format has said already what is wrong with them.
    told = {what.split(" ", 1)[0] for what in row.faults}
    if not row.language:
        if not told & {"lang", "language"}:
            wrong.append('lang is missing; expected a language code such as "en"')
    elif languages is not None and row.language not in languages:
        wrong.append(_unknown_language(row.language, languages))
    if row.split is None:
        if "split" not in told:
            wrong.append(
                f"split is missing; expected one of {', '.join(SPLITS)} with the row, or split: NAME for all "
                "rows of a source in corpus.sources"
            )
    elif row.split not in SPLITS:
        wrong.append(
            f"unknown split {row.split!r}; expected one of {', '.join(SPLITS)}, or split: "
            f"{{{row.split}: ...}} in corpus.sources"
        )
    strings = (row.id, row.name, row.language, row.speaker, row.split, row.text)
    if any(value is not None and not _encodable(value) for value in strings):
        wrong.append("a value holds half of a surrogate pair, which is no text; write UTF-8")
        return wrong
    wrong += [
        f"the {name} {value!r} holds a control character, as a tab or a line feed; take it out"
        for name, value in (("id", row.id), ("speaker", row.speaker))
        if value and UNPRINTABLE.search(value)
    ]
    if row.split in LABELLED and not (row.text or "").strip():
        if "text" not in told:
            wrong.append(f"text is missing; every {row.split} row needs one (only the pool does without)")
    elif row.text and row.split in LABELLED and not normalise(row.text, str(row.language)):
        wrong.append(f"text {row.text!r} is empty after normalisation; give words, not punctuation alone")
    return wrong
