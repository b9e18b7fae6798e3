"""Comparing two label tables of any size: joined by id in ranges, so that memory does not grow with them."""

from __future__ import annotations

import itertools
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from ilt.diff.distance import edit_counts
from ilt.errors import IltError
from ilt.evaluation.scoring import frame_errors
from ilt.progress import progress

__all__ = ["KINDS", "Comparison", "Truth", "compare"]

KINDS = ("added", "missing", "reworded", "redecided", "resourced")
"""What can be different about a row: only after; only before; another text, decision or source."""

_COLUMNS: dict[str, pl.DataType] = {
    "language": pl.String(),
    "split": pl.String(),
    "text": pl.String(),
    "source": pl.String(),
    "selected": pl.Boolean(),
    "reason": pl.String(),
    "expected_error": pl.Float64(),
}
_CHUNK_ROWS = 400_000
"""Rows of the larger table that are joined at a time; ten million rows then need less than 2 GB."""


@dataclass
class Truth:
    """Errors and units against references, an entry a row, before and after. Each array is (n,)."""

    before: list[np.ndarray] = field(default_factory=list)
    after: list[np.ndarray] = field(default_factory=list)
    units: list[np.ndarray] = field(default_factory=list)
    languages: list[pl.Series] = field(default_factory=list)


@dataclass
class Comparison:
    """What two tables have in common and what not.

    counts:  a row a language: rows_before, rows_after, one column a kind, taken_in, left_out, changed, union,
             edits and units of the re-worded, sums of expected error of selected rows.
    rows:    changed rows, most moved first; as many as were asked for.
    truth:   re-worded rows that have a reference.
    chosen:  errors of selected rows that have a reference, before and after, by language.
    """

    counts: pl.DataFrame
    rows: pl.DataFrame
    truth: Truth
    chosen: pl.DataFrame


def _scanned(path: Path) -> pl.LazyFrame:
    try:
        frame = pl.scan_parquet(path)
        frame.collect_schema()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise IltError(f"{path} cannot be read as Parquet: {str(error).splitlines()[0]}") from error
    return frame


def _columns(path: Path, more: set[str]) -> pl.LazyFrame:
    """The columns of a table that matter, as strings and numbers; what it lacks becomes null."""
    frame = _scanned(path)
    found = frame.collect_schema()
    for name in ("id", "text"):
        if name not in found:
            raise IltError(f"{path} has no column {name!r}; a label table has at least id and text")
    wanted = [
        pl.col(name).cast(kind) if name in found else pl.lit(None, kind).alias(name)
        for name, kind in _COLUMNS.items()
    ]
    others = [pl.col(name) for name in sorted(more - set(_COLUMNS) - {"id"}) if name in found]
    return frame.select(pl.col("id").cast(pl.String), *wanted, *others)


def _row_groups(path: Path) -> list[tuple[str, str, int]]:
    """First id, last id and number of rows of each row group; empty where the file does not say."""
    metadata = pq.ParquetFile(path).metadata
    groups = []
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        for column in range(group.num_columns):
            part = group.column(column)
            if part.path_in_schema == "id":
                stats = part.statistics
                if stats is None or not stats.has_min_max:
                    return []
                groups.append((str(stats.min), str(stats.max), group.num_rows))
    return groups


def _ranges(before: Path, after: Path) -> list[tuple[str | None, str | None]]:
    """Ranges of ids [low, high) of about `_CHUNK_ROWS` rows that row groups can be skipped by.

    Any boundaries give the right answer; these are good ones if both files are sorted by id, as every label
    table is. A file that is not sorted is taken as a whole.
    """
    cuts: list[str] = []
    for groups in sorted((_row_groups(before), _row_groups(after)), key=lambda g: -sum(n for *_, n in g)):
        in_order = all(one[1] <= other[0] for one, other in itertools.pairwise(groups))
        if not groups or not in_order:
            return [(None, None)]
        if not cuts:
            rows = 0
            for first, _, count in groups:
                if rows >= _CHUNK_ROWS:
                    cuts.append(first)
                    rows = 0
                rows += count
    edges = [None, *sorted(set(cuts)), None]
    return list(itertools.pairwise(edges))


def _marked_sorted(frame: pl.LazyFrame) -> pl.LazyFrame:
    """The frame, told to polars as sorted by id where it is, which lets it merge instead of hashing ids."""
    ids = frame.select("id").collect(engine="streaming")["id"]
    return frame.set_sorted("id") if ids.is_sorted() else frame


