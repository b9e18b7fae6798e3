"""Parquet tables with one fixed schema each: sorted by id, the same bytes for the same rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from ilt.errors import IltError
from ilt.paths import damaged, replacing

__all__ = ["Table"]


@dataclass(frozen=True)
class Table:
    """A kind of table.

    name:   of the kind, in messages.
    schema: column names and types, in their order.
    """

    name: str
    schema: dict[str, pl.DataType]

    def empty(self) -> pl.DataFrame:
        """Return a table of this kind without rows."""
        return pl.DataFrame(schema=self.schema)

    def conform(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return the frame with this table's columns, types and order of rows; columns it lacks become null."""
        missing = [pl.lit(None).alias(name) for name in self.schema if name not in frame.columns]
        columns = [pl.col(name).cast(kind) for name, kind in self.schema.items()]
        return frame.with_columns(missing).select(columns).sort("id")

    def write(self, frame: pl.DataFrame, path: Path) -> None:
        """Write rows to Parquet, under a temporary name first. Raises IltError on duplicate ids."""
        conformed = self.conform(frame)
        repeated = conformed.filter(pl.col("id").is_duplicated())["id"].unique().sort()
        if len(repeated):
            raise IltError(f"{self.name} {path}: duplicate ids, for example {repeated[0]!r}")
        with replacing(path) as temporary:
            conformed.write_parquet(temporary, compression="zstd", statistics=True, row_group_size=65_536)

    def scan(self, path: Path) -> pl.LazyFrame:
        """Return a lazy view of a table file, checked against the schema. Raises IltError as `read` does."""
        if not path.is_file():
            raise IltError(f"{self.name} {path} is missing; run `dvc repro` or `dvc checkout`")
        with _damage_named(path):
            frame = pl.scan_parquet(path)
            found = dict(frame.collect_schema())
        for name, kind in self.schema.items():
            if found.get(name) != kind:
                raise IltError(
                    f"{self.name} {path}: column {name!r} is {found.get(name, 'missing')}, expected {kind}; "
                    "the file was written by another version or edited: run the stage again"
                )
        return frame

    def read(self, path: Path, where: pl.Expr | None = None, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """Read a table file, or some of its rows and columns.

        where: which rows; columns: which, in this order; None: all. Only these are held in memory.
        Raises IltError if the file is missing, damaged or of another schema.
        """
        frame = self.scan(path)
        if where is not None:
            frame = frame.filter(where)
        with _damage_named(path):
            return (frame if columns is None else frame.select(columns)).collect()


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    """Turn what polars raises for a file that is no whole Parquet into an IltError."""
    try:
        yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise damaged(path, str(error).splitlines()[0]) from None
