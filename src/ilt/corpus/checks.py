"""Checks of rows before their audio is read, and of the corpus as a whole."""

from __future__ import annotations

import re
from collections.abc import Mapping

import polars as pl

from ilt.corpus.formats.row import LINE, Row
from ilt.corpus.languages import unknown_language
from ilt.corpus.table import SPLITS
from ilt.corpus.text import CleanText, text_problems
from ilt.errors import IltError
from ilt.evaluation.normalise import normalise
from ilt.params import LEAST_DEV

__all__ = ["LABELLED", "check_corpus", "check_named_languages", "row_problems", "warn_of_small_dev"]

LABELLED = ("gold", "dev", "test", "retention", "replay")
"""Splits whose rows need a text."""

UNPRINTABLE = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029\\ud800-\\udfff]")
"""Control characters, separators of lines, and halves of surrogate pairs."""


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _split_problems(row: Row) -> list[str]:
    if row.split in SPLITS or "split" in row.faults:
        return []
    known = ", ".join(SPLITS)
    if row.split is None:
        what = f"split is missing; expected one of {known} with the row, or split: NAME for all rows of a source in "
        return [what + "corpus.sources"]
    return [f"unknown split {row.split!r}; expected one of {known}, or split: {{{row.split}: ...}} in corpus.sources"]


def _language_problems(row: Row, known: frozenset[str] | None) -> list[str]:
    if not row.language:
        return [] if "language" in row.faults else ['lang is missing; expected a language code such as "en"']
    return [unknown_language(row.language, known)] if known is not None and row.language not in known else []


def _labelled_text_problems(row: Row, text: CleanText, tags: str) -> list[str]:
    problems = text_problems(text, row.language, tags)
    if not text.text and not problems and "text" not in row.faults:
        problems.append(f"text is missing; every {row.split} row needs one (only the pool does without)")
    elif text.text and not problems and not normalise(text.text, str(row.language)):
        problems.append(f"text {text.text!r} is empty after normalisation; give words, not punctuation alone")
    return problems


def row_problems(row: Row, text: CleanText, languages: frozenset[str] | None, tags: str) -> list[str]:
    """Return everything that is wrong with a row, first what its format noticed.

    text: the row's, cleaned. languages: codes that the model knows, or None for any. tags: `corpus.tags`.
    """
    problems = list(row.faults.values())
    if LINE in row.faults:
        return problems
    problems += _language_problems(row, languages) + _split_problems(row)
    strings = (row.id, row.name, row.language, row.speaker, row.split, row.text)
    if any(value is not None and not _encodable(value) for value in strings):
        return [*problems, "a value holds half of a surrogate pair, which is no text; write UTF-8"]
    problems += [
        f"the {name} {value!r} holds a control character, as a tab or a line feed; take it out"
        for name, value in (("id", row.id), ("speaker", row.speaker), ("language", row.language))
        if value and UNPRINTABLE.search(value)
    ]
    if row.split in LABELLED:
        problems += _labelled_text_problems(row, text, tags)
    return problems


def check_corpus(rows: pl.DataFrame) -> None:
    """Raise IltError where no iteration could mean anything: no rows in a split, no gold in a language.

    rows: with the columns `split` and `language`.
    """
    counts = dict(rows.group_by("split").len().iter_rows())
    problems = [
        f"the split {split!r} has no utterances; gold, pool, dev and test are all needed"
        for split in ("gold", "pool", "dev", "test")
        if not counts.get(split)
    ]
    gold = set(rows.filter(pl.col("split") == "gold")["language"])
    target = rows.filter(~pl.col("split").is_in(["retention", "replay"]))  # of languages that are not adapted to, too
    problems += [
        f"the language {language!r} has no gold utterances, so that nothing can adapt to it; "
        "label some, or drop the language"
        for language in sorted(set(target["language"]) - gold)
    ]
    if problems:
        raise IltError("the corpus cannot be trained on:\n" + "\n".join(f"  {line}" for line in problems))


def check_named_languages(rows: pl.DataFrame, named: Mapping[str, str]) -> None:
    """Raise IltError for entries of `languages` that the corpus has no utterances of.

    rows: with the column `language`. named: by code, the key of its entry.
    """
    known = rows["language"].unique().sort().to_list()
    problems = [
        f"languages.{code}.{key}: the corpus has no utterances of {code!r}; its languages are {', '.join(known)}"
        for code, key in sorted(named.items())
        if code not in known
    ]
    if problems:
        raise IltError("\n".join(problems))


def warn_of_small_dev(rows: pl.DataFrame) -> None:
    """Print where dev is too small for `select`, so that nobody learns that after hours of training.

    No error: one LoRA on gold (`adapter.mode=single`) needs no calibration.
    """
    count = len(rows.filter(pl.col("split") == "dev"))
    if count < LEAST_DEV:
        print(
            f"dev has {count} utterances: select needs {LEAST_DEV} at least to calibrate expected errors on, "
            "and some hundred are better"
        )
