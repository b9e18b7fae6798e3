"""Hugging Face audio datasets: Parquet shards, a folder of `save_to_disk`, or an id on the hub."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from numbers import Number
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ilt.corpus.formats.columns import find_columns
from ilt.corpus.formats.delimited import seconds
from ilt.corpus.formats.row import Row, Source, audio_id
from ilt.errors import IltError
from ilt.params import SourceParams

__all__ = ["HuggingFaceFiles", "HuggingFaceHub", "open_source"]

SHARD = re.compile(r"[-.]\d{5}-of-\d{5}")
BATCH = 64
"""Rows that are held at once: their audio is in them."""


def _audio(value: Any, column: str) -> tuple[bytes | str | None, str | None, str]:
    """Return the bytes or the path of one audio value, its name, and what is wrong with it, if anything is."""
    data, name = (value.get("bytes"), value.get("path")) if isinstance(value, dict) else (None, value)
    if isinstance(value, bytes):
        data, name = value, None
    if isinstance(data, bytes) and data:
        return data, name if isinstance(name, str) else None, ""
    if isinstance(name, str) and name:
        return name, name, ""
    what = f"{column} holds neither bytes nor a path"
    kind = type(value).__name__ if not isinstance(value, dict) else " and ".join(sorted(set(value) - {"bytes", "path"}))
    if value is not None and kind:
        what += (
            f", but {kind}; expected what datasets stores as Audio: convert it with "
            f'dataset.cast_column("{column}", datasets.Audio()), or write files and their paths'
        )
    return None, None, what


class _Rows(Source):
    """Records with mapped columns become rows; audio is a struct of bytes and path, or either of them."""

    def __init__(self, parameter: str, columns: Mapping[str, str] | None) -> None:
        self.parameter, self.given = parameter, dict(columns or {})

    def tables(self) -> list[Path]:
        return []

    def _columns(self, names: Sequence[str], place: str) -> dict[str, str]:
        """Return the name of each field's column. Raises IltError as `find_columns` does."""
        return {name: names[at] for name, at in find_columns(names, self.given, f"{self.parameter}: {place}").items()}

    def _row(self, record: Mapping[str, Any], columns: Mapping[str, str], where: str, split: str, root: Path) -> Row:
        """Return the row of a record. split: where no column says it. root: where relative paths start."""
        faults: dict[str, str] = {}
        values: dict[str, str] = {}
        for field, column in columns.items():
            value = record.get(column)
            if field == "audio" or value is None or value != value:  # pandas writes NaN for nothing
                continue
            if isinstance(value, bool) or not isinstance(value, (str, Number)):
                faults[field] = f"{field} must be text or a number, found {type(value).__name__}"
            else:
                values[field] = str(value).strip()
        audio, name, what = _audio(record.get(columns["audio"]), columns["audio"])
        if what:
            faults["audio"] = what
        offset = seconds(values.get("offset"), "offset", faults)
        duration = seconds(values.get("duration"), "duration", faults)
        return Row(
            where, values.get("id") or audio_id(name, root, values["offset"] if offset else ""),
            root / audio if isinstance(audio, str) else audio, name,
            values.get("language"), values.get("speaker"), values.get("split") or split, values.get("text"),
            offset, duration if offset is not None else None, faults,
        )  # fmt: skip


