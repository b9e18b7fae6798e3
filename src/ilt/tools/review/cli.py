"""`ilt review`: labels out to people, their answers back, and the error of all other labels from an audit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ilt import paths
from ilt.errors import IltError
from ilt.evaluation.figures import interval, percent

if TYPE_CHECKING:
    from ilt.tools.review.estimate import Estimate
    from ilt.tools.review.incoming import Incoming

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Let people review labels: export, import, estimate, gain.")

WIDTH = 110
"""Columns where the output is no terminal."""

SHOWN = 20
"""Changed texts that `import` shows."""


@app.command()
def export(
    iteration: Annotated[str, typer.Option(help="Whose labels: data/iterations/<iteration>/labels/corrected.parquet.")],
    output: Annotated[Path, typer.Option(help="The file to write.")],
    budget: Annotated[int, typer.Option(help="How many rows people will look at.")] = 100,
    strategy: Annotated[
        Literal["audit", "improve"],
        typer.Option(help="audit: a random sample, for `estimate`. improve: what helps most."),
    ] = "audit",
    format: Annotated[Literal["html", "label-studio", "csv"], typer.Option(help="What people work with.")] = "html",
    seed: Annotated[int | None, typer.Option(help="Of the sample; the default is params.yaml's.")] = None,
) -> None:
    """Choose labels for people to review and write them to a file; the choice is kept in data/reviews."""
    from ilt.params import seed_and_normaliser
    from ilt.tools.marks import plain_console
    from ilt.tools.review.export import choose, gather
    from ilt.tools.review.formats import FORMATS, write

    suffix = FORMATS[format].suffix
    if output.is_dir() or output.suffix.lower() != suffix:
        raise IltError(f"--output {output}: expected a file that ends in {suffix}")
    default, normaliser = seed_and_normaliser()
    record = choose(iteration, strategy, budget, default if seed is None else seed, normaliser)
    outgoing = gather(record)
    *written, recorded = write(outgoing, record, format, output)
    counts = record.filter(record["id"].is_in([row.id for row in outgoing.rows]))["language"].value_counts()
    by_language = ", ".join(f"{code} {count}" for code, count in sorted(counts.iter_rows()))
    minutes = sum(row.clip.seconds for row in outgoing.rows) / 60
    console = plain_console(WIDTH)
    console.print(f"review {outgoing.review}: {len(outgoing.rows)} rows ({by_language}), {minutes:.1f} min of speech")
    for path in written:
        console.print(f"  wrote {path}", soft_wrap=True)
    console.print(f"  the choice is in {recorded}; keep it in git", soft_wrap=True)
    console.print(f"then: ilt review import FILE, with {FORMATS[format].returned}")


def _show(incoming: Incoming, format: str, name: str) -> None:
    from rich.text import Text

    from ilt.escapes import visible
    from ilt.tools.marks import isolated, plain_console

    console, verdicts = plain_console(WIDTH), incoming.verdicts
    fresh = sum(change.before is None for change in incoming.changes)
    console.print(visible(f"{format} {name}:"))
    console.print(
        f"  {fresh} new, {len(incoming.changes) - fresh} changed: {verdicts['accepted']} accepted, "
        f"{verdicts['corrected']} corrected, {verdicts['unusable']} unusable"
    )
    console.print(f"  {incoming.unchanged} known already, {incoming.unreviewed} not reviewed yet")
    if incoming.edited:
        console.print(f"  {incoming.edited} of those have a changed text but no verdict, and are skipped")
    worth = [c for c in incoming.changes if c.before is not None or c.after.verdict != "accepted"]
    for change in worth[:SHOWN]:
        after, before = change.after, change.before
        texts = (before.text if before else after.text_before, after.text)
        old, new = (isolated(text, after.language) if text else Text("unusable") for text in texts)
        old.stylize("red")
        new.stylize("green")
        line = Text.assemble(visible(f"  {after.id} ({after.language}) "), old, " -> ", new)
        if before and before.reviewer != after.reviewer:
            line.append(visible(f" ({after.reviewer} over {before.reviewer})"))
        console.print(line, soft_wrap=True)
    if len(worth) > SHOWN:
        console.print(f"  ... and {len(worth) - SHOWN} more")


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="The page's JSON, Label Studio's JSON export, or the CSV.")],
    reviewer: Annotated[str | None, typer.Option(help="Who reviewed, where the file does not say.")] = None,
    resolve: Annotated[
        Literal["latest"] | None, typer.Option(help="latest: where people disagree, the later answer wins.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Write without asking.")] = False,
) -> None:
    """Show what people's answers change, and write it to data/corrections, which wins over every model."""
    from ilt.labels.table import CORRECTIONS_TABLE
    from ilt.tools.review.export import read_corrections
    from ilt.tools.review.formats import read_answers
    from ilt.tools.review.incoming import take_in

    answers, corrections = read_answers(file), read_corrections()
    name = reviewer.strip() if reviewer else None
    incoming = take_in(answers, corrections, name, latest=resolve is not None)
    _show(incoming, answers.format, file.name)
    if not incoming.changes:
        print(f"nothing to write; {paths.CORRECTIONS} stays as it is")
        return
    if not yes:
        typer.confirm(f"Write {len(incoming.changes)} rows to {paths.CORRECTIONS}?", default=True, abort=True)
    CORRECTIONS_TABLE.write(incoming.applied(corrections), paths.CORRECTIONS)
    print(f"wrote {paths.CORRECTIONS}; `dvc repro` takes it up in select and correct")


