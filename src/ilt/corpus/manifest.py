"""Utterances from a NeMo-style JSONL manifest: everything that is wrong is found in one pass."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from ilt.corpus.audio import RATE, audio_hash, encode_flac, read_audio
from ilt.corpus.overlap import Segments
from ilt.corpus.table import SPLITS
from ilt.errors import IltError, Problem
from ilt.evaluation.normalise import normalise

__all__ = ["Imported", "audio_files", "read_manifest", "read_references"]

LABELLED = ("gold", "dev", "test", "retention")


@dataclass
class Imported:
    """What an import gives: rows of the utterance table, pool references, and what was wrong."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    references: list[dict[str, str]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


@dataclass(frozen=True)
class _Entry:
    where: str
    id: str
    values: dict[str, Any]
    audio: Path


def _lines(path: Path, parameter: str = "corpus.manifest") -> list[tuple[int, str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise IltError(f"{parameter}: {path} does not exist; give the path of a JSONL file") from None
    except IsADirectoryError:
        raise IltError(f"{parameter}: {path} is a folder; give the JSONL file in it") from None
    except UnicodeDecodeError as error:
        raise IltError(f"{parameter}: {path} is not UTF-8 text ({error})") from None
    return [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]


def _parse(line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(
            f"not JSON ({error.msg}, column {error.colno}); expected one object a line"
        ) from None
    except RecursionError:
        raise ValueError("not a manifest line: nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError(f"expected a JSON object, found {type(value).__name__}")
    return value


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check(values: dict[str, Any], languages: frozenset[str] | None) -> list[str]:
    """What is wrong with the fields of one line, without looking at the audio."""
    wrong = []
    if not isinstance(values.get("audio_filepath"), str) or not values["audio_filepath"]:
        wrong.append("audio_filepath is missing; expected a path, relative to the manifest or absolute")
    language, split, text = values.get("lang"), values.get("split"), values.get("text")
    if not isinstance(language, str) or not language:
        wrong.append('lang is missing; expected a language code such as "en"')
    elif languages is not None and language not in languages:
        wrong.append(
            f"the model does not know the language {language!r}; say what it is to be taken for with the "
            f"parameter languages.{language}.as, for example en"
        )
    if split not in SPLITS:
        wrong.append(f"unknown split {split!r}; expected one of {', '.join(SPLITS)}")
    if any(isinstance(value, str) and not _encodable(value) for value in values.values()):
        wrong.append("a value holds half of a surrogate pair, which is no text; write UTF-8")
    elif text is not None and not isinstance(text, str):
        wrong.append(f"text must be a string, found {type(text).__name__}")
    elif split in LABELLED and not (text or "").strip():
        wrong.append(f"text is missing; every {split} row needs one (only the pool does without)")
    elif text and split in LABELLED and not normalise(text, str(language)):
        wrong.append(f"text {text!r} is empty after normalisation; give words, not punctuation alone")
    for name in ("offset", "duration"):
        value = values.get(name)
        if value is not None and (
            isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1e7
        ):
            wrong.append(f"{name} must be a number of seconds, found {value!r}")
    if values.get("speaker") is not None and not isinstance(values["speaker"], str):
        wrong.append(f"speaker must be a string, found {values['speaker']!r}")
    return wrong


def _entries(path: Path, result: Imported, languages: frozenset[str] | None) -> list[_Entry]:
    entries: list[_Entry] = []
    seen: dict[str, str] = {}
    for number, line in _lines(path):
        where = f"{path}:{number}"
        try:
            values = _parse(line)
        except ValueError as error:
            result.problems.append(Problem(where, "", str(error)))
            continue
        name = values.get("audio_filepath")
        stem = Path(name).stem if isinstance(name, str) else ""
        offset = values.get("offset")
        key = str(values.get("id") or (f"{stem}-{offset}" if offset else stem))
        wrong = _check(values, languages)
        if key and key in seen:
            wrong.append(f"duplicate id, already used at {seen[key]}; ids must differ")
        seen.setdefault(key, where)
        result.problems += [Problem(where, key, what) for what in wrong]
        if not wrong:
            entries.append(_Entry(where, key, values, path.parent / values["audio_filepath"]))
    return entries


def _load(entry: _Entry, min_duration: float, max_duration: float) -> np.ndarray | str:
    values = entry.values
    # NeMo's duration bounds a segment; without an offset it only describes the file.
    bounded = values.get("duration") if values.get("offset") is not None else None
    try:
        samples = read_audio(entry.audio, float(values.get("offset") or 0.0), bounded)
    except ValueError as error:
        return f"{error} ({entry.audio})"
    seconds = len(samples) / RATE
    if seconds < min_duration:
        return f"{seconds:.3f} s is too short; expected at least {min_duration} s (corpus.min_duration)"
    if seconds > max_duration:
        return (
            f"{seconds:.2f} s is too long; expected at most {max_duration:g} s, which is what the model "
            "hears at once (or corpus.max_duration); cut it into segments"
        )
    return samples


def read_manifest(
    path: Path, min_duration: float, max_duration: float, languages: frozenset[str] | None
) -> Imported:
    """Read a manifest and all audio in it.

    Lines have `audio_filepath` (relative to the manifest, or absolute), `lang`, `split`, `text` (not needed
    in the pool, where it is kept apart as a reference), and optionally `id`, `speaker`, `offset`, `duration`.
    max_duration: seconds. languages: codes that the model knows, or None for any.
    Problems with lines are collected; raises IltError where the manifest itself cannot be read.
    """
    result = Imported()
    entries = _entries(path, result, languages)
    heard: dict[str, tuple[str, str]] = {}
    segments = Segments()
    with ThreadPoolExecutor() as pool:
        loaded = pool.map(lambda entry: _load(entry, min_duration, max_duration), entries)
        for entry, samples in zip(entries, loaded, strict=True):
            if isinstance(samples, str):
                result.problems.append(Problem(entry.where, entry.id, samples))
                continue
            values, digest = entry.values, audio_hash(samples)
            split = values["split"]
            if digest in heard and heard[digest][1] != split:
                what = f"the same audio as {heard[digest][0]!r}, which is in {heard[digest][1]}: a leak"
                result.problems.append(Problem(entry.where, entry.id, what))
                continue
            place = (entry.audio.resolve(), float(values.get("offset") or 0.0), len(samples) / RATE)
            if other := segments.other_split(*place, split):
                what = f"overlaps {other[0]!r} in the same file, which is in {other[1]}: a leak"
                result.problems.append(Problem(entry.where, entry.id, what))
                continue
            segments.add(*place, entry.id, split)
            heard.setdefault(digest, (entry.id, split))
            text = (values.get("text") or "").strip() or None
            if split == "pool" and text:
                result.references.append({"id": entry.id, "text": text})
            result.rows.append(
                {
                    "id": entry.id,
                    "language": values["lang"],
                    "speaker": values.get("speaker"),
                    "split": split,
                    "duration": len(samples) / RATE,
                    "audio": {"path": values["audio_filepath"], "bytes": encode_flac(samples)},
                    "text": None if split == "pool" else text,
                    "audio_hash": digest,
                }
            )
    return result


def read_references(path: Path) -> pl.DataFrame:
    """What was really said in the pool: JSONL with `id` and `text`. Raises IltError with the line."""
    rows = []
    for number, line in _lines(path, "corpus.pool_reference"):
        try:
            values = _parse(line)
        except ValueError as error:
            raise IltError(f"{path}:{number}: {error}") from None
        if not isinstance(values.get("id"), str) or not isinstance(values.get("text"), str):
            raise IltError(f"{path}:{number}: expected id and text, both strings")
        rows.append({"id": values["id"], "text": values["text"]})
    return pl.DataFrame(rows, schema={"id": pl.String, "text": pl.String})


def audio_files(path: Path) -> list[Path]:
    """The audio files that the readable lines of a manifest name, sorted."""
    found = set()
    for _, line in _lines(path):
        try:
            found.add(path.parent / str(_parse(line)["audio_filepath"]))
        except (ValueError, KeyError):
            continue
    return sorted(found)
