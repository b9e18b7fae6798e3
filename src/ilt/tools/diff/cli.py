"""The command `ilt diff`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["diff"]


def diff(
    tables: Annotated[
        list[str], typer.Argument(help="it1 it2, it2:pseudo it2:selected, or two .parquet files; see --rev.")
    ],
    rev: Annotated[
        list[str] | None,
        typer.Option(help="Commit, branch, tag or experiment. Once: against the workspace. Twice: both."),
    ] = None,
    form: Annotated[str, typer.Option("--format", help="text, markdown, json, html or parquet.")] = "text",
    output: Annotated[Path | None, typer.Option(help="Write to this file, not to the terminal.")] = None,
    limit: Annotated[int | None, typer.Option(help="How many changed rows to show; 0: all.")] = None,
    language: Annotated[list[str] | None, typer.Option(help="Only this language; may be repeated.")] = None,
    only: Annotated[
        str | None, typer.Option(help="Kinds that count: added,missing,reworded,redecided,resourced.")
    ] = None,
    where: Annotated[
        str | None,
        typer.Option(help='SQL condition over X, X_before, X_after, as "expected_error > 0.3".'),
    ] = None,
    reference: Annotated[Path | None, typer.Option(help="Parquet with id and text: what was really said.")] = None,
    normaliser: Annotated[
        str | None, typer.Option(help="For errors against references; the default is params.yaml's.")
    ] = None,
    fail_over: Annotated[
        list[str] | None,
        typer.Option(help="Exit with 1 only if this holds, as churn>0.2; may be repeated."),
    ] = None,
) -> None:
    """Compare two label tables. Exit status: 0 same, 1 different, 2 error."""
    from ilt.params import seed_and_normaliser
    from ilt.tools.diff.command import DiffOptions, run_diff

    options = DiffOptions(
        form, output, limit, language or [], [kind.strip() for kind in (only or "").split(",") if kind],
        where, reference, normaliser or seed_and_normaliser()[1], fail_over or [],
    )  # fmt: skip
    raise typer.Exit(run_diff(tables, rev or [], options))
