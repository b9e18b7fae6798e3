"""Kaldi data folders: wav.scp, segments, text, utt2spk, utt2lang (https://kaldi-asr.org/doc/data_prep.html)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ilt.corpus.formats.lines import lines
from ilt.corpus.formats.row import Row, Source, unreadable
from ilt.errors import IltError
from ilt.params import SourceParams

__all__ = ["KaldiFolder", "open_source"]

Table = dict[str, tuple[str, str]]
"""The rest of the line of each key, and the file and number of that line."""

ARCHIVE = re.compile(r"\.ark:\d+$")


class KaldiFolder(Source):
    """A data folder. Only wav.scp must be there; without segments each recording is an utterance.

    root: where relative paths in wav.scp start; None: the data folder itself. (Kaldi takes them from
    wherever its recipe runs.) An end of -1 in segments is the end of the recording.
    """

    def __init__(self, path: Path, parameter: str, root: Path | None = None) -> None:
        self.path, self.root = path, root or path
        if not path.is_dir() or not (path / "wav.scp").is_file():
            raise IltError(f"{parameter}: {path} is no Kaldi data folder; expected one with wav.scp in it")
        self.parameter = parameter

    def tables(self) -> list[Path]:
        names = ("wav.scp", "segments", "text", "utt2spk", "utt2lang")
        return [self.path / name for name in names if (self.path / name).is_file()]

    def _table(self, name: str, doubles: list[Row]) -> Table:
        """Return the lines of a file by their first word; keys that come twice are added to `doubles`."""
        path = self.path / name
        table: Table = {}
        if not path.is_file():
            return table
        for number, line in lines(path, self.parameter, f"a file {name}"):
            key, rest = [*re.split(r"[ \t]", line.strip(), maxsplit=1), ""][:2]
            where = f"{path}:{number}"
            if key in table:
                what = f"{key!r} stands at {table[key][1]} already; a key may come once in {name}"
                doubles.append(unreadable(where, what, key))
            else:
                table[key] = (rest.strip(), where)
        return table

    def _segment(self, key: str, rest: str, where: str, recordings: Table) -> Row:
        parts = rest.split()
        try:
            recording, start, end = parts[0], float(parts[1]), float(parts[2])
            if len(parts) > 4 or start < 0 or (end != -1 and not end > start):
                raise ValueError(rest)
        except (ValueError, IndexError):
            what = f"expected RECORDING START END in seconds, END after START (or -1), found {rest!r}"
            return unreadable(where, what, key)
        if recording not in recordings:
            what = f"the recording {recording!r} is not in {self.path / 'wav.scp'}"
            return unreadable(where, what, key)
        row = self._recording(key, *recordings[recording])
        return replace(row, where=where, offset=start, duration=None if end == -1 else end - start)

    def _recording(self, key: str, value: str, where: str) -> Row:
        if value.endswith("|"):
            what = (
                f"a piped command, which is not run ({value[:60]!r}); run it once, write its audio to a "
                "file, and name that file in wav.scp"
            )
        elif ARCHIVE.search(value):
            what = f"audio in a Kaldi archive is not read ({value[-60:]!r}); name an audio file in wav.scp"
        elif not value:
            what = "expected a path after the recording's id"
        else:
            return Row(where, key, self.root / value, value)
        return unreadable(where, what, key)

    def rows(self) -> Iterator[Row]:
        doubles: list[Row] = []
        tables = {name: self._table(name, doubles) for name in ("wav.scp", "text", "utt2spk", "utt2lang")}
        segmented = (self.path / "segments").is_file()
        utterances = self._table("segments", doubles) if segmented else tables["wav.scp"]
        yield from doubles
        for key, (rest, where) in utterances.items():
            row = self._segment(key, rest, where, tables["wav.scp"]) if segmented else self._recording(key, rest, where)
            text, speaker, language = (tables[name].get(key, (None, ""))[0] for name in list(tables)[1:])
            yield replace(row, text=text, speaker=speaker, language=language)
        for name in list(tables)[1:]:
            for key, (_, where) in tables[name].items():
                if key not in utterances:
                    known = "segments" if segmented else "wav.scp"
                    what = f"{name} names an utterance that is not in {known}"
                    yield unreadable(where, what, key)


def open_source(params: SourceParams, parameter: str) -> list[Source]:
    """Open what `corpus.sources` names."""
    return [KaldiFolder(Path(params.path), parameter, Path(params.audio) if params.audio else None)]
