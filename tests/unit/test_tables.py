"""Tables and JSON of a project: some rows of a table, and damage that ends in one error."""

from __future__ import annotations

import random

import polars as pl
import pytest

from ilt.errors import IltError
from ilt.paths import read_json
from ilt.tables import Table

TABLE = Table(
    "test table", {"id": pl.String(), "text": pl.String(), "flags": pl.List(pl.String()), "score": pl.Float64()}
)


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "table.parquet"
    rows = [{"id": f"u{n:03d}", "text": f"text {n}", "flags": ["loop"] * (n % 3), "score": n / 7} for n in range(300)]
    TABLE.write(pl.DataFrame(rows), path)
    return path


def test_some_rows_and_columns_are_read(table):
    some = TABLE.read(table, pl.col("id").is_in(["u007", "u123"]), ["score", "id"])
    assert some.rows() == [(1.0, "u007"), (123 / 7, "u123")]
    assert TABLE.read(table).height == 300


def test_a_missing_table_and_one_of_another_schema_are_named(table, tmp_path):
    with pytest.raises(IltError, match=r"test table .*missing; run `dvc repro`"):
        TABLE.read(tmp_path / "none.parquet")
    with pytest.raises(IltError, match="column 'text' is String, expected Int64"):
        Table("other table", {"id": pl.String(), "text": pl.Int64()}).read(table)


@pytest.mark.parametrize("part", [0, 0.01, 0.5, 0.9, 0.999])
def test_a_cut_table_is_damaged(table, part):
    whole = table.read_bytes()
    table.write_bytes(whole[: int(part * len(whole))])
    for read in (TABLE.read, TABLE.scan):
        with pytest.raises(IltError, match=rf"^{table} is damaged .*`dvc checkout --force {table}`.*`dvc repro`"):
            read(table)


def test_no_damage_ends_otherwise_than_in_one_error(table):
    """Bytes that are changed anywhere: the table is read, or the error names it."""
    whole, at = table.read_bytes(), random.Random(1)
    refused = 0
    for _ in range(150):
        damaged = bytearray(whole)
        start = at.randrange(len(whole))
        damaged[start : start + 40] = bytes(at.randrange(256) for _ in range(40))
        table.write_bytes(damaged[: len(whole)])
        try:
            TABLE.read(table)
        except IltError as error:
            refused += 1
            assert str(table) in str(error)
    assert refused > 100


@pytest.mark.parametrize("content", [b"", b'{"a": 1', b"\xff\xfe", b"[" * 100_000, b"9" * 10_000])
def test_json_that_cannot_be_read_is_damaged(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(IltError, match=f"^{path} is damaged .not JSON: .*`git restore {path}`"):
        read_json(path)


@pytest.mark.parametrize("content", [b"null", b"[]", b"{}", b'{"a": 1}'])
def test_json_without_what_is_needed_is_damaged(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(IltError, match=rf"^{path} is damaged .without .*b"):
        read_json(path, "a", "b")


def test_missing_json_is_named(tmp_path):
    with pytest.raises(IltError, match=r"none\.json is missing; run `dvc checkout"):
        read_json(tmp_path / "none.json")
    with pytest.raises(IltError, match="cannot be read: Is a directory"):
        read_json(tmp_path)
