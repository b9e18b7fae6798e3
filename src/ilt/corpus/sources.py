"""The sources that the parameters name, each with its own names of splits and languages put to ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ilt.corpus.formats import FORMATS
from ilt.corpus.formats.row import Row, Source
from ilt.params import CorpusParams, SourceParams

__all__ = ["open_sources"]


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
        given, prefix = self.params, self.params.prefix
        languages = (
            given.language if isinstance(given.language, str) else {**self.source.languages, **(given.language or {})}
        )
        # What a row says of its language or split does not matter where the parameters say it for all.
        unasked = tuple(
            f"{name} "
            for value, names in ((given.language, ("lang", "language")), (given.split, ("split",)))
            for name in names
            if isinstance(value, str)
        )
        for row in self.source.rows():
            split, keep = _ours(row.split, given.split)
            language, known = _ours(row.language, languages, accented=True)
            if not (keep and known):
                continue
            yield replace(
                row,
                id=f"{prefix}{row.id}" if row.id else "",
                speaker=f"{prefix}{row.speaker}" if row.speaker else row.speaker,
                split=split,
                language=language,
                faults=row.faults and tuple(what for what in row.faults if not what.startswith(unasked)),
            )


def _ours(
    value: str | None, mapping: str | Mapping[str, str | None] | None, accented: bool = False
) -> tuple[str | None, bool]:
    """What a source's own name is called here, and whether its rows are wanted.

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


def open_sources(params: CorpusParams) -> list[Source]:
    """The sources of a corpus. Raises IltError where one is not there, naming the parameter."""
    if params.source == "manifest":
        return list(FORMATS.load("nemo")(SourceParams(format="nemo", path=str(params.manifest)), "corpus.manifest"))
    return [
        _Mapped(source, given)
        for number, given in enumerate(params.sources)
        for source in FORMATS.load(given.format)(given, f"corpus.sources.{number}.path")
    ]
