"""Rows become utterances: everything that is wrong is found in one pass, and no audio is held for longer.

The audio of each row is decoded, hashed and put as FLAC into one unnamed file on disk; only what the tables
say of it stays in memory. When all rows are known, the utterance table is written in the order of its ids,
some megabytes at a time.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import IO, Any

import polars as pl
import pyarrow.parquet as pq

from ilt.corpus.audio import RATE, MissingAudio, TooLong, audio_hash, encode_flac, read_audio
from ilt.corpus.check import faults, printable
from ilt.corpus.formats.row import Row
from ilt.corpus.overlap import Segments
from ilt.corpus.table import ORIGIN_TABLE, QUARANTINE_TABLE, UTTERANCE_TABLE
from ilt.errors import Problem
from ilt.paths import WORK, replacing

__all__ = ["Imported", "Limits", "import_rows"]

GROUP_BYTES, GROUP_ROWS = 8 * 2**20, 65_536
"""Of audio and of rows in one row group of the utterance table: what is held while it is written or read."""

META = {
    "id": pl.String(),
    "language": pl.String(),
    "speaker": pl.String(),
    "split": pl.String(),
    "duration": pl.Float64(),
    "text": pl.String(),
    "audio_hash": pl.String(),
    "where": pl.String(),
    "path": pl.String(),
    "offset": pl.Float64(),
    "cut_of": pl.String(),
    "at": pl.Int64(),
    "size": pl.Int64(),
}
"""What is known of an utterance; at and size: where its FLAC lies in the file."""


@dataclass(frozen=True)
class Limits:
    """What is taken: seconds, and the codes of languages that the model knows (None: any)."""

    min_duration: float
    max_duration: float
    languages: frozenset[str] | None = None


@dataclass
class Imported:
    """What an import gives. `rows` has the columns of `META`, in the order of the sources."""

    rows: pl.DataFrame
    problems: list[Problem]
    _audio: IO[bytes]

    @property
    def references(self) -> pl.DataFrame:
        """Texts that the sources gave for the pool."""
        return self.rows.filter(pl.col("split") == "pool", pl.col("text").is_not_null()).select("id", "text")

    @property
    def quarantine(self) -> pl.DataFrame:
        """What is wrong, a problem a row, as `QUARANTINE_TABLE` has it."""
        rows = [
            (f"{problem.where}#{number}", problem.where, problem.id or None, problem.what)
            for number, problem in enumerate(self.problems)
        ]
        return pl.DataFrame(rows, schema=QUARANTINE_TABLE.schema, orient="row")

    @property
    def origins(self) -> pl.DataFrame:
        """Where each utterance comes from."""
        return self.rows.select(*ORIGIN_TABLE.schema)

    def leave_out(self, problems: list[tuple[str, str]]) -> None:
        """Take rows out for a reason each: pairs of id and what is wrong."""
        if problems:
            places = dict(self.rows.select("id", "where").iter_rows())
            self.problems += [Problem(places[key], key, what) for key, what in problems]
            self.rows = self.rows.filter(~pl.col("id").is_in([key for key, _ in problems]))

    def _flac(self, at: int, size: int) -> bytes:
        self._audio.seek(at)
        return self._audio.read(size)

    def groups(self) -> Iterator[pl.DataFrame]:
        """The utterance table in the order of ids, in parts that fit in memory."""
        rows = self.rows.sort("id").with_columns(
            text=pl.when(pl.col("split") != "pool").then("text"),
            part=(pl.col("size").cum_sum() // GROUP_BYTES).rle_id() + pl.int_range(pl.len()) // GROUP_ROWS,
        )
        for part in rows.partition_by("part", maintain_order=True):
            audio = [
                {"path": path, "bytes": self._flac(at, size)}
                for path, at, size in part.select("path", "at", "size").iter_rows()
            ]
            kind = UTTERANCE_TABLE.schema["audio"]
            yield UTTERANCE_TABLE.conform(part.with_columns(pl.Series("audio", audio, dtype=kind)))

    def table(self) -> pl.DataFrame:
        """The whole utterance table with all its audio: for small corpora."""
        return pl.concat([UTTERANCE_TABLE.empty(), *self.groups()])

    def write(self, path: Path) -> None:
        """Write the utterance table, a row group a part."""
        schema = UTTERANCE_TABLE.empty().to_arrow().schema
        named = [name for name in UTTERANCE_TABLE.schema if name != "audio"]
        with (
            replacing(path) as temporary,
            pq.ParquetWriter(temporary, schema, compression="zstd", use_dictionary=named) as writer,
        ):
            for part in self.groups():
                writer.write_table(part.to_arrow().cast(schema))


@dataclass
class _Loaded:
    """digest: of the samples; file: hash of the bytes that they were read from, where they came as bytes."""

    flac: bytes
    digest: str
    seconds: float
    file: bytes


def _load(row: Row, file: bytes, limits: Limits) -> _Loaded | str:
    audio, most = row.audio, limits.max_duration
    if audio is None:
        return "the audio is missing"
    what = (
        f"is too long; expected at most {most:g} s, which is what the model hears at once (or "
        "corpus.max_duration); cut it into segments"
        + (", or the pool with corpus.cut.method=vad" if row.split == "pool" else "")
    )
    try:
        samples = read_audio(audio, row.offset or 0.0, row.duration, most)
    except TooLong as error:
        return f"{error.seconds:.2f} s {what}"
    except ValueError as error:
        found = f"{error} ({audio if isinstance(audio, Path) else 'in ' + row.where})"
        if isinstance(error, MissingAudio):
            found += "; a relative path starts at the manifest's folder, or at `audio` in corpus.sources"
        return found
    seconds = len(samples) / RATE
    if seconds < limits.min_duration:
        return f"{seconds:.3f} s is too short; expected at least {limits.min_duration} s (corpus.min_duration)"
    if seconds > most:
        return f"{seconds:.2f} s {what}"
    return _Loaded(encode_flac(samples), audio_hash(samples), seconds, file)


@dataclass
class _Import:
    limits: Limits
    audio: IO[bytes]
    problems: list[Problem] = field(default_factory=list)
    done: list[pl.DataFrame] = field(default_factory=list)
    fresh: list[tuple[Any, ...]] = field(default_factory=list)
    seen: dict[str, str] = field(default_factory=dict)
    heard: dict[str, tuple[str, str]] = field(default_factory=dict)
    segments: Segments = field(default_factory=Segments)
    count: int = 0
    hours: float = 0.0
    told: float = field(default_factory=time.monotonic)

    def duplicate(self, row: Row) -> str | None:
        """Why this id cannot be taken: it was used before."""
        first = self.seen.get(row.id)
        if first is None:
            self.seen[row.id] = row.where
            return None
        same = ", which is this line: the source is listed twice" if first == row.where else ""
        return f"duplicate id, already used at {first}{same}; ids must differ"

    def good(self, rows: Iterable[Row]) -> Iterator[Row]:
        """The rows with nothing wrong in what they state; the others become problems."""
        for row in rows:
            wrong = faults(row, self.limits.languages)
            if row.id and not row.broken:
                if what := self.duplicate(row):
                    wrong.append(what)
            elif not wrong:
                wrong.append("the id is missing")
            self.problems += [Problem(row.where, printable(row.id), what) for what in wrong]
            if not wrong:
                yield row

    def leak(self, row: Row, loaded: _Loaded) -> str | None:
        """Why this audio must not be here: it is in another split already."""
        split = str(row.split)
        name, other = self.heard.setdefault(loaded.digest, (row.id, split))
        if other != split:
            return f"the same audio as {name!r}, which is in {other}: a leak"
        # A part is taken out of audio that is a file here, or lies as bytes in each row of its parts.
        file = row.audio.resolve() if isinstance(row.audio, Path) else loaded.file
        place = (file, row.offset or 0.0, loaded.seconds)
        if found := self.segments.other_split(*place, split):
            if name == row.id:
                del self.heard[loaded.digest]
            return f"overlaps {found[0]!r} in the same file, which is in {found[1]}: a leak"
        self.segments.add(*place, row.id, split)
        return None

    def take(self, row: Row, loaded: _Loaded | str) -> None:
        what = loaded if isinstance(loaded, str) else self.leak(row, loaded)
        if isinstance(loaded, str) or what:
            self.problems.append(Problem(row.where, row.id, str(what)))
            return
        at = self.audio.tell()
        self.audio.write(loaded.flac)
        text = (row.text or "").strip() or None
        self.fresh.append((
            row.id, row.language, row.speaker, row.split, loaded.seconds, text, loaded.digest, row.where,
            row.name, row.offset or 0.0, row.cut_of, at, len(loaded.flac),
        ))  # fmt: skip
        self.count += 1
        self.hours += loaded.seconds / 3600
        if len(self.fresh) >= 10_000:
            self.flush()
        if time.monotonic() - self.told > 20.0:
            self.told = time.monotonic()
            print(f"  read {self.count} utterances, {self.hours:.1f} h", file=sys.stderr, flush=True)

    def flush(self) -> None:
        self.done.append(pl.DataFrame(self.fresh, schema=META, orient="row"))
        self.fresh = []


def import_rows(
    rows: Iterable[Row], limits: Limits, cut: Callable[[Row], Iterable[Row | Problem]] | None = None
) -> Imported:
    """Read rows and their audio.

    cut: makes several rows of one whose audio is too long, or says why that cannot be.
    Problems with rows are collected; raises IltError where a source cannot be read.
    """
    WORK.mkdir(exist_ok=True)
    work = _Import(limits, tempfile.TemporaryFile(dir=WORK))  # noqa: SIM115  closed with Imported
    workers = os.cpu_count() or 1
    waiting: deque[tuple[Row, Future[_Loaded | str]]] = deque()

    def take_first() -> None:
        row, future = waiting.popleft()
        work.take(row, future.result())

    with ThreadPoolExecutor(workers) as pool:
        for row in work.good(rows):
            # Once for all cuts of a long recording.
            file = blake2b(row.audio, digest_size=16).digest() if isinstance(row.audio, bytes) else b""
            for part in cut(row) if cut else (row,):
                if not isinstance(part, Problem) and part is not row and (what := work.duplicate(part)):
                    part = Problem(part.where, part.id, what)
                if isinstance(part, Problem):
                    work.problems.append(part)
                    continue
                waiting.append((part, pool.submit(_load, part, file, limits)))
                if len(waiting) >= 4 * workers:
                    take_first()
        while waiting:
            take_first()
    work.flush()
    return Imported(pl.concat(work.done), work.problems, work.audio)
