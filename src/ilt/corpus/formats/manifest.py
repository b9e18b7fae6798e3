"""NeMo-style JSONL manifests, and the references of a pool."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeGuard

import polars as pl

from ilt.corpus.formats.row import Row, Source, lines
from ilt.errors import IltError
from ilt.params import SourceParams

__all__ = ["Manifest", "open_source", "read_references"]


def _parse(line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON ({error.msg}, column {error.colno}); expected one object a line") from None
    except RecursionError:
        raise ValueError("not a manifest line: nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError(f"expected a JSON object, found {type(value).__name__}")
    return value


def _seconds(value: Any) -> TypeGuard[float]:
    return not isinstance(value, bool) and isinstance(value, (int, float)) and 0 <= value < 1e7


def _faults(values: dict[str, Any]) -> list[str]:
    """What is wrong with the types of the fields of one line."""
    wrong = []
    if not isinstance(values.get("audio_filepath"), str) or not values["audio_filepath"]:
        wrong.append("audio_filepath is missing; expected a path, relative to the manifest or absolute")
    if values.get("text") is not None and not isinstance(values["text"], str):
        wrong.append(f"text must be a string, found {type(values['text']).__name__}")
    wrong += [
        f"{name} must be a number of seconds, found {values[name]!r}"
        for name in ("offset", "duration")
        if values.get(name) is not None and not _seconds(values[name])
    ]
    wrong += [
        f"{name} must be a string, found {values[name]!r}"
        for name in ("lang", "speaker")
        if values.get(name) is not None and not isinstance(values[name], str)
    ]
    return wrong


def _string(value: Any) -> str | None:
    return value if isinstance(value, str) else None


class Manifest(Source):
    """A manifest: lines with `audio_filepath`, `lang`, `split`, `text` (not needed in the pool).

    Optionally `id` (else made of the file's name and the offset), `speaker`, `offset` and `duration` in
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
                values = _parse(line)
            except ValueError as error:
                yield Row(where, "", faults=(str(error),), broken=True)
                continue
            name, split = _string(values.get("audio_filepath")), values.get("split")
            offset, duration = values.get("offset"), values.get("duration")
            stem = Path(name).stem if name else ""
            given = "" if values.get("id") is None else str(values["id"]).strip()
            yield Row(
                where,
                given or (f"{stem}-{offset}" if offset else stem),
                self.root / name if name else None,
                name,
                _string(values.get("lang")),
                _string(values.get("speaker")),
                None if split is None else str(split),
                _string(values.get("text")),
                float(offset) if _seconds(offset) else None,
                # NeMo's duration bounds a segment; without an offset it only describes the file.
                float(duration) if _seconds(duration) and offset is not None else None,
                tuple(_faults(values)),
            )


def read_references(path: Path) -> pl.DataFrame:
    """What was really said in the pool: JSONL with `id` and `text`. Raises IltError with the line."""
    rows = []
    for number, line in lines(path, "corpus.pool_reference", "a JSONL file"):
        try:
            values = _parse(line)
        except ValueError as error:
            raise IltError(f"{path}:{number}: {error}") from None
        if not isinstance(values.get("id"), str) or not isinstance(values.get("text"), str):
            raise IltError(f"{path}:{number}: expected id and text, both strings")
        rows.append({"id": values["id"].strip(), "text": values["text"]})
    return pl.DataFrame(rows, schema={"id": pl.String, "text": pl.String})


def open_source(params: SourceParams, parameter: str) -> list[Source]:
    """Open what `corpus.sources` names."""
    return [Manifest(Path(params.path), parameter, Path(params.audio) if params.audio else None)]
