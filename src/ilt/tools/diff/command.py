"""The command `ilt diff`."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from ilt.errors import IltError
from ilt.escapes import visible
from ilt.evaluation.comparison.compare import KINDS, Comparison, Filters, compare
from ilt.evaluation.normalise import NORMALISERS
from ilt.paths import replacing
from ilt.tools.diff.condition import holds
from ilt.tools.diff.operands import Operand, opened, read_references, resolve
from ilt.tools.diff.page import to_html
from ilt.tools.diff.report import Counts, DiffReport, Side, build_report
from ilt.tools.diff.text import print_text, to_markdown

__all__ = ["FORMATS", "DiffOptions", "run_diff"]

FORMATS = {"text": 20, "markdown": 20, "html": 500, "json": 0, "parquet": 0}
"""Each form of output and the number of rows that it shows by default; 0: all."""

_CONDITIONS = (set(Counts.model_fields) - {"language"}) | {
    "true_error_before", "true_error_after", "selected_error_before", "selected_error_after", "gain",
}  # fmt: skip


@dataclass(frozen=True)
class DiffOptions:
    """The options of the command."""

    form: str = "text"
    output: Path | None = None
    limit: int | None = None
    languages: list[str] = field(default_factory=list)
    only: list[str] = field(default_factory=list)
    where: str | None = None
    reference: Path | None = None
    normaliser: str = "basic"
    fail_over: list[str] = field(default_factory=list)


def _check(options: DiffOptions) -> None:
    if options.form not in FORMATS:
        raise IltError(f"--format {options.form!r}: there are {', '.join(FORMATS)}")
    if options.form == "parquet" and options.output is None:
        raise IltError("--format parquet needs --output FILE")
    if wrong := sorted(set(options.only) - set(KINDS)):
        raise IltError(f"--only {wrong[0]!r}: there are {', '.join(KINDS)}")
    if options.limit is not None and options.limit < 0:
        raise IltError(f"--limit {options.limit}: expected 0 (all) or more")
    for condition in options.fail_over:
        holds(condition, {}, _CONDITIONS)
    if options.normaliser not in NORMALISERS:
        raise IltError(f"--normaliser {options.normaliser!r}: there are {', '.join(NORMALISERS)}")


def _side(operand: Operand, local: Path) -> Side:
    rows = pq.ParquetFile(local).metadata.num_rows
    return Side(name=operand.name, revision=operand.revision, path=operand.path.as_posix(), rows=rows)


def _table(comparison: Comparison) -> pl.DataFrame:
    """Return changed rows as a table: each column of the label tables before and after."""
    changes = pl.concat_list(pl.when(kind).then(pl.lit(kind)) for kind in KINDS).list.drop_nulls()
    columns = comparison.rows.columns
    sides = [name for name in columns if name.endswith(("_before", "_after"))]
    shown = sorted(name for name in sides if not name.startswith(("in_", "language_", "split_")))
    more = [name for name in ("reference", "units") if name in columns]
    return comparison.rows.select("id", "language", "split", "moved", changes.alias("changes"), *shown, *more)


def _write(report: DiffReport, comparison: Comparison, options: DiffOptions) -> None:
    forms = {
        "markdown": to_markdown,
        "html": to_html,
        "json": lambda r: visible(r.model_dump_json(indent=2, by_alias=True) + "\n", lines=True),
    }
    if options.output is None:
        if options.form == "text":
            print_text(report)
        else:
            sys.stdout.write(forms[options.form](report))
        return
    with replacing(options.output) as temporary:
        if options.form == "parquet":
            _table(comparison).write_parquet(temporary, compression="zstd")
        elif options.form == "text":
            with temporary.open("w", encoding="utf-8") as file:
                print_text(report, file)
        else:
            temporary.write_text(forms[options.form](report), encoding="utf-8")


def run_diff(tables: list[str], revisions: list[str], options: DiffOptions) -> int:
    """Compare, show, and return the exit status: 0 same, 1 different.

    With `fail_over`, 1 only if one of its conditions holds. Raises IltError for wrong options and for tables that
    are missing or cannot be compared.
    """
    _check(options)
    one, other = resolve(tables, revisions)
    limit = FORMATS[options.form] if options.limit is None else options.limit
    filters = Filters(options.languages, options.only, options.where, limit)
    with opened(one, other) as (before, after):
        references = read_references(other, options.reference)
        comparison = compare(before, after, references, options.normaliser, filters)
        sides = _side(one, before), _side(other, after)
    narrowed = {"language": options.languages, "only": options.only, "where": options.where}
    report = build_report(comparison, *sides, {key: value for key, value in narrowed.items() if value})
    _write(report, comparison, options)
    if options.fail_over:
        met = [condition for condition in options.fail_over if holds(condition, report.values(), _CONDITIONS)]
        for condition in met:
            print(f"FAILED: {condition}", file=sys.stderr)
        return int(bool(met))
    return int(report.different)
