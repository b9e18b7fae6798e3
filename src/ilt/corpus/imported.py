"""Imported utterances: their tables, and their audio in one unnamed file until the utterance table is written."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

import polars as pl
import pyarrow.parquet as pq

from ilt.corpus.casing import with_case
from ilt.corpus.table import ORIGIN_TABLE, QUARANTINE_TABLE, UTTERANCE_TABLE
from ilt.errors import Problem
from ilt.paths import WORK, replacing

__all__ = ["Imported", "Spool"]

GROUP_BYTES, GROUP_ROWS = 8 * 2**20, 65_536
"""Of audio and of rows in one row group of the utterance table, which are held while it is written or read."""

SCHEMA = {
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
"""Columns of `Imported.rows`; at and size: place of the utterance's FLAC in the file of audio."""

KEPT = 10_000
"""Rows that are held as Python objects before they become a table."""


@dataclass
class Imported:
    """The result of an import.

    rows:     good utterances, with the columns of `SCHEMA`, in the order of the sources.
    problems: everything that is wrong with other rows.
    notes:    lines for people: texts that were cleaned, references that are ignored.
    given:    true texts of the pool from a file (`corpus.pool_reference`), with `id` and `text`.
    """

    rows: pl.DataFrame
    problems: list[Problem]
    _audio: IO[bytes]
    notes: list[str] = field(default_factory=list)
    given: pl.DataFrame | None = None

    @property
    def references(self) -> pl.DataFrame:
        """True texts of the pool, with `id` and `text`: of `given`, else of the sources."""
        pool = self.rows.filter(pl.col("split") == "pool")
        own = pool.filter(pl.col("text").is_not_null()).select("id", "text")
        if self.given is None:
            return own
        given = self.given.join(pool.select("id"), on="id", how="semi")
        return pl.concat([own.join(given, on="id", how="anti"), given])

    def give_references(self, given: pl.DataFrame, path: Path) -> None:
        """Take true texts of the pool from a file. Ids that are not in the pool are noted; only such are a problem."""
        self.given = given
        pool = self.rows.filter(pl.col("split") == "pool")
        unknown = given.join(pool.select("id"), on="id", how="anti")["id"].sort()
        if len(pool) and len(unknown) == len(given):
            what = (
                f"corpus.pool_reference: none of its {len(given)} ids is in the pool; its ids are as "
                f"{pool['id'].sort()[0]!r}"
            )
            self.problems.append(Problem(str(path), unknown[0] if len(unknown) else "", what))
        elif len(unknown):
            self.notes.append(
                f"corpus.pool_reference: {len(unknown)} of {len(given)} ids are not in the pool and are ignored, as "
                f"{unknown[0]!r}"
            )

    def put_in_case(self, case: Literal["auto", "as_is", "lower"]) -> None:
        """Put the texts of rows and references in the case of `corpus.case`; what `auto` changes is noted."""
        self.rows, groups = with_case(self.rows, case, ("language", "split"))
        if self.given is not None:
            languages = self.rows.select("id", "language")
            self.given, _ = with_case(self.given.join(languages, on="id", how="left"), case, ("language",))
            self.given = self.given.drop("language")
        if groups:
            where = ", ".join(groups)
            self.notes.append(
                f"texts in upper case throughout, now in lower case (corpus.case: as_is keeps it): {where}"
            )

    @property
    def quarantine(self) -> pl.DataFrame:
        """The problems, one a row, as `QUARANTINE_TABLE` has them."""
        rows = [
            (f"{problem.where}#{number}", problem.where, problem.id or None, problem.what)
            for number, problem in enumerate(self.problems)
        ]
        return pl.DataFrame(rows, schema=QUARANTINE_TABLE.schema, orient="row")

    @property
    def origins(self) -> pl.DataFrame:
        """The source of each utterance, with the columns of `ORIGIN_TABLE`."""
        return self.rows.select(*ORIGIN_TABLE.schema)

    def skip(self, problems: Sequence[tuple[str, str]]) -> None:
        """Make problems of good rows: pairs of id and what is wrong."""
        if problems:
            places = dict(self.rows.select("id", "where").iter_rows())
            self.problems += [Problem(places[key], key, what) for key, what in problems]
            self.rows = self.rows.filter(~pl.col("id").is_in([key for key, _ in problems]))

    def _flac(self, at: int, size: int) -> bytes:
        self._audio.seek(at)
        return self._audio.read(size)

    def groups(self) -> Iterator[pl.DataFrame]:
        """Yield the utterance table in the order of ids, in parts that fit in memory."""
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
        """Return the whole utterance table with all its audio: for small corpora."""
        return pl.concat([UTTERANCE_TABLE.empty(), *self.groups()])

    def write(self, path: Path) -> None:
        """Write the utterance table, a row group for each part."""
        schema = UTTERANCE_TABLE.empty().to_arrow().schema
        named = [name for name in UTTERANCE_TABLE.schema if name != "audio"]
        with (
            replacing(path) as temporary,
            pq.ParquetWriter(temporary, schema, compression="zstd", use_dictionary=named) as writer,
        ):
            for part in self.groups():
                writer.write_table(part.to_arrow().cast(schema))


class Spool:
    """Rows and audio on their way to `Imported`: audio goes to disk at once, rows are kept as tables."""

    def __init__(self) -> None:
        WORK.mkdir(exist_ok=True)
        self._audio = tempfile.TemporaryFile(dir=WORK)  # noqa: SIM115  closed with Imported
        self._tables: list[pl.DataFrame] = []
        self._fresh: list[dict[str, Any]] = []

    def add(self, row: dict[str, Any], flac: bytes) -> None:
        """Take one utterance: the columns of `SCHEMA` but at and size, and its audio."""
        self._fresh.append(row | {"at": self._audio.tell(), "size": len(flac)})
        self._audio.write(flac)
        if len(self._fresh) >= KEPT:
            self._flush()

    def _flush(self) -> None:
        self._tables.append(pl.DataFrame(self._fresh, schema=SCHEMA))
        self._fresh = []

    def imported(self, problems: list[Problem], notes: list[str]) -> Imported:
        """Return all that was added."""
        self._flush()
        return Imported(pl.concat(self._tables), problems, self._audio, notes)
