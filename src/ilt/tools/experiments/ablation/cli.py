"""`ilt ablate`: ILT beside its control arms."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ilt.errors import IltError

__all__ = ["ablate"]


def ablate(
    data: Annotated[
        list[str] | None, typer.Option(help="A data set of ablation.yaml; may be repeated. Else all.")
    ] = None,
    arm: Annotated[list[str] | None, typer.Option(help="Only this arm; may be repeated.")] = None,
    manifest: Annotated[Path | None, typer.Option(help="Of data sets that come from a manifest.")] = None,
    queue: Annotated[bool, typer.Option(help="Only put the runs into DVC's queue.")] = False,
    read: Annotated[bool, typer.Option(help="Run nothing; write the results of what is there.")] = False,
    verify: Annotated[
        bool,
        typer.Option(
            help="After a change of code that changes no result: run an arm again (ilt3, or each --arm), and "
            "let records count on if it comes out the same. Exit status 1 if it does not."
        ),
    ] = False,
    file: Annotated[Path, typer.Option(help="Seeds, sizes and data sets.")] = Path("ablation.yaml"),
) -> None:
    """Compare ILT with its control arms, each a DVC experiment; after a stop, the same command goes on."""
    from ilt.tools.experiments.ablation.command import open_ablation
    from ilt.tools.experiments.dvc import interrupt_on_sigterm

    interrupt_on_sigterm()
    if queue + read + verify > 1:
        raise IltError("--queue, --read and --verify exclude one another")
    ablation = open_ablation(file, data or [], arm or [], manifest)
    if verify:
        raise typer.Exit(0 if ablation.verify() else 1)
    ablation.run(queue, read)
