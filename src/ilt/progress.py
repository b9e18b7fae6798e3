"""Progress of long work: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ilt.escapes import visible

__all__ = ["progress"]

LOG_EVERY = 20.0
"""Seconds between lines where standard error is not a terminal."""


@contextmanager
def progress(what: str, total: int, done: int = 0) -> Iterator[Callable[[str], None]]:
    """Give a function to call once for each finished unit, with a short note to show."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
            TimeRemainingColumn(), TextColumn("{task.fields[note]}"),
        )  # fmt: skip
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(what, total=total, completed=done, note="")
            yield lambda note: bar.update(task, advance=1, note=visible(note))
        return
    count, last = done, time.monotonic()

    def log(note: str) -> None:
        nonlocal count, last
        count += 1
        now = time.monotonic()
        if now - last >= LOG_EVERY or count == total:
            last = now
            print(f"  {what} {count}/{total} {visible(note)}", file=sys.stderr, flush=True)

    yield log
