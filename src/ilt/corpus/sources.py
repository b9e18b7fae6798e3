"""The sources that the parameters name, each with its own names of splits and languages put to ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ilt.corpus.formats.row import Row, Source
from ilt.corpus.manifest import Manifest
from ilt.errors import IltError
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
            given.language
            if isinstance(given.language, str)
            else {**self.source.languages, **(given.language or {})}
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


def _open(params: SourceParams, parameter: str) -> list[Source]:
    path, root = Path(params.path), Path(params.audio) if params.audio else None
    if params.format == "nemo":
        return [Manifest(path, parameter, root)]
    if params.format == "kaldi":
        from ilt.corpus.formats.kaldi import KaldiFolder

        return [KaldiFolder(path, parameter, root)]
    if params.format == "mlc-slm":
        from ilt.corpus.formats.mlcslm import MlcSlm

        return [MlcSlm(path, parameter, params.language if isinstance(params.language, dict) else ())]
    if params.format == "common-voice":
        return _common_voice(path, params, parameter, root)
    if params.format == "table":
        from ilt.corpus.formats.delimited import DelimitedTable

        return [DelimitedTable(path, parameter, params.columns, params.delimiter, root)]
    from ilt.corpus.formats.huggingface import HuggingFaceFiles, HuggingFaceHub

    if path.exists():
        return [HuggingFaceFiles(path, parameter, params.columns)]
    return [HuggingFaceHub(params.path, parameter, params.columns, params.subset, params.revision)]


def _common_voice(path: Path, params: SourceParams, parameter: str, root: Path | None) -> list[Source]:
    """A TSV, or of a locale's folder those that `split` maps."""
    from ilt.corpus.formats.delimited import CommonVoice

    if not path.is_dir():
        return [CommonVoice(path, parameter, root)]
    if not isinstance(params.split, dict):
        raise IltError(
            f"{parameter}: {path} is a folder; give one TSV in it, or say with split which ones to take, "
            "as split: {train: gold, other: pool, dev: dev, test: test}"
        )
    wanted = [name for name, ours in params.split.items() if ours]
    return [CommonVoice(path / f"{name}.tsv", parameter, root) for name in wanted]


def open_sources(params: CorpusParams) -> list[Source]:
    """The sources of a corpus. Raises IltError where one is not there, naming the parameter."""
    if params.source == "manifest":
        return [Manifest(Path(str(params.manifest)))]
    return [
        _Mapped(source, given)
        for number, given in enumerate(params.sources)
        for source in _open(given, f"corpus.sources.{number}.path")
    ]
