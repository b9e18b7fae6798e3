"""Languages of a model, and the aliases under which it takes languages that it does not know."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

from ilt.asr.model_files import read_config
from ilt.corpus.languages import suggested_code
from ilt.errors import IltError

__all__ = [
    "allowed_languages",
    "check_languages",
    "known_languages",
    "note_language_alias",
    "whisper_languages",
]

MULTILINGUAL = 51865
"""Whisper vocabularies of this size or more have languages and tasks (openai-whisper, `model.py`)."""


def whisper_languages(config: Mapping[str, Any], generation: Mapping[str, Any]) -> frozenset[str] | None:
    """Return the languages of a Whisper from its config.json and generation_config.json.

    English-only checkpoints (`*.en`) have no table of languages and say `is_multilingual: false`. Older ones do not:
    their forced prompt (language and task, or neither) or the size of their vocabulary decides. None: a multilingual
    one without a table.
    """
    if table := generation.get("lang_to_id"):
        return frozenset(token.strip("<|>") for token in table)
    multilingual = generation.get("is_multilingual")
    if multilingual is None:
        forced = generation.get("forced_decoder_ids") or config.get("forced_decoder_ids") or []
        multilingual = len(forced) > 1 or int(config.get("vocab_size", 0)) >= MULTILINGUAL
    return None if multilingual else frozenset({"en"})


def known_languages(model_id: str, revision: str | None = None) -> frozenset[str] | None:
    """Return the language codes that a model knows, or None where its configuration does not list them."""
    config = read_config(model_id, revision, "config.json")
    if config.get("model_type") != "whisper":
        return None
    return whisper_languages(config, read_config(model_id, revision, "generation_config.json"))


def allowed_languages(known: frozenset[str] | None, language_alias: Mapping[str, str]) -> frozenset[str] | None:
    """Return the languages that a corpus may have: known ones, and those whose alias is known. None: any."""
    return known and known | {code for code, other in language_alias.items() if other in known}


def check_languages(
    codes: Iterable[str],
    known: frozenset[str] | None,
    language_alias: Mapping[str, str],
    model_id: str,
    how: str = "languages.{}.as: {}",
) -> None:
    """Raise IltError that names all languages which neither the model knows nor an alias stands for.

    Each has the code to write, where it is another name of one that the model knows. how: to say that one language
    stands for another, with places for both.
    """
    if known is None:
        return
    unknown = sorted({code for code in codes if language_alias.get(code, code) not in known})
    if not unknown:
        return
    have = "English alone" if known == {"en"} else f"{len(known)} languages, {', '.join(sorted(known))}"
    mapped = [code for code in unknown if code in language_alias]
    lines = [
        f"  {how.format(code, repr(language_alias[code]))} is no language of it either"
        + (f"; write {other!r}" if (other := suggested_code(language_alias[code], known)) else "")
        for code in mapped
    ]
    lines += [
        f"  {code}: write {other!r}"
        if (other := suggested_code(code, known))
        else f"  {code}: say which one that it knows stands for it, as {how.format(code, 'CODE')}"
        for code in unknown
        if code not in mapped
    ]
    raise IltError(
        f"the model {model_id} does not know the language{'s' * (len(unknown) > 1)} "
        f"{', '.join(map(repr, unknown))}; it has {have}:\n" + "\n".join(lines)
    )


def note_language_alias(frame: pl.DataFrame, language_alias: Mapping[str, str]) -> pl.DataFrame:
    """Add to each `reason` of a label table the language that stood in for the row's, where one did."""
    if not language_alias:
        return frame
    note = pl.format("; decoded as {}", pl.col("language").replace_strict(dict(language_alias), default=None))
    missing = note.is_not_null() & ~pl.col("reason").fill_null("").str.ends_with(note)
    return frame.with_columns(reason=pl.when(missing).then(pl.concat_str("reason", note)).otherwise("reason"))
