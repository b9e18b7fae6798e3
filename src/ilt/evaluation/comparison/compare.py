"""Comparing two label tables of any size: joined by id in ranges, so that memory does not grow with them."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from ilt.errors import IltError
from ilt.evaluation.comparison.distance import edit_counts
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
_AT_ONCE = 2
"""Ranges that are compared at the same time: polars leaves cores idle between its steps."""


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

    counts:  a row a language: rows_before, rows_after, one column a kind, taken_in, skipped, changed, union,
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
        pl.col(name).cast(kind) if name in found else pl.lit(None, kind).alias(name) for name, kind in _COLUMNS.items()
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


def _strictly_increasing(ids: pl.Series) -> bool:
    return bool((ids[1:] > ids[:-1]).all())


def _now(names: set[str]) -> list[pl.Expr]:
    """X for each name: what holds now, or what held, for missing rows."""
    return [
        pl.when("here_after").then(f"{name}_after").otherwise(f"{name}_before").alias(name) for name in sorted(names)
    ]


def _joined(old: pl.DataFrame, new: pl.DataFrame, names: set[str]) -> pl.LazyFrame:
    """One row an id: X_before, X_after, the kinds of difference, and what `_now` says of `names`.

    Tables of two iterations mostly have the same rows in the same order: then they are laid side by side, and
    nothing is looked up. Else sorted ids are merged, and only unsorted ones hashed.
    """
    here = pl.lit(True)
    increasing = {id(frame): _strictly_increasing(frame["id"]) for frame in (old, new)}
    one = old.lazy().select("id", pl.exclude("id").name.suffix("_before"), here_before=here)
    two = new.lazy().select("id", pl.exclude("id").name.suffix("_after"), here_after=here)
    if increasing[id(old)] and len(old) == len(new) and bool((old["id"] == new["id"]).all()):
        both = pl.concat([one, two.drop("id")], how="horizontal")
    else:
        one, two = (
            lazy.set_sorted("id") if increasing[id(frame)] else lazy for lazy, frame in ((one, old), (two, new))
        )
        both = one.join(two, on="id", how="full", coalesce=True)
    common = pl.col("here_before") & pl.col("here_after")

    def differs(name: str) -> pl.Expr:
        return (common & pl.col(f"{name}_before").ne_missing(pl.col(f"{name}_after"))).fill_null(False)

    return both.with_columns(
        *_now(names),
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
        skipped=(pl.col("redecided") & ~took).sum(),
        changed=pl.any_horizontal(only).sum(),
        **{f"selected_{side}": expr.sum() for side, expr in kept.items()},
        **{f"expected_{side}": pl.col(f"expected_error_{side}").filter(expr).sum() for side, expr in kept.items()},
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


def _most_moved(rows: pl.DataFrame, limit: int) -> pl.DataFrame:
    by = ["moved", "edits", "id"]
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


def _without_repeats(frame: pl.DataFrame, paths: str) -> pl.DataFrame:
    ids = frame["id"]
    if ids.null_count():
        raise IltError(f"{paths}: {ids.null_count()} rows of one of them have no id; every row needs one")
    if not _strictly_increasing(ids) and ids.n_unique() < len(ids):
        repeated = frame.filter(pl.col("id").is_duplicated())["id"].sort()
        raise IltError(f"{paths}: the id {repeated[0]!r} is there more than once in one of them")
    return frame


def _compared(
    old: pl.LazyFrame, new: pl.LazyFrame, names: set[str], keep: pl.Expr, paths: str, where: str | None
) -> pl.DataFrame:
    try:
        one, two = (_without_repeats(f.collect(engine="streaming"), paths) for f in (old, new))
        return _joined(one, two, names).filter(keep).collect(engine="streaming")
    except pl.exceptions.PolarsError as error:
        what = f"--where {where!r}" if where else f"{paths} cannot be compared"
        raise IltError(f"{what}: {str(error).splitlines()[0]}") from error


def _summed(frames: list[pl.DataFrame]) -> pl.DataFrame:
    if not frames:
        return pl.DataFrame()
    return pl.concat(frames).group_by("language").agg(pl.all().sum()).sort("language")


def _check_languages(languages: list[str], tables: list[pl.LazyFrame]) -> None:
    """Raise IltError for a language that no table has: a typo would find no difference."""
    if not languages:
        return
    codes = [table.select(pl.col("language").unique()) for table in tables]
    there = set(pl.concat(codes).collect(engine="streaming")["language"].drop_nulls())
    if unknown := sorted(set(languages) - there):
        raise IltError(f"--language {unknown[0]}: neither table has it; there are {', '.join(sorted(there)) or 'none'}")


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
    Raises IltError for files without these columns, duplicate ids, a language that neither has, or a
    condition that cannot be evaluated.
    """
    kinds = [kind for kind in KINDS if not only or kind in only]
    keep, more = pl.lit(True), set[str]()
    if languages:
        keep &= pl.col("language").is_in(languages)
    if where:
        condition, more = _condition(where, before, after)
        keep &= condition
    old, new = _columns(before, more), _columns(after, more)
    _check_languages(languages or [], [old, new])
    names = (set(old.collect_schema()) & set(new.collect_schema())) - {"id"}
    early = names & ({"language"} | more)  # the others only where they are shown
    paths = f"{before} and {after}"

    def part(ids: tuple[str | None, str | None]) -> Comparison:
        low, high = ids
        here = pl.lit(True) if low is None else pl.col("id") >= low
        here &= pl.lit(True) if high is None else pl.col("id") < high
        found = _compared(old.filter(here), new.filter(here), early, keep, paths, where)
        changed = found.filter(pl.any_horizontal(kinds)).with_columns(_now(names - early))
        rows = _changed_rows(changed)
        moved = rows.group_by("language").agg(edits=pl.sum("edits"), units=pl.sum("units_before"))
        counts = _counts(found.lazy(), kinds).collect()
        counts = counts.join(moved, on="language", how="left", nulls_equal=True)
        truth, chosen = Truth(), pl.DataFrame()
        if references is not None:
            scored, chosen = _score(found, references, normaliser, truth)
            rows = rows.join(scored, on="id", how="left", maintain_order="left")
        return Comparison(counts, _most_moved(rows, limit), truth, chosen)

    ranges = _ranges(before, after)
    parts: list[Comparison] = []
    most = pl.DataFrame()
    with (
        progress("compare", len(ranges)) if len(ranges) > 1 else nullcontext(str) as advance,
        ThreadPoolExecutor(_AT_ONCE) as pool,
    ):
        for one in pool.map(part, ranges):
            most = _most_moved(pl.concat([most, one.rows]) if len(most) else one.rows, limit)
            one.rows = one.rows.clear()
            parts.append(one)
            advance("")
    return Comparison(
        _summed([one.counts for one in parts]),
        most,
        Truth(*([entry for one in parts for entry in getattr(one.truth, f.name)] for f in fields(Truth))),
        _summed([one.chosen for one in parts if one.chosen.width]),
    )
