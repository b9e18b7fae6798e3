"""What `ilt doctor` found, on a terminal."""

from __future__ import annotations

import sys
from typing import Any

from ilt.tools.doctor.command import GIB

__all__ = ["print_report"]

MARKS = {"ok": "ok", "missing": "missing", "broken": "BROKEN"}


def _size(count: int) -> str:
    return f"{count / GIB:.1f}"


def print_report(found: dict[str, Any], seconds: float) -> None:
    """Print the machine, what is there and what is not, and a table of models."""
    from rich.console import Console
    from rich.table import Table

    machine = found["machine"]
    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    console.print(
        f"machine: {machine.device} ({machine.name}), {_size(machine.memory)} GiB of memory free, "
        f"{_size(machine.disk)} GiB of disk free"
    )
    for one in found["findings"]:
        console.print(f"{MARKS[one.state]:>8}  {one.name}: {one.what}", soft_wrap=True, markup=False)
    title = f"GiB at the batches of params.yaml, utterances of {seconds:g} s; estimates, see docs/models.md"
    table = Table("model", title=title, title_justify="left")
    for name in ("parameters", "labelling", "training", "disk", "fits"):
        table.add_column(name, justify="right")
    for one in found["verdicts"]:
        lacks = ", ".join(need.of for need in one.lacks)
        table.add_row(
            one.model, f"{one.parameters / 1e6:.1f} M", _size(one.labelling), _size(one.training),
            _size(one.disk), f"{one.fits}: {lacks}" if lacks else one.fits,
        )  # fmt: skip
    console.print(table)
