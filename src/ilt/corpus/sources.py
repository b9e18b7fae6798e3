"""Sources that the parameters name, each with its own names of splits and languages put to ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from ilt.corpus.formats import FORMATS
from ilt.corpus.formats.lines import json_object, lines
from ilt.corpus.formats.row import Row, Source
from ilt.corpus.languages import suggested_code, unknown_language
from ilt.corpus.text import clean_text
from ilt.errors import IltError
from ilt.params import CorpusParams, SourceParams

__all__ = ["check_source_languages", "open_sources", "read_references"]


@dataclass(frozen=True)
class _Mapped(Source):
    """A source whose rows are given splits and languages by `corpus.sources`, and a prefix."""

    source: Source
    params: SourceParams

    def tables(self) -> list[Path]:
        return self.source.tables()

    def audio_files(self) -> list[Path]:
        return self.source.audio_files()

    def rows(self) -> Iterator[Row]:
        params, prefix = self.params, self.params.prefix
        languages = params.language
        if not isinstance(languages, str):
            languages = {**self.source.languages, **(languages or {})}
        # What a row says of its language or split does not matter where the parameters say it for all.
        unasked = {name for name in ("language", "split") if isinstance(getattr(params, name), str)}
        for row in self.source.rows():
            split, wanted = _mapped(row.split, params.split)
            language, known = _mapped(row.language, languages, accented=True)
            if not (wanted and known):
                continue
            yield replace(
                row,
                id=f"{prefix}{row.id}" if row.id else "",
                speaker=f"{prefix}{row.speaker}" if row.speaker else None,
                split=split,
                language=language,
                faults={name: what for name, what in row.faults.items() if name not in unasked},
            )


def _mapped(
    value: str | None, mapping: str | Mapping[str, str | None] | None, accented: bool = False
) -> tuple[str | None, bool]:
    """Return our name for a source's own name, and whether its rows are wanted.

    A name that is not mapped stays. accented: of `English-Indian`, what stands before the hyphen counts if
    the whole does not.
    """
    if isinstance(mapping, str):
        return mapping, True
    if not mapping or value is None:
        return value, True
    for name in (value, value.split("-")[0]) if accented else (value,):
        if name in mapping:
            return mapping[name], mapping[name] is not None
    return value, True


def check_source_languages(sources: Sequence[SourceParams], known: frozenset[str]) -> None:
    """Raise IltError for languages that parameters give to rows and that are not `known`, with the code to write.

    Of a map, only other names of known languages are refused: it may have languages of which there are no rows.
    """
    problems = []
    for number, source in enumerate(sources):
        given = source.language if isinstance(source.language, dict) else {"": source.language}
        for name, code in given.items():
            if code is not None and code not in known and (not name or suggested_code(code, known)):
                place = f"corpus.sources.{number}.language" + (f".{name}" if name else "")
                problems.append(f"{place}: {unknown_language(code, known, of_row=False)}")
    if problems:
        raise IltError("\n".join(problems))


def open_sources(params: CorpusParams) -> list[Source]:
    """Open the sources of a corpus. Raises IltError where one does not exist, naming the parameter."""
    if params.source == "manifest":
        return _opened(SourceParams(format="nemo", path=str(params.manifest)), "corpus.manifest")
    return [
        _Mapped(source, given)
        for number, given in enumerate(params.sources)
        for source in _opened(given, f"corpus.sources.{number}.path")
    ]


def _opened(params: SourceParams, parameter: str) -> list[Source]:
    try:
        return list(FORMATS.load(params.format)(params, parameter))
    except OSError as error:  # a name that is too long, a folder that may not be read
        raise IltError(f"{parameter}: {params.path} cannot be opened: {error.strerror}") from None


def read_references(path: Path, tags: str) -> pl.DataFrame:
    """Read the true texts of the pool: JSONL with `id` and `text`, cleaned as those of rows.

    tags: `corpus.tags`. One that would be a problem is kept, as in a text of the pool. Raises IltError with the line,
    also for an id that stands twice.
    """
    rows: dict[str, dict[str, str]] = {}
    places: dict[str, int] = {}
    for number, line in lines(path, "corpus.pool_reference", "a JSONL file"):
        try:
            values = json_object(line)
        except ValueError as error:
            raise IltError(f"{path}:{number}: {error}") from None
        if not isinstance(values.get("id"), str) or not isinstance(values.get("text"), str):
            raise IltError(f"{path}:{number}: expected id and text, both strings")
        key = values["id"].strip()
        if key in places:
            raise IltError(f"{path}:{number}: the id {key!r} stands in line {places[key]} already; keep one of them")
        places[key] = number
        rows[key] = {"id": key, "text": clean_text(values["text"], tags).text}
    return pl.DataFrame(list(rows.values()), schema={"id": pl.String, "text": pl.String})