def _table(title: str, *headings: str) -> Any:
    """Return an empty table whose first column is of names, and whose others are of figures."""
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="right" if number else "left", no_wrap=True)
    return table


def _estimates(estimates: list[Estimate], title: str) -> Any:
    table = _table(title, "language", "labels", "answered", "true", "95 %", "expected", "unusable", "rows to halve it")
    for entry in estimates:
        rate = entry.rate
        if entry.language is None:
            table.add_section()
        table.add_row(
            entry.language or "all",
            str(entry.rows),
            f"{entry.answered} of {entry.sampled}",
            percent(rate.rate),
            "" if rate.rate is None else f"{percent(rate.low)} to {percent(rate.high)}",
            percent(entry.expected),
            percent(entry.unusable),
            f"+{rate.more}",
        )
    return table


@app.command("estimate")
def estimate_(
    review: Annotated[str | None, typer.Option(help="Default: the last audit with answers.")] = None,
) -> None:
    """Show how wrong the selected labels truly are (WER, or CER), from an audit that people have answered."""
    from ilt.params import seed_and_normaliser
    from ilt.tools.marks import plain_console
    from ilt.tools.review.estimate import estimate
    from ilt.tools.review.export import read_corrections
    from ilt.tools.review.table import last_audit, read_review

    corrections = read_corrections()
    record = read_review(review) if review else last_audit(corrections["id"])
    if record is None:
        raise IltError(
            "no audit has answers yet; draw one with `ilt review export --strategy audit`, review it, and "
            "read the answers with `ilt review import`"
        )
    iteration, name = record["iteration"][0], record["review"][0]
    estimates = estimate(record, corrections, seed_and_normaliser()[1])
    console, title = (
        plain_console(WIDTH),
        f"Error of the selected labels of {iteration} in % (WER; CER for ko and the like)",
    )
    console.print(_estimates(estimates, title))
    waiting, more = estimates[-1].sampled - estimates[-1].answered, estimates[-1].rate.more
    console.print(f"from review {name}; {waiting} of its rows wait for an answer")
    if more:
        known = f" ({min(waiting, more)} of them are in {name} already)" if waiting else ""
        console.print(
            f"about {more} more rows would halve the interval over all languages{known}: "
            f"ilt review export --iteration {iteration} --budget {more} --output FILE",
            soft_wrap=True,
        )


@app.command("gain")
def gain_(
    rev: Annotated[str, typer.Option(help="The revision before the review: a commit, branch or tag.")] = "HEAD",
) -> None:
    """Show what a review bought: test error before and after it, and points for each minute of audio."""
    from ilt.params import load_params
    from ilt.tools.marks import plain_console
    from ilt.tools.review.gain import gain_since

    bought = gain_since(rev, load_params())
    table = _table(f"Test error in %, {rev} and now", "iteration", rev, "now", "gain [95 %]")
    for name, gain in bought.gains.items():
        table.add_row(name, percent(gain["before"]), percent(gain["after"]), interval(gain))
    corrected, unusable = (int((bought.decided["verdict"] == kind).sum()) for kind in ("corrected", "unusable"))
    console = plain_console(WIDTH)
    console.print(
        f"{len(bought.decided)} rows decided since {rev}, {bought.minutes:.1f} min of audio: "
        f"{corrected} corrected, {unusable} unusable"
    )
    console.print(table)
    console.print(f"{bought.per_minute:+.2f} points of {list(bought.gains)[-1]} for a minute of audio")
