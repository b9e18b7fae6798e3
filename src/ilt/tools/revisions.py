"""Files of other revisions, read through DVC without touching the workspace."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from ilt.errors import IltError

__all__ = ["filesystem", "read_columns"]


def filesystem(revision: str) -> Any:
    """The repository as it is at a commit, branch, tag or experiment. Raises IltError for an unknown one."""
    from dvc.api import DVCFileSystem
    from dvc.exceptions import DvcException

    try:
        filesystem = DVCFileSystem(rev=revision)
        filesystem.ls("/")  # only now is the revision looked up
        return filesystem
    except DvcException as error:
        raise IltError(
            f"--rev {revision}: {error}; expected a commit, branch, tag or the name of an experiment "
            "(`dvc exp show` lists them), inside a DVC repository"
        ) from error


def read_columns(path: Path, revision: str | None, columns: list[str] | None = None) -> pl.DataFrame | None:
    """A Parquet file of a revision (None: of the workspace), or None where it is not there."""
    if revision is None:
        return pl.read_parquet(path, columns=columns) if path.is_file() else None
    try:
        with filesystem(revision).open(path.as_posix(), "rb") as file:
            return pl.read_parquet(file, columns=columns)
    except FileNotFoundError:
        return None
