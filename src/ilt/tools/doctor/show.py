"""Output of `ilt doctor`, on a terminal or as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict

from ilt.escapes import visible
from ilt.tools.doctor.command import Report
from ilt.tools.doctor.machine import GIB
from ilt.tools.marks import plain_console

__all__ = ["print_report", "to_json"]

MARKS = {"ok": "ok", "missing": "missing", "broken": "BROKEN"}


def to_json(report: Report) -> str:
    """Return the report as JSON; control characters are escaped."""
    return visible(json.dumps(asdict(report), indent=2, ensure_ascii=False), lines=True)


def _size(count: int) -> str:
    return f"{count / GIB:.1f}"


def print_report(report: Report, seconds: float) -> None:
    """Print the machine, the findings, and a table of models for utterances of `seconds`."""
    from rich.table import Table

    machine = report.machine
    console = plain_console(120)
    console.print(
        f"machine: {machine.device} ({machine.name}), {_size(machine.memory)} GiB of memory free, "
        f"{_size(machine.disk)} GiB of disk free"
    )
    for finding in report.findings:
        console.print(f"{MARKS[finding.state]:>8}  {finding.name}: {finding.what}", soft_wrap=True)
    title = f"GiB at the batches of params.yaml, utterances of {seconds:g} s; estimates, see docs/models.md"
    table = Table("model", title=title, title_justify="left")
    for name in ("parameters", "labelling", "training", "disk", "fits"):
        table.add_column(name, justify="right")
    for verdict in report.verdicts:
        lacks = ", ".join(need.of for need in verdict.lacks)
        table.add_row(
            verdict.model, f"{verdict.parameters / 1e6:.1f} M", _size(verdict.labelling), _size(verdict.training),
            _size(verdict.disk), f"{verdict.fits}: {lacks}" if lacks else verdict.fits,
        )  # fmt: skip
    console.print(table)
