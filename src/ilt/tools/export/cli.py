"""The command `ilt export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["export"]


def export(
    iteration: Annotated[str, typer.Argument(help="An iteration, as it3; or base.")],
    to: Annotated[str, typer.Option(help="merged, adapter or ctranslate2.")],
    output: Annotated[Path, typer.Option(help="The folder to write.")],
    rank: Annotated[int | None, typer.Option(help="adapter: cut to this rank by SVD; else exact.")] = None,
    quantization: Annotated[str | None, typer.Option(help="ctranslate2: float16 (default), int8, float32, ...")] = None,
    dtype: Annotated[str | None, typer.Option(help="merged: float32 (default), float16 or bfloat16.")] = None,
    licence: Annotated[
        str, typer.Option("--license", help="For the model card, as the hub names it: apache-2.0, mit, ...")
    ] = "unknown",
    tolerance: Annotated[
        float, typer.Option(help="Fail if the error rate on dev is more points higher than this.")
    ] = 0.5,
    rows: Annotated[int | None, typer.Option(help="Check on this many dev utterances only.")] = None,
    language: Annotated[
        str | None, typer.Option(help="Whose adapter, where languages have adapters of their own: de.")
    ] = None,
    force: Annotated[bool, typer.Option(help="Replace an exported model that is there.")] = False,
) -> None:
    """Write a model for use elsewhere, checked on dev. Exit status: 0 done, 1 no parity, 2 error."""
    from ilt.tools.export.command import run_export
    from ilt.tools.export.options import ExportOptions

    options = ExportOptions(to, output, rank, quantization, dtype, licence, tolerance, rows, force, language)
    raise typer.Exit(run_export(iteration, options))
