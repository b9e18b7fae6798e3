"""`ilt tune`: search for good settings; `ilt tune show`: what came of it."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Annotated

import typer

from ilt.errors import IltError
from ilt.escapes import visible

__all__ = ["app"]

app = typer.Typer(invoke_without_command=True, help="Search for good settings over tune.yaml; see what came of it.")

FileOption = Annotated[Path, typer.Option("--file", help="What may change, and by what it is judged.")]
StudyOption = Annotated[str | None, typer.Option("--study", help="The study; the default is tune.yaml's.")]


@app.callback()
def tune(
    context: typer.Context,
    trials: Annotated[int | None, typer.Option(min=1, help="Go on until the study has so many trials in all.")] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0, help="Begin no trial after so many minutes of this call.")
    ] = None,
    study: StudyOption = None,
    file: FileOption = Path("tune.yaml"),
) -> None:
    """Search for good settings, each trial a DVC experiment. After a stop, the same command goes on."""
    if context.invoked_subcommand is not None:
        if (trials, minutes, study) != (None, None, None):
            raise IltError(f"options of a search do not go before `{context.invoked_subcommand}`; put them after it")
        return
    if trials is None and minutes is None:
        raise IltError("say how long: --trials 20 (in all), --minutes 60, or both (whichever comes first)")
    from ilt.tools.experiments.dvc import interrupt_on_sigterm
    from ilt.tools.experiments.tune.search import search
    from ilt.tools.experiments.tune.space import load_space

    space = load_space(file)
    name = _checked(study or space.file.study)
    interrupt_on_sigterm()
    print(
        f"study {name}: {len(space.file.parameters)} parameters over {', '.join(space.iterations)}; "
        f"logs are in .ilt/tune/{name}"
    )
    try:
        counted = search(space, name, trials, minutes, _say, _show_stage).counted
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    print(f"{counted} trials in study {name}; `ilt tune show --study {name}` compares them")


def _checked(study: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9-]*", study):
        raise IltError(f"--study {study!r}: expected lower-case letters, digits and hyphens, as in my-study-2")
    return study


def _say(text: str) -> None:
    print(visible(text, lines=True), flush=True)


def _show_stage(name: str) -> None:
    """Print the stage that runs, on a terminal alone: a log has the steps."""
    if sys.stderr.isatty():
        print(f"  {name:<20}", end="\r", file=sys.stderr, flush=True)


@app.command()
def show(
    study: StudyOption = None,
    file: FileOption = Path("tune.yaml"),
    test: Annotated[bool, typer.Option("--test", help="Also the error on test, which no trial is chosen by.")] = False,
    form: Annotated[str, typer.Option("--format", help="text or json.")] = "text",
) -> None:
    """Show the trials of a study, the best and the Pareto front, and which parameters mattered."""
    from ilt.tools.experiments.tune.show import Shown, importances, test_errors
    from ilt.tools.experiments.tune.space import read_tune_file
    from ilt.tools.experiments.tune.study import Study, open_study

    if form not in ("text", "json"):
        raise IltError(f"--format {form!r}: there are text, json")
    stored = open_study(_checked(study or read_tune_file(file).study))
    now = Study.of(stored)
    shares = importances(stored, int(now.params.get("seed", 1)))
    shown = Shown(now, shares, test_errors(now) if test else None)
    if form == "json":
        print(visible(json.dumps(shown.to_dict(), indent=2, ensure_ascii=False), lines=True))
    else:
        shown.print()
