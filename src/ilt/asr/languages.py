"""Which languages a model can be told, and what stands in for a language that it does not know."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from ilt.corpus.languages import suggested_code
from ilt.errors import IltError

__all__ = [
    "allowed_languages",
    "check_languages",
    "commit_of",
    "context_seconds",
    "known_languages",
    "note_language_alias",
    "read_config",
    "require_model",
    "whisper_languages",
]

MULTILINGUAL = 51865
"""Whisper vocabularies of this size or more have languages and tasks (openai-whisper, `model.py`)."""


@functools.cache
def _on_hub(model_id: str, revision: str | None) -> bool:
    """Whether the hub answers for this model within seconds; a download would try again for half a minute."""
    from huggingface_hub import HfApi

    try:
        HfApi().model_info(model_id, revision=revision, timeout=5)
    except Exception:  # of whatever library the hub's client asks with: it has changed more than once
        return False
    return True


def _hub_file(model_id: str, revision: str | None, name: str) -> Path | None:
    """A file of a hub model, from the hub or its cache on this machine; None where it cannot be had."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError

    here = not _on_hub(model_id, revision)
    try:
        return Path(hf_hub_download(model_id, name, revision=revision, local_files_only=here))
    except (EntryNotFoundError, HfHubHTTPError, HFValidationError, OSError):
        return None


def commit_of(model_id: str, revision: str | None) -> str | None:
    """The commit of a hub model that a branch or tag stands for now; None where that cannot be known."""
    if found := _hub_file(model_id, revision, "config.json"):
        return found.parent.name if re.fullmatch(r"[0-9a-f]{40}", found.parent.name) else None
    return None


def read_config(model_id: str, revision: str | None, name: str) -> dict[str, Any]:
    """One of a model's JSON files, local or from the hub; {} where it is not there or cannot be had.

    Raises IltError that names the file if it is there and no JSON.
    """
    path = Path(model_id) / name if Path(model_id).is_dir() else _hub_file(model_id, revision, name)
    if path is None or not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # of the text's encoding, too
        raise IltError(f"model.id: {path} is not JSON ({error}); restore the file") from None
    if not isinstance(found, dict):
        raise IltError(f"model.id: {path} holds no JSON object, but a {type(found).__name__}; restore the file")
    return found


def require_model(model_id: str, revision: str | None) -> dict[str, Any]:
    """The config.json of a model; {} for a folder without one.

    Raises IltError where there is no such folder, and no such model on the hub or in its cache.
    """
    config = read_config(model_id, revision, "config.json")
    if config or Path(model_id).is_dir():
        return config
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        try_to_load_from_cache(model_id, "config.json")  # looks at the form of the id
    except HFValidationError:
        raise IltError(
            f"model.id: cannot load {model_id!r}: there is no such folder, and this is no hub id either "
            "(OWNER/NAME); look for a misspelt path"
        ) from None
    at = f" at revision {revision}" if revision and revision != "main" else ""
    raise IltError(
        f"model.id: cannot load {model_id!r}: it is no folder, and the hub has not been reached or has no "
        f"such model{at} (HF_HUB_OFFLINE, a proxy, no network, a misspelt path or id?): hf download "
        f"{model_id} where there is a network, and model.id=FOLDER"
    )


def whisper_languages(config: Mapping[str, Any], generation: Mapping[str, Any]) -> frozenset[str] | None:
    """The languages of a Whisper from its config.json and generation_config.json.

    English-only checkpoints (`*.en`) have no table of languages and say `is_multilingual: false`; older
    ones say nothing, and are told by their forced prompt (language and task, or not) or the size of their
    vocabulary. None: a multilingual one without a table.
    """
    if table := generation.get("lang_to_id"):
        return frozenset(token.strip("<|>") for token in table)
    multilingual = generation.get("is_multilingual")
    if multilingual is None:
        forced = generation.get("forced_decoder_ids") or config.get("forced_decoder_ids") or []
        multilingual = len(forced) > 1 or int(config.get("vocab_size", 0)) >= MULTILINGUAL
    return None if multilingual else frozenset({"en"})


def allowed_languages(known: frozenset[str] | None, language_alias: Mapping[str, str]) -> frozenset[str] | None:
    """The languages that a corpus may have: those that the model knows, and those that one stands in for."""
    return known and known | {code for code, other in language_alias.items() if other in known}


def check_languages(
    found: Iterable[str], known: frozenset[str] | None, language_alias: Mapping[str, str], model_id: str
) -> None:
    """Raise IltError, naming all of them, for languages that the model has not and nothing stands in for."""
    if known is None:
        return
    unknown = sorted({code for code in found if language_alias.get(code, code) not in known})
    if not unknown:
        return
    have = "English alone" if known == {"en"} else f"{len(known)} languages, {', '.join(sorted(known))}"
    mapped = [code for code in unknown if code in language_alias]
    lines = [
        f"  languages.{code}.as: {language_alias[code]!r} is no language of it either"
        + (f"; write {other!r}" if (other := suggested_code(language_alias[code], known)) else "")
        for code in mapped
    ]
    lines += [
        f"  {code}: write {other!r}"
        if (other := suggested_code(code, known))
        else f"  {code}: take it for one that it knows with languages.{code}.as, "
        f"as in languages: {{{code}: {{as: {min(known) if 'en' not in known else 'en'}}}}}"
        for code in unknown
        if code not in mapped
    ]
    raise IltError(
        f"the model {model_id} does not know the language{'s' * (len(unknown) > 1)} "
        f"{', '.join(map(repr, unknown))}; it has {have}:\n" + "\n".join(lines)
    )


def note_language_alias(frame: pl.DataFrame, language_alias: Mapping[str, str]) -> pl.DataFrame:
    """A label table whose `reason` also says which language stood in for the row's, where one did."""
    if not language_alias:
        return frame
    note = pl.format("; decoded as {}", pl.col("language").replace_strict(dict(language_alias), default=None))
    unsaid = note.is_not_null() & ~pl.col("reason").fill_null("").str.ends_with(note)
    return frame.with_columns(reason=pl.when(unsaid).then(pl.concat_str("reason", note)).otherwise("reason"))


def context_seconds(model_id: str, revision: str | None) -> float:
    """How many seconds the model hears at once, from its processor files.

    Raises IltError where there is no such model, or none of these files.
    """
    require_model(model_id, revision)
    for name in ("preprocessor_config.json", "processor_config.json"):
        if value := read_config(model_id, revision, name):
            # transformers takes 30 s where the file does not say.
            return float(value.get("feature_extractor", value).get("chunk_length", 30))
    raise IltError(f"model.id: {model_id} has no preprocessor_config.json")


def known_languages(model_id: str, revision: str | None = None) -> frozenset[str] | None:
    """The language codes that a model can be told, or None where that cannot be told cheaply."""
    config = read_config(model_id, revision, "config.json")
    if config.get("model_type") != "whisper":
        return None
    return whisper_languages(config, read_config(model_id, revision, "generation_config.json"))
