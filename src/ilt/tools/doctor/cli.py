"""The command `ilt doctor`."""

from __future__ import annotations

from typing import Annotated

import typer

from ilt.errors import IltError

__all__ = ["doctor"]


def doctor(
    seconds: Annotated[float, typer.Option(min=0.1, max=30, help="Length of the utterances to plan for.")] = 10.0,
    form: Annotated[str, typer.Option("--format", help="text or json.")] = "text",
) -> None:
    """Say what this machine can run, and what is missing. Exit status 1: the configured model cannot run."""
    from ilt.params import load_params
    from ilt.tools.doctor.command import examine
    from ilt.tools.doctor.show import print_report, to_json

    if form not in ("text", "json"):
        raise IltError(f"--format {form!r}: there are text, json")
    report = examine(load_params(), seconds)
    if form == "json":
        print(to_json(report))
    else:
        print_report(report, seconds)
    if any(finding.state == "broken" for finding in report.findings):
        raise typer.Exit(1)
