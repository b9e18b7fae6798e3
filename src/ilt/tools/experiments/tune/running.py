"""One search at a time in a study, and nothing left running by one that was killed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from ilt.errors import IltError
from ilt.paths import read_json, write_json
from ilt.tools.experiments.dvc import stop_process

__all__ = ["only_one"]


def _identity(process: psutil.Process) -> dict[str, float]:
    return {"pid": process.pid, "created": process.create_time()}


def _alive(entry: dict[str, Any] | None) -> psutil.Process | None:
    """The process that an entry names, if it still runs and is not another one of the same number."""
    if entry is None:
        return None
    try:
        process = psutil.Process(int(entry["pid"]))
        return process if abs(process.create_time() - entry["created"]) < 1 else None
    except psutil.NoSuchProcess:
        return None


@contextmanager
def only_one(path: Path) -> Iterator[Callable[[psutil.Process], None]]:
    """Hold a study, by a file that names this process; give a function to call with each experiment started.

    A search that was killed may have left its experiment running: that is ended first, since the same trial
    will be run again. Raises IltError while another process holds the study.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    mine: dict[str, Any] = {"search": _identity(psutil.Process()), "experiment": None}
    while True:
        try:
            with path.open("x", encoding="utf-8") as file:
                json.dump(mine, file)
            break
        except FileExistsError:
            _take_over(path)

    def tell(experiment: psutil.Process) -> None:
        write_json(path, mine | {"experiment": _identity(experiment)})

    try:
        yield tell
    finally:
        path.unlink(missing_ok=True)


def _take_over(path: Path) -> None:
    if not path.is_file():
        return
    try:
        earlier = read_json(path)
    except IltError:  # killed while it was written
        earlier = {"search": None, "experiment": None}
    if holder := _alive(earlier["search"]):
        raise IltError(
            f"process {holder.pid} is searching in this study; wait for it, stop it (kill {holder.pid}), or "
            "begin another study (--study NAME)"
        )
    if left := _alive(earlier["experiment"]):
        stop_process(left)
    path.unlink(missing_ok=True)
