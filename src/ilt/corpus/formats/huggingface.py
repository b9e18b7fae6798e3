"""Hugging Face audio datasets: Parquet shards, a folder of `save_to_disk`, or an id on the hub."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ilt.corpus.formats.delimited import seconds
from ilt.corpus.formats.row import Row, Source
from ilt.errors import IltError
from ilt.params import FIELDS, SourceParams

__all__ = ["HuggingFaceFiles", "HuggingFaceHub", "open_source"]

SHARD = re.compile(r"[-.]\d{5}-of-\d{5}")
BATCH = 64
"""Rows that are held at once: their audio is in them."""


class _Rows(Source):
    """Records with mapped columns become rows; audio is a struct of bytes and path, as `datasets` has it."""

    def __init__(self, parameter: str, columns: Mapping[str, str] | None) -> None:
        self.parameter, self.given = parameter, dict(columns or {})
        self.columns = {name: self.given.get(name, name) for name in FIELDS}

    def tables(self) -> list[Path]:
        return []

    def _checked(self, names: list[str], where: str) -> None:
        wanted = {name: self.columns[name] for name in (*self.given, "audio")}
        missing = [column for column in wanted.values() if column not in names]
        if missing:
            raise IltError(
                f"{self.parameter}: {where} has no column {', '.join(map(repr, missing))}; it has "
                f"{', '.join(names)}. Map them with columns: {{audio: NAME, text: NAME, ...}}"
            )

    def _row(self, record: dict[str, Any], where: str, fallback: str, split: str, root: Path) -> Row:
        faults: list[str] = []
        values: dict[str, str | None] = {}
        for name in FIELDS:
            value = record.get(self.columns[name]) if name != "audio" else None
            if value is not None and (isinstance(value, bool) or not isinstance(value, (str, int, float))):
                faults.append(f"{name} must be text or a number, found {type(value).__name__}")
                value = None
            values[name] = str(value).strip() or None if value is not None else None
        audio = record.get(self.columns["audio"])
        data, path = (audio.get("bytes"), audio.get("path")) if isinstance(audio, dict) else (None, audio)
        if not isinstance(path, str | None) or not (data or path):
            faults.append(f"{self.columns['audio']} holds neither bytes nor a path")
            path = None
        offset = seconds(values["offset"], "offset", faults)
        duration = seconds(values["duration"], "duration", faults)
        return Row(
            where, values["id"] or (Path(path).stem if path else "") or fallback,
            data or (root / path if path else None), path, values["language"], values["speaker"],
            values["split"] or split, values["text"], offset, duration if offset is not None else None,
            tuple(faults),
        )  # fmt: skip


class HuggingFaceFiles(_Rows):
    """Parquet shards (one, or a folder of them), or what `Dataset.save_to_disk` wrote.

    The source's own name of a split is what stands in a file's name before `-00000-of-00001`, or the folder
    of `save_to_disk` in which it lies. Relative audio paths start at the folder of the shard. Without a
    column of ids, an id is the name of the audio, or the shard and the row.
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

    def _split(self, shard: Path) -> str:
        if shard.suffix == ".arrow":
            return shard.parent.name
        return SHARD.split(shard.stem)[0]

    def _batches(self, shard: Path, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Small batches of a shard. columns: only these; ignored for Arrow, which is mapped into memory."""
        try:
            if shard.suffix == ".arrow":
                with pa.memory_map(str(shard)) as file:
                    for batch in pa.ipc.open_stream(file):
                        yield from (batch.slice(at, BATCH) for at in range(0, len(batch), BATCH))
                return
            with pq.ParquetFile(shard) as file:
                self._checked(file.schema_arrow.names, str(shard))
                yield from file.iter_batches(BATCH, columns=columns)
        except (pa.ArrowInvalid, OSError) as error:
            what = str(error).splitlines()[0]
            raise IltError(f"{self.parameter}: {shard} cannot be read ({what})") from None

    def rows(self) -> Iterator[Row]:
        wanted = set(self.columns.values())
        for shard in self._shards:
            number = 0
            stem = SHARD.sub("", shard.stem) if len(self._shards) == 1 else shard.stem
            columns = None
            if shard.suffix == ".parquet":
                columns = [name for name in _names(shard) if name in wanted]
            for batch in self._batches(shard, columns):
                self._checked([*batch.schema.names], str(shard))
                kept = [name for name in batch.schema.names if name in wanted]
                for record in batch.select(kept).to_pylist():
                    number += 1
                    where = f"{shard}:{number}"
                    yield self._row(record, where, f"{stem}-{number:07d}", self._split(shard), shard.parent)

    def audio_files(self) -> list[Path]:
        """Only what lies outside of the shards; of those, no bytes are read for it."""
        name = self.columns["audio"]
        found = set()
        for shard in self._shards:
            if shard.suffix != ".parquet":
                continue
            kind = pq.read_schema(shard).field(name).type if name in _names(shard) else pa.null()
            inside = pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0
            if inside and not _no_bytes(shard, name):
                continue
            for batch in self._batches(shard, [f"{name}.path" if pa.types.is_struct(kind) else name]):
                for value in batch.column(0).to_pylist():
                    path = value["path"] if isinstance(value, dict) else value
                    found |= {shard.parent / path} if path else set()
        return sorted(found)


def _saved(folder: Path, parameter: str) -> list[Path]:
    """The files that `save_to_disk` wrote below a folder; caches that lie beside them are not among them."""
    shards = []
    for state in sorted(folder.rglob("state.json")):
        try:
            names = [entry["filename"] for entry in json.loads(state.read_text("utf-8"))["_data_files"]]
        except (ValueError, LookupError, TypeError):
            raise IltError(f"{parameter}: {state} is not what save_to_disk writes") from None
        shards += [state.parent / name for name in names]
    return shards


def _names(shard: Path) -> list[str]:
    try:
        return list(pq.read_schema(shard).names)
    except (pa.ArrowInvalid, OSError):
        return []


def _no_bytes(shard: Path, column: str) -> bool:
    """Whether a shard's audio has no bytes in any row, by the statistics of its row groups."""
    data = pq.read_metadata(shard)
    for group in range(data.num_row_groups):
        for at in range(data.num_columns):
            part = data.row_group(group).column(at)
            if part.path_in_schema == f"{column}.bytes":
                known = part.statistics
                if known is None or known.null_count is None or known.null_count < part.num_values:
                    return False
    return True


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
            found = datasets.load_dataset(self.path, self.subset, revision=self.revision, streaming=True)
        except (OSError, ValueError) as error:  # no network, no such dataset, no such configuration
            what = str(error).splitlines()[0]
            raise IltError(
                f"{self.parameter}: {self.path!r} is neither a folder here nor a dataset that the hub gives "
                f"({what}); without a network, give a folder of .parquet"
            ) from None
        audio = self.columns["audio"]
        for name, split in found.items():
            if split.features:
                self._checked(list(split.features), f"{self.path} ({name})")
                # Decoding is ours: bytes and path as they are stored.
                if isinstance(split.features[audio], datasets.Audio):
                    found[name] = split.cast_column(audio, datasets.Audio(decode=False))
        return dict(found)

    def _fetched(self, record: dict[str, Any]) -> dict[str, Any]:
        """A record whose audio is a URL, as of files that lie beside a table, with the bytes of it."""
        import fsspec

        column = self.columns["audio"]
        audio = record[column]
        url = audio.get("path") if isinstance(audio, dict) and not audio.get("bytes") else None
        if not isinstance(url, str) or "://" not in url:
            return record
        with fsspec.open(url, "rb") as file:
            return {**record, column: {"bytes": file.read(), "path": url.split("::")[0]}}

    def rows(self) -> Iterator[Row]:
        for name, split in self._open().items():
            number = 0
            try:
                for number, record in enumerate(split, 1):
                    where = f"{self.path}/{name}:{number}"
                    yield self._row(self._fetched(record), where, f"{name}-{number:07d}", name, Path())
            except OSError as error:
                what = str(error).splitlines()[0]
                raise IltError(
                    f"{self.parameter}: {self.path!r} stopped after row {number} of {name} ({what}); run it again"
                ) from None

    def audio_files(self) -> list[Path]:
        return []


def open_source(params: SourceParams, parameter: str) -> list[Source]:
    """Open what `corpus.sources` names: files where there are some, else a dataset of the hub."""
    path = Path(params.path)
    if path.exists():
        return [HuggingFaceFiles(path, parameter, params.columns)]
    return [HuggingFaceHub(params.path, parameter, params.columns, params.subset, params.revision)]
