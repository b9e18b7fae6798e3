"""The command `ilt`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ilt import paths
from ilt.errors import IltError
from ilt.evaluation.figures import interval, percent
from ilt.tools.experiments.tune.cli import app as tune_app
from ilt.tools.review.cli import app as review_app

if TYPE_CHECKING:
    from ilt.report.summary import SoFar

__all__ = ["app"]

PASSED = "passed through"

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Iterative LoRA Training for speech recognition.",
)


app.add_typer(review_app, name="review")
app.add_typer(tune_app, name="tune")


@app.callback()
def _main() -> None:
    """Iterative LoRA Training for speech recognition. The pipeline itself is run with `dvc repro`."""


@app.command()
def summary(
    languages: Annotated[
        bool, typer.Option(help="Also show the error of each language, on test and retention.")
    ] = False,
) -> None:
    """Show the iterations: error rates, gains and the quality of the labels, in percent.

    While `dvc repro` runs: those that are finished, what they cost and what one more may gain.
    """
    from rich.console import Console
    from rich.table import Table

    from ilt.report.summary import so_far

    there = so_far()
    if there is None and not paths.SUMMARY.is_file():
        print(f"ERROR: {paths.SUMMARY} is missing; run `dvc repro` first", file=sys.stderr)
        raise typer.Exit(1)
    # Git keeps the summary, DVC's cache what it is made of: a clone may have the former alone.
    found: dict[str, Any] = there.summary if there else paths.read_json(paths.SUMMARY)
    passed = {name: entry["skipped"] for name, entry in found.items() if "skipped" in entry}
    table = Table(title="Error rates in % (WER; CER for ko and the like); gain is on test, over the iteration before")
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
            percent(entry["test"]["micro"]),
            percent(entry["test"]["macro"]),
            percent(entry["dev"]["micro"]),
            percent(entry["retention"]["micro"]),
            "" if name == "base" else PASSED if name in passed else interval(entry["gain_over_previous"]),
            percent(entry["train_dev_gap"]),
            percent(labels.get("pool_error")),
            percent(labels.get("selected_error")),
            percent(labels.get("selected_share")),
            percent(labels.get("corrected_error")),
        )
    console = Console(width=None if sys.stdout.isatty() else 130)
    console.print(table)
    for name, why in passed.items():
        console.print(f"{name}: {PASSED}, {why}", highlight=False)
    for line in (_one_more(found), _spent(found, there)):
        if line:
            console.print(line, highlight=False)
    last = list(found)[-1]
    if last != "base":
        console.print(f"{last} over the base, on test: {interval(found[last]['gain'])} points")
    if there and there.rest:
        console.print(f"not run yet with these parameters: {', '.join(there.rest)}", highlight=False)
    if languages:
        for split in ("test", "retention"):
            if any(entry[split]["by_language"] for entry in found.values()):
                console.print(f"{split.capitalize()} error in % by language")  # a title would be wrapped
                console.print(_by_language(found, split))


def _one_more(found: dict[str, Any]) -> str:
    """What one more iteration may gain, and what was said of those before it."""
    from ilt.report.forecast import how_it_did

    ran = [name for name, entry in found.items() if "expected_next" in entry]
    if not ran:
        return ""
    told = found[ran[-1]]["expected_next"]
    if told["gain"] is None:
        return f"one more iteration: {told['how']}"
    said = [found[name]["expected_next"]["gain"] for name in ran]
    before = how_it_did(ran, said, [found[name]["gain_over_previous"]["micro"] for name in ran])
    return f"one more iteration: perhaps {100 * told['gain']:+.1f} points ({told['how']})" + (
        f"\nhow that rule did so far: {before}" if before else ""
    )


def _spent(found: dict[str, Any], there: SoFar | None) -> str:
    """What each iteration cost; nothing where costs are not there."""
    from ilt.report.cost import costs_of, spent

    path = paths.METRICS / "costs.json"
    if len(found) < 2 or (there is None and not path.is_file()):
        return ""
    seconds, price = (there.costs, there.price_per_hour) if there else (paths.read_json(path), None)
    costs = costs_of(seconds, found, price)
    each = ", ".join(f"{cost.iteration} {spent(cost.minutes, cost.money)}" for cost in costs)
    return f"computing: {each}; together {spent(costs[-1].total, costs[-1].total_money)}"


def _by_language(found: dict[str, Any], split: str) -> Any:
    from rich.table import Table

    table = Table("iteration")
    codes = sorted({code for entry in found.values() for code in entry[split]["by_language"]})
    for code in codes:
        table.add_column(code, justify="right")
    for name, entry in found.items():
        rates = entry[split]["by_language"]
        mark = f" ({PASSED})" if "skipped" in entry else ""
        table.add_row(name + mark, *(percent(rates.get(code)) for code in codes))
    return table


@app.command()
def validate(
    output: Annotated[Path | None, typer.Option(help="Also write the problems to this .csv or .parquet file.")] = None,
) -> None:
    """List everything that is wrong with the corpus of params.yaml; nothing is written into data.

    Exit status: 0 nothing, 1 problems, 2 error.
    """
    from ilt.tools.validate import run_validate

    raise typer.Exit(run_validate(output))


@app.command()
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


@app.command()
def explain(
    utterance: Annotated[str, typer.Argument(help="The id of an utterance.")],
    play: Annotated[bool, typer.Option(help="Also write its audio to a file, and play it if possible.")] = False,
    form: Annotated[str, typer.Option("--format", help="text or json.")] = "text",
) -> None:
    """Show one utterance through all iterations: texts, evidence, decisions, models, people."""
    from ilt.tools.explain.gather import gather, models
    from ilt.tools.explain.play import play as write_audio
    from ilt.tools.explain.show import print_story, to_json

    if form not in ("text", "json"):
        raise IltError(f"--format {form!r}: there are text, json")
    story = gather(utterance)
    if form == "json":
        print(to_json(story))
    else:
        print_story(story, models(story.utterance["language"]))
    if play:
        print(f"audio: {write_audio(utterance)}", file=sys.stderr)


@app.command()
def doctor(
    seconds: Annotated[float, typer.Option(min=0.1, max=30, help="Length of the utterances to plan for.")] = 10.0,
    form: Annotated[str, typer.Option("--format", help="text or json.")] = "text",
) -> None:
    """Say what this machine can run, and what is missing. Exit status 1: the configured model cannot run."""
    from ilt.params import load_params
    from ilt.tools.doctor.command import examine
    from ilt.tools.doctor.show import print_report

    if form not in ("text", "json"):
        raise IltError(f"--format {form!r}: there are text, json")
    found = examine(load_params(), seconds)
    if form == "json":
        import json
        from dataclasses import asdict

        plain = {"machine": asdict(found["machine"])}
        rows = {key: [asdict(one) for one in found[key]] for key in ("findings", "verdicts")}
        print(json.dumps(plain | rows, indent=2, ensure_ascii=False))
    else:
        print_report(found, seconds)
    if any(one.state == "broken" for one in found["findings"]):
        raise typer.Exit(1)


@app.command()
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
    from ilt.tools.experiments.ablation.command import run_ablation, verify_ablation
    from ilt.tools.experiments.dvc import interrupt_on_sigterm

    interrupt_on_sigterm()
    if queue + read + verify > 1:
        raise IltError("--queue, --read and --verify exclude one another")
    if verify:
        raise typer.Exit(0 if verify_ablation(file, data or [], arm or [], manifest) else 1)
    run_ablation(file, data or [], arm or [], manifest, queue, read)


@app.command()
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
        str | None, typer.Option(help="Whose expert, where languages have adapters of their own: de.")
    ] = None,
    force: Annotated[bool, typer.Option(help="Replace an exported model that is there.")] = False,
) -> None:
    """Write a model for use elsewhere, checked on dev. Exit status: 0 done, 1 no parity, 2 error."""
    from ilt.tools.export.command import run_export
    from ilt.tools.export.options import ExportOptions

    options = ExportOptions(to, output, rank, quantization, dtype, licence, tolerance, rows, force, language)
    raise typer.Exit(run_export(iteration, options))


@app.command()
def transcribe(
    files: Annotated[list[Path], typer.Argument(help="Audio of any length: wav, FLAC, mp3, ogg.")],
    language: Annotated[str, typer.Option(help="What is spoken, as the model's languages are called: de.")],
    iteration: Annotated[str | None, typer.Option(help="As it2; else the last one, or --model.")] = None,
    model: Annotated[str | None, typer.Option(help="A merged folder, or a model of a hub, instead.")] = None,
    form: Annotated[str, typer.Option("--format", help="text, json, srt or vtt.")] = "text",
    output: Annotated[
        Path | None,
        typer.Option(help="A file; for several files, or where one is there, a folder."),
    ] = None,
    vad: Annotated[str, typer.Option(help="What finds pauses: energy, or silero (extra `vad`).")] = "energy",
) -> None:
    """Transcribe audio files; long ones are cut in pauses."""
    from ilt.tools.transcribe.command import TranscribeOptions, run_transcribe

    run_transcribe(files, TranscribeOptions(language, iteration, model, form, output, vad))


@app.command()
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


@app.command()
def upgrade(
    write: Annotated[bool, typer.Option("--write", help="Write the changes that are shown.")] = False,
) -> None:
    """Show how dvc.yaml and params.yaml of an older project change for this version. Exit status 1: they do."""
    from ilt.tools.init.upgrade import run_upgrade

    differs = run_upgrade(write)
    raise typer.Exit(1 if differs and not write else 0)


@app.command()
def params(section: Annotated[str | None, typer.Argument(help="One section, as train.")] = None) -> None:
    """List all parameters, with their meaning and their defaults."""
    from ilt.tools.parameters import describe

    print(describe(section), end="")


def main() -> None:
    """Run the command line; an IltError becomes one message."""
    try:
        app()
    except IltError as error:
        print(f"ERROR: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
