"""Files of other revisions, read through DVC without touching the workspace."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl

from ilt.errors import IltError

__all__ = ["filesystem", "read_columns", "read_json"]


def filesystem(revision: str) -> Any:
    """Return the repository at a commit, branch, tag or experiment. Raises IltError for an unknown one."""
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
    """Return a Parquet file of a revision (None: of the workspace), or None where it is missing."""
    if revision is None:
        return pl.read_parquet(path, columns=columns) if path.is_file() else None
    try:
        with filesystem(revision).open(path.as_posix(), "rb") as file:
            return pl.read_parquet(file, columns=columns)
    except FileNotFoundError:
        return None


def read_json(files: Any, path: Path) -> Any:
    """Return a JSON file of a revision, given its `filesystem`. Raises FileNotFoundError where it is missing."""
    return json.loads(files.read_text(path.as_posix(), encoding="utf-8"))
