"""The command `ilt`."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from ilt import paths
from ilt.errors import IltError

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Iterative LoRA Training for speech recognition."
)


@app.callback()
def _main() -> None:
    """Iterative LoRA Training for speech recognition. The pipeline itself is run with `dvc repro`."""


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f}"


def _interval(gain: dict[str, float]) -> str:
    return f"{100 * gain['micro']:+.1f} [{100 * gain['low']:+.1f}, {100 * gain['high']:+.1f}]"


@app.command()
def summary(
    languages: Annotated[bool, typer.Option(help="Also show the test error of each language.")] = False,
) -> None:
    """Show the iterations: error rates, gains and the quality of the labels, in percent."""
    from rich.console import Console
    from rich.table import Table

    if not paths.SUMMARY.is_file():
        print(f"ERROR: {paths.SUMMARY} is missing; run `dvc repro` first", file=sys.stderr)
        raise typer.Exit(1)
    found: dict[str, Any] = paths.read_json(paths.SUMMARY)
    table = Table(
        title="Error rates in % (WER; CER for ko and the like); gain is on test, over the iteration before"
    )
    for name in (
        "iteration",
        "test",
        "macro",
        "dev",
        "retention",
        "gain [95 %]",
        "gap",
        "pool labels",
        "selected",
        "share",
        "corrected",
    ):
        table.add_column(name, justify="left" if name == "iteration" else "right", no_wrap=True)
    for name, entry in found.items():
        labels = entry["labels"]
        table.add_row(
            name,
            _percent(entry["test"]["micro"]),
            _percent(entry["test"]["macro"]),
            _percent(entry["dev"]["micro"]),
            _percent(entry["retention"]["micro"]),
            "" if name == "base" else _interval(entry["gain_over_previous"]),
            _percent(entry["train_dev_gap"]),
            _percent(labels.get("pool_error")),
            _percent(labels.get("selected_error")),
            _percent(labels.get("selected_share")),
            _percent(labels.get("corrected_error")),
        )
    console = Console(width=None if sys.stdout.isatty() else 130)
    console.print(table)
    last = list(found)[-1]
    console.print(f"{last} over the base, on test: {_interval(found[last]['gain'])} points")
    if languages:
        console.print(_by_language(found))


def _by_language(found: dict[str, Any]) -> Any:
    from rich.table import Table

    table = Table("iteration", title="Test error in % by language")
    codes = list(next(iter(found.values()))["test"]["by_language"])
    for code in codes:
        table.add_column(code, justify="right")
    for name, entry in found.items():
        table.add_row(name, *(_percent(entry["test"]["by_language"][code]) for code in codes))
    return table


def main() -> None:
    """Run the command line; an IltError becomes one message."""
    try:
        app()
    except IltError as error:
        print(f"ERROR: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
