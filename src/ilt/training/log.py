"""Log of a training while it runs: a CSV that a person can watch or plot."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from pathlib import Path

__all__ = ["COLUMNS", "csv_log"]

COLUMNS = ("step", "loss", "dev_error", "train_error")


def csv_log(path: Path) -> Callable[[Mapping[str, float]], None]:
    """Return a function that appends a row of `COLUMNS`; what an earlier run left in `path` is removed.

    A figure that was not measured at a step is empty. Rows reach the disk at once.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerow(COLUMNS)

    def log(entry: Mapping[str, float]) -> None:
        with path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, COLUMNS).writerow(entry)

    return log
