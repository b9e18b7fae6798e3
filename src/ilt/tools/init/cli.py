"""The commands `ilt init` and `ilt upgrade`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["init", "upgrade"]


def init(
    folder: Annotated[Path, typer.Argument(help="The folder of the project; made where it is missing.")],
    model: Annotated[str | None, typer.Option(help="A hub id, as openai/whisper-large-v3, or a folder.")] = None,
    manifest: Annotated[Path | None, typer.Option(help="A NeMo-style JSONL manifest.")] = None,
    source: Annotated[
        list[str] | None, typer.Option(help="FORMAT:PATH, or {format: ..., path: ..., split: ...}; may be repeated.")
    ] = None,
    demo: Annotated[bool, typer.Option("--demo", help="The demo: its model, and a synthetic corpus.")] = False,
    revision: Annotated[str | None, typer.Option(help="Commit or tag of a hub model.")] = None,
    iterations: Annotated[int | None, typer.Option(min=1, max=20, help="How many to begin with.")] = None,
    language_as: Annotated[
        list[str] | None, typer.Option(help="CODE=CODE: a language that the model does not know, and its stand-in.")
    ] = None,
    pool_reference: Annotated[
        Path | None, typer.Option(help="JSONL with id and text of pool rows, for audits alone.")
    ] = None,
) -> None:
    """Make a project: a git and DVC repository with parameters that suit model, corpus and machine."""
    from ilt.tools.init.command import InitOptions, run_init

    options = InitOptions(model, revision, manifest, source or [], pool_reference, demo, iterations, language_as or [])
    run_init(folder, options)


def upgrade(
    write: Annotated[bool, typer.Option("--write", help="Write the changes that are shown.")] = False,
) -> None:
    """Show how dvc.yaml and params.yaml of an older project change for this version. Exit status 1: they do."""
    from ilt.tools.init.upgrade import run_upgrade

    differs = run_upgrade(write)
    raise typer.Exit(1 if differs and not write else 0)
