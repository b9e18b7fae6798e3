"""Which tables are meant: iterations, files, revisions; and the references that go with them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from ilt import paths
from ilt.errors import IltError
from ilt.tools.revisions import filesystem, read_columns

__all__ = ["Operand", "opened", "read_references", "resolve"]

TABLES = ("pseudo", "selected", "corrected")


@dataclass(frozen=True)
class Operand:
    """A label table that was asked for.

    name: as it was asked for. path: in the repository, or of a file. revision: None for the workspace.
    """

    name: str
    path: Path
    revision: str | None

    @property
    def in_pipeline(self) -> bool:
        """Whether the pipeline wrote it, so that the corpus of the same revision has its references."""
        return self.path.suffix == ".parquet" and self.path.is_relative_to(paths.DATA / "labels")


def _operand(name: str, revision: str | None) -> Operand:
    if name.endswith(".parquet"):
        return Operand(name, Path(name), revision)
    match = re.fullmatch(r"([\w-]+)(?::(\w+))?", name)
    if not match or (match[2] and match[2] not in TABLES):
        raise IltError(
            f"{name!r} is no label table; expected an iteration (it2), one of its tables (it2:selected; "
            f"there are {', '.join(TABLES)}) or a file that ends in .parquet"
        )
    return Operand(name, paths.labels(match[1], match[2] or "corrected"), revision)


def resolve(names: list[str], revisions: list[str]) -> tuple[Operand, Operand]:
    """The table before and the table after.

    One name needs a revision: that against the workspace, or two of them against one another. Two names are
    both of the workspace, both of one revision, or each of its own. Raises IltError otherwise.
    """
    chosen: list[str | None] = list(revisions)
    if len(names) == 1 and len(revisions) in (1, 2):
        pairs = [(names[0], rev) for rev in [*chosen, None][:2]]
    elif len(names) == 2 and len(revisions) <= 2:
        both = chosen if len(chosen) == 2 else (chosen or [None]) * 2
        pairs = list(zip(names, both, strict=True))
    else:
        raise IltError(
            "expected two tables (ilt diff it1 it2) or one table and a revision or two "
            "(ilt diff it2 --rev main --rev my-exp)"
        )
    one, other = (_operand(*pair) for pair in pairs)
    return one, other


def _there() -> str:
    found = sorted(path.parent.name for path in (paths.DATA / "labels").glob("*/corrected.parquet"))
    return f"there are {', '.join(found)}" if found else "there are none yet"


def _fetched(operand: Operand, folder: Path, number: int) -> Path:
    """A local copy of a table of another revision; the workspace stays as it is."""
    target = folder / f"{number}.parquet"
    try:
        filesystem(str(operand.revision)).get_file(operand.path.as_posix(), str(target))
    except FileNotFoundError as error:
        raise IltError(
            f"{operand.path} is not in {operand.revision}, or its contents are neither in the cache nor in a "
            "remote: reproduce that revision, or `dvc fetch` it"
        ) from error
    return target


@contextmanager
def opened(one: Operand, other: Operand) -> Iterator[tuple[Path, Path]]:
    """Local paths of both tables. Raises IltError for what is not there."""
    with TemporaryDirectory(prefix="ilt-diff-") as folder:
        found = []
        for number, operand in enumerate((one, other)):
            if operand.revision is not None:
                found.append(_fetched(operand, Path(folder), number))
                continue
            if not operand.path.is_file():
                hint = f" ({_there()}; `dvc repro` or `dvc checkout` makes them)" if operand.in_pipeline else ""
                raise IltError(f"{operand.path} is missing{hint}")
            found.append(operand.path)
        yield found[0], found[1]


def read_references(operand: Operand, file: Path | None) -> pl.DataFrame | None:
    """`id` and `reference` of what was really said, or None where nothing is known.

    file: a Parquet file with `id` and `text`; otherwise gold, dev and `pool_reference` of the operand's
    revision, if the pipeline wrote the table. Raises IltError for a file without these columns, or with an id
    twice.
    """
    if file is not None:
        try:
            texts = pl.read_parquet(file, columns=["id", "text"]).select(pl.all().cast(pl.String))
            given = texts.rename({"text": "reference"}).drop_nulls()
        except (pl.exceptions.PolarsError, OSError) as error:
            raise IltError(f"--reference {file}: {error}; expected Parquet with id and text") from error
        if len(twice := given.filter(pl.col("id").is_duplicated())):
            raise IltError(f"--reference {file}: {twice['id'][0]!r} has more than one row; keep one of each utterance")
        return given
    if not operand.in_pipeline:
        return None
    said = read_columns(paths.UTTERANCES, operand.revision, ["id", "split", "text"])
    pool = read_columns(paths.POOL_REFERENCE, operand.revision, ["id", "text"])
    parts = [] if said is None else [said.filter(pl.col("split") != "pool").select("id", reference="text")]
    parts += [] if pool is None else [pool.select("id", reference="text")]
    return pl.concat(parts).drop_nulls() if parts else None
