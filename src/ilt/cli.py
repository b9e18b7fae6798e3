"""The command `ilt`: the commands of all tools under one roof."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ilt.errors import IltError
from ilt.tools.diff.cli import diff
from ilt.tools.doctor.cli import doctor
from ilt.tools.experiments.ablation.cli import ablate
from ilt.tools.experiments.tune.cli import app as tune
from ilt.tools.explain.cli import explain
from ilt.tools.export.cli import export
from ilt.tools.init.cli import init, upgrade
from ilt.tools.review.cli import app as review
from ilt.tools.summary import summary
from ilt.tools.transcribe.cli import transcribe

__all__ = ["app", "main"]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Iterative LoRA Training for speech recognition.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"ilt {version('ilt')}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Iterative LoRA Training for speech recognition. The pipeline itself is run with `dvc repro`."""


@app.command()
def plan() -> None:
    """Check params.yaml and write the plan of every stage; `dvc status` then lists the stages that have to run."""
    from ilt.stages.plan import write_plan

    for note in write_plan():
        print(note)


@app.command()
def params(section: Annotated[str | None, typer.Argument(help="One section, as train.")] = None) -> None:
    """List all parameters, with their meaning and their defaults."""
    from ilt.tools.parameters import describe

    print(describe(section), end="")


@app.command()
def validate(
    output: Annotated[Path | None, typer.Option(help="Also write the problems to this .csv or .parquet file.")] = None,
) -> None:
    """List everything that is wrong with the corpus of params.yaml; nothing is written into data.

    Exit status: 0 nothing, 1 problems, 2 error.
    """
    from ilt.tools.validate import run_validate

    raise typer.Exit(run_validate(output))


for command in (init, upgrade, doctor, summary, diff, explain, export, transcribe, ablate):
    app.command()(command)
app.add_typer(review, name="review")
app.add_typer(tune, name="tune")


def main() -> None:
    """Run the command line; an IltError becomes one message, and exit status 2."""
    try:
        app()
    except IltError as error:
        print(f"ERROR: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
