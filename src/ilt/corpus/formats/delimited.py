"""CSV and TSV files with mapped columns; Common Voice is one of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from ilt.corpus.formats.columns import find_columns
from ilt.corpus.formats.records import Record, records
from ilt.corpus.formats.row import Row, Source, audio_id, unreadable
from ilt.errors import IltError
from ilt.params import SourceParams

__all__ = ["CommonVoice", "DelimitedTable", "open_common_voice", "open_table", "seconds"]

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}


def seconds(value: str | None, name: str, faults: dict[str, str]) -> float | None:
    """Return a field of seconds, or None where it is empty; what is no number of seconds is added to `faults`."""
    if not value:
        return None
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not 0 <= number < 1e7:
        faults[name] = f"{name} must be a number of seconds, found {value!r}"
        return None
    return number


class DelimitedTable(Source):
    """A CSV (.csv) or TSV file with a header; delimiter None: what the suffix says.

    columns: by field (`ilt.params.FIELDS`), the column that holds it; a field that is not mapped is in the column
    of its own name, if there is one. root: where relative audio paths start; None: the folder of the file.
    A duration without an offset only describes the file, as in NeMo's manifests.
    """

    quoted = True
    """Quotes around a field of a TSV are not part of it; of a CSV they never are."""
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
        place = f"{self.parameter}: {self.path}"
        try:
            with self.path.open(encoding="utf-8-sig", newline="") as file:
                self._check_delimiter(file.readline().strip())
                file.seek(0)
                yield from records(file, self.delimiter, self.quoted)
        except FileNotFoundError:
            raise IltError(f"{place} does not exist; give a CSV or TSV file") from None
        except IsADirectoryError:
            raise IltError(f"{place} is a folder; give the table in it") from None
        except UnicodeDecodeError as error:
            raise IltError(f"{place} is not a table in UTF-8 ({error}); save it as UTF-8") from None
        except OSError as error:
            raise IltError(f"{place} cannot be read: {error.strerror}") from None

    def _check_delimiter(self, line: str) -> None:
        """Raise IltError where the header has the column of audio only if it is divided at something else."""

        def has_audio(delimiter: str) -> bool:
            cells = [cell.strip(' "') for cell in line.split(delimiter)]
            return len(cells) > 1 and self.columns.get("audio", "audio").strip() in cells

        other = next((mark for mark in DELIMITERS if has_audio(mark)), None)
        if other and not has_audio(self.delimiter):
            raise IltError(
                f"{self.parameter}: {self.path}: the header {line!r} is divided by {DELIMITERS[other]}, and is read as "
                f"divided by {DELIMITERS.get(self.delimiter, repr(self.delimiter))}; say delimiter: {other!r} "
                "(of format: table) in corpus.sources"
            )

    def _header(self, table: Iterator[Record]) -> list[str]:
        number, header = next(table, (1, []))
        place = f"{self.parameter}: {self.path}"
        if isinstance(header, str):
            raise IltError(f"{place}:{number}: the header cannot be read: {header}")
        if not header:
            columns = self.delimiter.join(("audio", "text", "language", "split"))
            raise IltError(f"{place} is empty; expected a header such as {columns!r}, and a row for each utterance")
        return [name.strip() for name in header]

    def _places(self, header: list[str]) -> dict[str, int]:
        """Return the place of each field's column in a row."""
        return find_columns(header, self.columns, f"{self.parameter}: {self.path}")

    def _audio(self, name: str) -> Path:
        return self.root / name

    def rows(self) -> Iterator[Row]:
        table = self._records()
        header = self._header(table)
        places = self._places(header)
        for number, fields in table:
            where = f"{self.path}:{number}"
            if isinstance(fields, str):
                yield unreadable(where, fields)
            elif len(fields) != len(header):
                yield unreadable(where, f"{len(fields)} fields, but the header has {len(header)}")
            else:
                values = {name: fields[at].strip() or None for name, at in places.items()}
                yield self._row(where, values, header[places["audio"]])

    def _row(self, where: str, values: dict[str, str | None], column: str) -> Row:
        faults: dict[str, str] = {}
        offset = seconds(values.get("offset"), "offset", faults)
        duration = seconds(values.get("duration"), "duration", faults)
        name = values.get("audio")
        if not name:
            faults["audio"] = f"the column {column!r} is empty; expected a path of audio"
        return Row(
            where,
            values.get("id") or audio_id(name, self.root, str(values["offset"]) if offset else ""),
            self._audio(name) if name else None,
            name,
            values.get("language"),
            values.get("speaker"),
            values.get("split") or self.split,
            values.get("text"),
            offset,
            duration if offset is not None else None,
            faults,
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
        # The first releases wrote no suffix.
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
