"""Operands of a diff: label tables of iterations, files and revisions, and the references that go with them."""

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
    """One label table.

    name: as it was typed. path: in the repository, or of a file. revision: None for the workspace.
    """

    name: str
    path: Path
    revision: str | None

    @property
    def in_pipeline(self) -> bool:
        """True where the pipeline wrote it: the corpus of the same revision then has its references."""
        return self.path.suffix == ".parquet" and self.path.is_relative_to(paths.ITERATIONS)


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
    """Return the table before and the table after.

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


def _fetch(operand: Operand, target: Path) -> Path:
    """Copy a table of another revision to `target`; the workspace stays as it is."""
    try:
        filesystem(str(operand.revision)).get_file(operand.path.as_posix(), str(target))
    except FileNotFoundError as error:
        raise IltError(
            f"{operand.path} is not in {operand.revision}, or its contents are neither in the cache nor in a "
            "remote: reproduce that revision, or `dvc fetch` it"
        ) from error
    return target


def _missing(operand: Operand) -> IltError:
    if not operand.in_pipeline:
        return IltError(f"{operand.path} is missing")
    names = sorted(path.parts[-3] for path in paths.ITERATIONS.glob("*/labels/corrected.parquet"))
    known = f"there are {', '.join(names)}" if names else "there are none yet"
    return IltError(f"{operand.path} is missing ({known}; `dvc repro` or `dvc checkout` makes them)")


@contextmanager
def opened(one: Operand, other: Operand) -> Iterator[tuple[Path, Path]]:
    """Give local paths of both tables. Raises IltError for one that is missing."""
    with TemporaryDirectory(prefix="ilt-diff-") as folder:
        local = []
        for number, operand in enumerate((one, other)):
            if operand.revision is not None:
                local.append(_fetch(operand, Path(folder) / f"{number}.parquet"))
            elif operand.path.is_file():
                local.append(operand.path)
            else:
                raise _missing(operand)
        yield local[0], local[1]


def read_references(operand: Operand, file: Path | None) -> pl.DataFrame | None:
    """Return `id` and `reference`, the true texts, or None where none is known.

    file: a Parquet file with `id` and `text`; otherwise gold, dev and `pool_reference` of the operand's
    revision, if the pipeline wrote the table. Raises IltError for a file without these columns, or with an id
    twice.
    """
    if file is not None:
        try:
            texts = pl.read_parquet(file, columns=["id", "text"]).select(pl.all().cast(pl.String))
        except (pl.exceptions.PolarsError, OSError) as error:
            raise IltError(f"--reference {file}: {error}; expected Parquet with id and text") from error
        texts = texts.rename({"text": "reference"}).drop_nulls()
        if len(twice := texts.filter(pl.col("id").is_duplicated())):
            raise IltError(f"--reference {file}: {twice['id'][0]!r} has more than one row; keep one of each utterance")
        return texts
    if not operand.in_pipeline:
        return None
    utterances = read_columns(paths.UTTERANCES, operand.revision, ["id", "split", "text"])
    pool = read_columns(paths.POOL_REFERENCE, operand.revision, ["id", "text"])
    if utterances is not None:
        utterances = utterances.filter(pl.col("split") != "pool").drop("split")
    known = [frame.select("id", reference="text") for frame in (utterances, pool) if frame is not None]
    return pl.concat(known).drop_nulls() if known else None