def _joined(old: pl.LazyFrame, new: pl.LazyFrame) -> pl.LazyFrame:
    """One row an id: X_before, X_after, and X, which is what holds now (or held, for missing rows)."""
    here = pl.lit(True)
    one = old.select("id", pl.exclude("id").name.suffix("_before"), here_before=here)
    two = new.select("id", pl.exclude("id").name.suffix("_after"), here_after=here)
    both = one.join(two, on="id", how="full", coalesce=True)
    names = set(both.collect_schema())
    now = [
        pl.when("here_after").then(f"{name}_after").otherwise(f"{name}_before").alias(name)
        for name in sorted({n.rpartition("_")[0] for n in names if n.endswith(("_before", "_after"))})
        if name != "here" and {f"{name}_before", f"{name}_after"} <= names
    ]
    common = pl.col("here_before") & pl.col("here_after")

    def differs(name: str) -> pl.Expr:
        return (common & pl.col(f"{name}_before").ne_missing(pl.col(f"{name}_after"))).fill_null(False)

    return both.with_columns(
        *now,
        added=pl.col("here_before").is_null(),
        missing=pl.col("here_after").is_null(),
        reworded=differs("text"),
        redecided=differs("selected"),
        resourced=differs("source"),
    )


def _labelled(side: str) -> pl.Expr:
    """Selected rows whose label is not given: gold is right by definition and would flatter the rest."""
    given = pl.col(f"source_{side}").fill_null("") == "gold"
    return pl.col(f"selected_{side}").fill_null(False) & ~given


def _counts(frame: pl.LazyFrame, only: list[str]) -> pl.LazyFrame:
    took = pl.col("redecided") & pl.col("selected_after").fill_null(False)
    kept = {side: _labelled(side) for side in ("before", "after")}
    return frame.group_by("language").agg(
        union=pl.len(),
        rows_before=pl.col("here_before").sum(),
        rows_after=pl.col("here_after").sum(),
        **{kind: pl.col(kind).sum() for kind in KINDS},
        taken_in=took.sum(),
        left_out=(pl.col("redecided") & ~took).sum(),
        changed=pl.any_horizontal(only).sum(),
        **{f"selected_{side}": expr.sum() for side, expr in kept.items()},
        **{
            f"expected_{side}": pl.col(f"expected_error_{side}").filter(expr).sum()
            for side, expr in kept.items()
        },
        **{
            f"expected_rows_{side}": pl.col(f"expected_error_{side}").filter(expr).count()
            for side, expr in kept.items()
        },
    )


