"""CSV and TSV files with mapped columns; Common Voice is one of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from ilt.corpus.formats.records import Record, records
from ilt.corpus.formats.row import Row, Source
from ilt.errors import IltError
from ilt.params import FIELDS, SourceParams

__all__ = ["CommonVoice", "DelimitedTable", "open_common_voice", "open_table", "seconds"]


def seconds(value: str | None, name: str, faults: list[str]) -> float | None:
    """A field of seconds, or None where it is empty; what is no number of seconds is added to `faults`."""
    if not value:
        return None
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not 0 <= number < 1e7:
        faults.append(f"{name} must be a number of seconds, found {value!r}")
        return None
    return number


class DelimitedTable(Source):
    """A CSV (.csv) or TSV file with a header; delimiter None: what the suffix says.

    columns: by field (`FIELDS`), the column that holds it; a field that is not mapped is in the column of its
    own name, if there is one. root: where relative audio paths start; None: the folder of the file.
    A duration without an offset only describes the file, as in NeMo's manifests.
    """

    quoted = True
    """Whether quotes around a field of a TSV are not part of it; of a CSV they never are."""
    split: str | None = None
    """The split of rows that name none."""

    def __init__(
        self,
        path: Path,
        parameter: str,
        columns: Mapping[str, str] | None = None,
        delimiter: str | None = None,
        root: Path | None = None,
    ) -> None:
        self.path, self.parameter, self.root = path, parameter, root or path.parent
        self.columns = dict(columns or {})
        self.delimiter = delimiter or ("," if path.suffix.lower() == ".csv" else "\t")

    def tables(self) -> list[Path]:
        return [self.path]

    def _records(self) -> Iterator[Record]:
        try:
            with self.path.open(encoding="utf-8-sig", newline="") as file:
                yield from records(file, self.delimiter, self.quoted)
        except FileNotFoundError:
            raise IltError(f"{self.parameter}: {self.path} does not exist; give a CSV or TSV file") from None
        except IsADirectoryError:
            raise IltError(f"{self.parameter}: {self.path} is a folder; give the table in it") from None
        except UnicodeDecodeError as error:
            raise IltError(f"{self.parameter}: {self.path} is not a table in UTF-8 ({error})") from None

    def _header(self, found: Iterator[Record]) -> list[str]:
        number, header = next(found, (1, []))
        if isinstance(header, str):
            raise IltError(f"{self.parameter}: {self.path}:{number}: the header cannot be read: {header}")
        if not header:
            raise IltError(
                f"{self.parameter}: {self.path} is empty; expected a header such as "
                f"{self.delimiter.join(('audio', 'text', 'language', 'split'))!r}, and a row an utterance"
            )
        return header

    def _places(self, header: list[str]) -> dict[str, int]:
        wanted = {name: self.columns.get(name, name) for name in FIELDS}
        missing = [
            f"{wanted[name]!r} for {name}"
            for name in FIELDS
            if wanted[name] not in header and (name in self.columns or name == "audio")
        ]
        if missing:
            raise IltError(
                f"{self.parameter}: {self.path} has no column {', '.join(missing)}; it has "
                f"{', '.join(header)}. Map them with columns: {{audio: NAME, text: NAME, ...}}"
            )
        return {name: header.index(column) for name, column in wanted.items() if column in header}

    def _audio(self, name: str) -> Path:
        return self.root / name

    def rows(self) -> Iterator[Row]:
        found = self._records()
        header = self._header(found)
        places = self._places(header)
        for number, fields in found:
            where = f"{self.path}:{number}"
            if isinstance(fields, str) or len(fields) != len(header):
                count = f"{len(fields)} fields, but the header has {len(header)}"
                what = fields if isinstance(fields, str) else count
                yield Row(where, "", faults=(what,), broken=True)
                continue
            values = {name: fields[at].strip() or None for name, at in places.items()}
            faults: list[str] = []
            offset = seconds(values.get("offset"), "offset", faults)
            duration = seconds(values.get("duration"), "duration", faults)
            name = values.get("audio")
            if not name:
                faults.append(f"the column {header[places['audio']]!r} is empty; expected a path of audio")
            stem = Path(name).stem if name else ""
            yield Row(
                where,
                values.get("id") or (f"{stem}-{values['offset']}" if offset else stem),
                self._audio(name) if name else None,
                name,
                values.get("language"),
                values.get("speaker"),
                values.get("split") or self.split,
                values.get("text"),
                offset,
                duration if offset is not None else None,
                tuple(faults),
            )


class CommonVoice(DelimitedTable):
    """One TSV of a Common Voice release, as `validated.tsv`, with its clips beside it.

    The file's name is the source's own name of the split: `train`, `dev`, `test`, `validated`, `other`.
    root: the folder of the clips; None: `clips` beside the file.
    """

    quoted = False

    def __init__(self, path: Path, parameter: str, root: Path | None = None) -> None:
        columns = {"audio": "path", "text": "sentence", "speaker": "client_id", "language": "locale"}
        super().__init__(path, parameter, columns, "\t", root or path.parent / "clips")
        self.split = path.stem

    def _places(self, header: list[str]) -> dict[str, int]:
        if "locale" not in header:  # releases before 2020 have none; corpus.sources then says the language
            self.columns.pop("language", None)
        return super()._places(header)

    def _audio(self, name: str) -> Path:
        # The first releases left the suffix out.
        return self.root / (name if Path(name).suffix else f"{name}.mp3")


def open_table(params: SourceParams, parameter: str) -> list[Source]:
    """Open what `corpus.sources` names."""
    root = Path(params.audio) if params.audio else None
    return [DelimitedTable(Path(params.path), parameter, params.columns, params.delimiter, root)]


def open_common_voice(params: SourceParams, parameter: str) -> list[Source]:
    """Open a TSV, or of a locale's folder those that `split` maps. Raises IltError for a folder without a map."""
    path, root = Path(params.path), Path(params.audio) if params.audio else None
    if not path.is_dir():
        return [CommonVoice(path, parameter, root)]
    if not isinstance(params.split, dict):
        raise IltError(
            f"{parameter}: {path} is a folder; give one TSV in it, or say with split which ones to take, "
            "as split: {train: gold, other: pool, dev: dev, test: test}"
        )
    wanted = [name for name, ours in params.split.items() if ours]
    return [CommonVoice(path / f"{name}.tsv", parameter, root) for name in wanted]
