"""NeMo-style manifests: JSONL with a line for each utterance."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeGuard

from ilt.corpus.formats.columns import nearly
from ilt.corpus.formats.lines import WrittenFloat, json_object, lines
from ilt.corpus.formats.row import Row, Source, audio_id, unreadable
from ilt.params import SourceParams

__all__ = ["Manifest", "open_source"]

KEYS = {
    "audio": "audio_filepath", "text": "text", "language": "lang", "split": "split", "speaker": "speaker",
    "id": "id", "offset": "offset", "duration": "duration",
}  # fmt: skip
"""Keys of a line, by field."""


def _is_seconds(value: Any) -> TypeGuard[float]:
    return not isinstance(value, bool) and isinstance(value, (int, float)) and 0 <= value < 1e7


@functools.lru_cache(maxsize=1024)  # lines of one manifest have few sets of keys
def _near_keys(keys: tuple[str, ...]) -> dict[str, str]:
    """Return problems with keys that are nearly one that is missing, by field."""
    problems = {}
    for field, known in KEYS.items():
        near = [key for key in keys if key not in KEYS.values() and (nearly(key, known) or key.strip() == field)]
        if near and known not in keys:
            problems[field] = f"the key {near[0]!r} is nearly {known!r}, the one that is read; rename it"
    return problems


def _faults(values: dict[str, Any]) -> dict[str, str]:
    """Return what is wrong with the keys and types of one line, by field."""
    faults = {}
    for field, key in KEYS.items():
        value = values.get(key)
        if value is None:
            continue
        if field in ("offset", "duration"):
            if not _is_seconds(value):
                faults[field] = f"{key} must be a number of seconds, found {value!r}"
        elif field in ("id", "split"):
            if isinstance(value, bool | list | dict):
                faults[field] = f"{key} must be a string or a number, found {value!r}"
        elif not isinstance(value, str):
            faults[field] = f"{key} must be a string, found {value!r}"
    faults |= _near_keys(tuple(values))
    if not values.get(KEYS["audio"]):
        faults.setdefault("audio", f"{KEYS['audio']} is missing; expected a path, relative to the manifest or absolute")
    return faults


def _string(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _name(value: Any) -> str | None:
    """Return an id or a split as it is written."""
    if value is None or isinstance(value, bool | list | dict):
        return None
    return value.written if isinstance(value, WrittenFloat) else str(value)


class Manifest(Source):
    """A manifest: lines with `audio_filepath`, `lang`, `split`, `text` (not needed in the pool).

    Optionally `id` (else made of the path of the audio and the offset), `speaker`, `offset` and `duration` in
    seconds. root: where relative paths start; None: the manifest's folder.
    """

    def __init__(self, path: Path, parameter: str = "corpus.manifest", root: Path | None = None) -> None:
        self.path, self.parameter, self.root = path, parameter, root or path.parent

    def tables(self) -> list[Path]:
        return [self.path]

    def rows(self) -> Iterator[Row]:
        for number, line in lines(self.path, self.parameter, "a JSONL file"):
            where = f"{self.path}:{number}"
            try:
                values = json_object(line)
            except ValueError as error:
                yield unreadable(where, str(error))
                continue
            name, offset, duration = _string(values.get("audio_filepath")), values.get("offset"), values.get("duration")
            offset = offset if _is_seconds(offset) else None
            key = (_name(values.get("id")) or "").strip()
            yield Row(
                where,
                key or audio_id(name, self.root, str(offset or "")),
                self.root / name if name else None,
                name,
                _string(values.get("lang")),
                _string(values.get("speaker")),
                _name(values.get("split")),
                _string(values.get("text")),
                None if offset is None else float(offset),
                # NeMo's duration bounds a segment; without an offset it only describes the file.
                float(duration) if _is_seconds(duration) and "offset" in values else None,
                _faults(values),
            )


def open_source(params: SourceParams, parameter: str) -> list[Source]:
    """Open what `corpus.sources` names."""
    return [Manifest(Path(params.path), parameter, Path(params.audio) if params.audio else None)]