def _score(
    frame: pl.DataFrame, references: pl.DataFrame, normaliser: str, truth: Truth
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Errors of re-worded rows into `truth`; the rows that have references; errors of selected rows."""
    known = frame.join(references, on="id", how="inner", maintain_order="left")
    sides = {}
    for side in ("before", "after"):
        texts = known.with_columns(pl.col(f"text_{side}").fill_null(""))
        errors, units = frame_errors(texts, "reference", f"text_{side}", normaliser)
        sides[side] = errors
        known = known.with_columns(pl.Series(f"errors_{side}", errors), pl.Series("units", units))
    reworded = known.filter("reworded")
    truth.before.append(reworded["errors_before"].to_numpy())
    truth.after.append(reworded["errors_after"].to_numpy())
    truth.units.append(reworded["units"].to_numpy())
    truth.languages.append(reworded["language"])
    chosen = known.group_by("language").agg(
        **{
            f"{what}_{side}": pl.col(column.format(side)).filter(_labelled(side)).sum()
            for side in ("before", "after")
            for what, column in (("errors", "errors_{}"), ("units", "units"))
        }
    )
    scored = known.select("id", "reference", "errors_before", "errors_after", "units")
    return scored, chosen


def _changed_rows(frame: pl.DataFrame) -> pl.DataFrame:
    """Changed rows with `edits`, `units` and `moved`, the share of units that an edit touched, at most 1."""
    reworded = frame["reworded"].to_numpy()
    edits, units = np.zeros(len(frame), np.int64), np.zeros(len(frame), np.int64)
    at = np.flatnonzero(reworded)
    part = frame.filter("reworded")
    edits[at], units[at] = edit_counts(part["text_before"], part["text_after"], part["language"])
    return frame.with_columns(
        pl.Series("edits", edits),
        pl.Series("units_before", units),
        pl.Series("moved", np.minimum(1.0, edits / np.maximum(units, 1))),
    )


def _most_moved(frames: list[pl.DataFrame], limit: int) -> pl.DataFrame:
    rows, by = pl.concat(frames), ["moved", "edits", "id"]
    if limit:  # sorts what may be shown, and not all that changed
        rows = rows.top_k(limit, by=by, reverse=[False, False, True])
    return rows.sort(by, descending=[True, True, False])


def _condition(where: str, before: Path, after: Path) -> tuple[pl.Expr, set[str]]:
    """A SQL condition as an expression, and the columns of the tables that it needs."""
    try:
        condition = pl.sql_expr(where)
    except pl.exceptions.PolarsError as error:
        raise IltError(f"--where {where!r}: {str(error).splitlines()[0]}") from error
    needed = {n.removesuffix("_before").removesuffix("_after") for n in condition.meta.root_names()}
    there = {"id", *_COLUMNS, *KINDS}
    for path in (before, after):
        there |= set(_scanned(path).collect_schema())
    if unknown := sorted(needed - there):
        raise IltError(
            f"--where {where!r}: there is no column {unknown[0]!r}; there are {', '.join(sorted(there))}, "
            "with _before and _after for either side"
        )
    return condition, needed - set(KINDS)


def _collected(frame: pl.LazyFrame, paths: str, where: str | None) -> pl.DataFrame:
    try:
        found = frame.collect(engine="streaming")
    except pl.exceptions.PolarsError as error:
        what = f"--where {where!r}" if where else f"{paths} cannot be compared"
        raise IltError(f"{what}: {str(error).splitlines()[0]}") from error
    if found["id"].n_unique() < len(found):  # far cheaper than looking for them at once
        repeated = found.filter(pl.col("id").is_duplicated())["id"].sort()
        raise IltError(f"{paths}: the id {repeated[0]!r} is there more than once in one of them")
    return found


def _summed(frames: list[pl.DataFrame]) -> pl.DataFrame:
    if not frames:
        return pl.DataFrame()
    return pl.concat(frames).group_by("language").agg(pl.all().sum()).sort("language")


def compare(
    before: Path,
    after: Path,
    references: pl.DataFrame | None = None,
    normaliser: str = "basic",
    languages: list[str] | None = None,
    only: list[str] | None = None,
    where: str | None = None,
    limit: int = 0,
) -> Comparison:
    """Compare two Parquet files that have at least `id` and `text`.

    references: `id` and `reference`, what was really said. languages, where: only these rows are compared;
    `where` is a polars SQL condition over X, X_before, X_after (X a column) and the names in `KINDS`.
    only: the kinds that count. limit: how many changed rows to keep, 0 for all.
    Raises IltError for files without these columns, duplicate ids, or a condition that cannot be evaluated.
    """
    kinds = [kind for kind in KINDS if not only or kind in only]
    keep, more = pl.lit(True), set[str]()
    if languages:
        keep &= pl.col("language").is_in(languages)
    if where:
        condition, more = _condition(where, before, after)
        keep &= condition
    old, new = _columns(before, more), _columns(after, more)
    counts: list[pl.DataFrame] = []
    chosen: list[pl.DataFrame] = []
    rows: list[pl.DataFrame] = []
    truth = Truth()
    ranges = _ranges(before, after)
    with progress("compare", len(ranges)) if len(ranges) > 1 else nullcontext(str) as advance:
        for low, high in ranges:
            here = pl.lit(True) if low is None else pl.col("id") >= low
            here &= pl.lit(True) if high is None else pl.col("id") < high
            joined = _joined(_marked_sorted(old.filter(here)), _marked_sorted(new.filter(here))).filter(keep)
            found = _collected(joined, f"{before} and {after}", where)
            part = _changed_rows(found.filter(pl.any_horizontal(kinds)))
            moved = part.group_by("language").agg(edits=pl.sum("edits"), units=pl.sum("units_before"))
            count = _counts(found.lazy(), kinds).collect()
            counts.append(count.join(moved, on="language", how="left", nulls_equal=True))
            if references is not None:
                scored, kept = _score(found, references, normaliser, truth)
                chosen.append(kept)
                part = part.join(scored, on="id", how="left", maintain_order="left")
            rows = [_most_moved([*rows, part], limit)]
            advance("")
    return Comparison(_summed(counts), rows[0], truth, _summed(chosen))