class HuggingFaceFiles(_Rows):
    """Parquet shards (one, or a folder of them), or what `Dataset.save_to_disk` wrote.

    The source's own name of a split is what stands in a file's name before `-00000-of-00001`, or the folder
    of `save_to_disk` in which it lies. Relative audio paths start at the folder of the shard. Without a
    column of ids, an id is the path of the audio, or the shard and the row.
    """

    def __init__(self, path: Path, parameter: str, columns: Mapping[str, str] | None = None) -> None:
        super().__init__(parameter, columns)
        self.path = path
        below = [] if path.is_file() else sorted(path.rglob("*.parquet")) or _saved(path, parameter)
        self._shards = [path] if path.is_file() else below
        if not self._shards:
            raise IltError(
                f"{parameter}: there is no .parquet below {path}, nor a state.json, which save_to_disk writes"
            )

    def tables(self) -> list[Path]:
        return self._shards

    def _batches(self, shard: Path, paths_alone: bool = False) -> Iterator[tuple[dict[str, str], pa.RecordBatch]]:
        """Yield small batches of a shard, with the name of each field's column.

        paths_alone: read nothing but the paths of audio, and nothing at all of a Parquet shard that has all audio in
        it. Raises IltError for a shard that cannot be read.
        """
        try:
            if shard.suffix == ".arrow":
                with pa.memory_map(str(shard)) as file:
                    for batch in pa.ipc.open_stream(file):
                        columns = self._columns(batch.schema.names, str(shard))
                        wanted = batch.select(list(columns.values()))
                        yield from ((columns, wanted.slice(at, BATCH)) for at in range(0, len(wanted), BATCH))
                return
            with pq.ParquetFile(shard) as file:
                columns = self._columns(file.schema_arrow.names, str(shard))
                names = _path_columns(file, columns["audio"]) if paths_alone else list(columns.values())
                for batch in file.iter_batches(BATCH, columns=names) if names else ():
                    yield columns, batch
        except (pa.ArrowException, OSError) as error:
            what = str(error).splitlines()[0]
            raise IltError(f"{self.parameter}: {shard} cannot be read ({what})") from None

    def _listed(self, values: pa.RecordBatch | pa.Array, shard: Path) -> list[Any]:
        try:
            return list(values.to_pylist())
        except UnicodeDecodeError as error:
            raise IltError(f"{self.parameter}: {shard} holds text that is not UTF-8 ({error})") from None

    def rows(self) -> Iterator[Row]:
        for shard in self._shards:
            number = 0
            stem = SHARD.sub("", shard.stem) if len(self._shards) == 1 else shard.stem
            split = shard.parent.name if shard.suffix == ".arrow" else SHARD.split(shard.stem)[0]
            for columns, batch in self._batches(shard):
                for record in self._listed(batch, shard):
                    number += 1
                    row = self._row(record, columns, f"{shard}:{number}", split, shard.parent)
                    yield row if row.id else replace(row, id=f"{stem}-{number:07d}")

    def audio_files(self) -> list[Path]:
        """Return the files that rows name whose audio is not in the shard; no bytes of audio are read for it."""
        return sorted(
            {
                shard.parent / name
                for shard in self._shards
                for columns, batch in self._batches(shard, paths_alone=True)
                for name in self._listed(_paths(batch.column(columns["audio"])), shard)
                if name
            }
        )


def _path_columns(file: pq.ParquetFile, column: str) -> list[str]:
    """Return the leaf column with the paths of audio outside of a Parquet file; none where all is within.

    Statistics tell only of whole row groups: of a file with bytes in some rows, the paths of all rows count.
    """
    kind = file.schema_arrow.field(column).type
    if not pa.types.is_struct(kind):
        return [column] if pa.types.is_string(kind) or pa.types.is_large_string(kind) else []
    if kind.get_field_index("path") < 0:
        return []
    groups = (file.metadata.row_group(number) for number in range(file.metadata.num_row_groups))
    leaves = (group.column(at) for group in groups for at in range(group.num_columns))
    data = [leaf.statistics for leaf in leaves if leaf.path_in_schema == f"{column}.bytes"]
    within = data and all(known is not None and known.null_count == 0 for known in data)
    return [] if within else [f"{column}.path"]


def _paths(audio: pa.Array) -> pa.Array:
    """Return the paths of an array of audio, null where a row has the bytes themselves."""
    if not pa.types.is_struct(audio.type):
        return audio if pa.types.is_string(audio.type) or pa.types.is_large_string(audio.type) else pa.nulls(0)
    names = {audio.type.field(at).name for at in range(audio.type.num_fields)}
    if "path" not in names:
        return pa.nulls(0)
    paths = audio.field("path")
    return pc.if_else(audio.field("bytes").is_valid(), None, paths) if "bytes" in names else paths


def _saved(folder: Path, parameter: str) -> list[Path]:
    """Return the files that `save_to_disk` wrote below a folder; caches that lie beside them are not among them."""
    shards = []
    for state in sorted(folder.rglob("state.json")):
        try:
            names = [entry["filename"] for entry in json.loads(state.read_text("utf-8"))["_data_files"]]
            shards += [state.parent / name for name in names]
        except (ValueError, LookupError, TypeError):
            raise IltError(f"{parameter}: {state} is not what save_to_disk writes") from None
    return shards


class HuggingFaceHub(_Rows):
    """A dataset on the hub, by id, streamed through the optional package `datasets`.

    subset: the configuration; revision: a commit or tag, which alone says that the data stays what it was.
    The source's own names of splits are the dataset's.
    """

    def __init__(
        self,
        path: str,
        parameter: str,
        columns: Mapping[str, str] | None = None,
        subset: str | None = None,
        revision: str | None = None,
    ) -> None:
        super().__init__(parameter, columns)
        self.path, self.subset, self.revision = path, subset, revision

    def _open(self) -> dict[str, Any]:
        try:
            import datasets
        except ImportError:
            raise IltError(
                f"{self.parameter}: {self.path!r} is not a folder here, so it would be an id on the hub, for "
                "which the package datasets is missing; pip install -e '.[hub]', or give a folder of .parquet"
            ) from None
        try:
            splits = datasets.load_dataset(self.path, self.subset, revision=self.revision, streaming=True)
        except (OSError, ValueError) as error:  # no network, no such dataset, no such configuration
            what = str(error).splitlines()[0]
            raise IltError(
                f"{self.parameter}: {self.path!r} is neither a folder here nor a dataset that the hub gives "
                f"({what}); without a network, give a folder of .parquet"
            ) from None
        for name, split in splits.items():
            if split.features:
                audio = self._columns(list(split.features), f"{self.path} ({name})")["audio"]
                # Decoding is ours: bytes and path as they are stored.
                if isinstance(split.features[audio], datasets.Audio):
                    splits[name] = split.cast_column(audio, datasets.Audio(decode=False))
        return dict(splits)

    def rows(self) -> Iterator[Row]:
        for name, split in self._open().items():
            number = 0
            try:
                columns: dict[str, str] = {}
                for number, record in enumerate(split, 1):
                    place = f"{self.path}/{name}"
                    columns = columns or self._columns(list(record), place)
                    row = self._row(_fetched(record, columns["audio"]), columns, f"{place}:{number}", name, Path())
                    yield row if row.id else replace(row, id=f"{name}-{number:07d}")
            except OSError as error:
                what = str(error).splitlines()[0]
                raise IltError(
                    f"{self.parameter}: {self.path!r} stopped after row {number} of {name} ({what}); run it again"
                ) from None

    def audio_files(self) -> list[Path]:
        return []


def _fetched(record: dict[str, Any], column: str) -> dict[str, Any]:
    """Return a record whose audio is a URL, as of files that lie beside a table, with the bytes of it."""
    import fsspec

    audio = record[column]
    url = audio.get("path") if isinstance(audio, dict) and not audio.get("bytes") else None
    if not isinstance(url, str) or "://" not in url:
        return record
    with fsspec.open(url, "rb") as file:
        return {**record, column: {"bytes": file.read(), "path": url.partition("::")[0]}}


def open_source(params: SourceParams, parameter: str) -> list[Source]:
    """Open what `corpus.sources` names: files where there are some, else a dataset of the hub."""
    path = Path(params.path)
    if path.exists():
        return [HuggingFaceFiles(path, parameter, params.columns)]
    return [HuggingFaceHub(params.path, parameter, params.columns, params.subset, params.revision)]
