"""Compare two label tables of any size: joined by id in ranges, so that memory does not grow with them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from ilt.errors import IltError
from ilt.evaluation.comparison.distance import edit_counts
from ilt.evaluation.scoring import frame_errors
from ilt.progress import progress

__all__ = ["KINDS", "Comparison", "Filters", "compare"]

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
_SIDES = ("before", "after")
_CHUNK_ROWS = 400_000
"""Rows of the larger table that are joined at a time; ten million rows then need less than 2 GB."""
_AT_ONCE = 2
"""Ranges that are compared at the same time: polars leaves cores idle between its steps."""


@dataclass(frozen=True)
class Filters:
    """Rows and differences that a comparison is narrowed to.

    languages: only rows of these; of all where there are none.
    only:      kinds of difference that count; all where there are none.
    where:     a polars SQL condition over X, X_before, X_after (X a column) and the names in `KINDS`.
    limit:     how many changed rows to keep, 0 for all.
    """

    languages: Sequence[str] = ()
    only: Sequence[str] = ()
    where: str | None = None
    limit: int = 0

    @property
    def kinds(self) -> list[str]:
        """The kinds of difference that count, in the order of `KINDS`."""
        return [kind for kind in KINDS if not self.only or kind in self.only]


@dataclass(frozen=True)
class Comparison:
    """Differences of two tables.

    counts:   a row a language: rows_before, rows_after, one column a kind, taken_in, dropped, changed, union,
              edits and units of the re-worded, sums of expected error of selected rows.
    rows:     changed rows, most moved first; as many as were asked for.
    reworded: re-worded rows that have a reference: language, errors_before, errors_after, units.
    selected: errors and units of selected rows that have a reference, before and after, by language.
    """

    counts: pl.DataFrame
    rows: pl.DataFrame
    reworded: pl.DataFrame
    selected: pl.DataFrame


def _scan(path: Path) -> pl.LazyFrame:
    try:
        frame = pl.scan_parquet(path)
        frame.collect_schema()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise IltError(f"{path} cannot be read as Parquet: {str(error).splitlines()[0]}") from error
    return frame


def _label_columns(path: Path, more: set[str]) -> pl.LazyFrame:
    """Return the columns of a table that are compared, and `more`; those of `_COLUMNS` that it lacks are null."""
    frame = _scan(path)
    schema = frame.collect_schema()
    for name in ("id", "text"):
        if name not in schema:
            raise IltError(f"{path} has no column {name!r}; a label table has at least id and text")
    columns = [
        pl.col(name).cast(kind) if name in schema else pl.lit(None, kind).alias(name) for name, kind in _COLUMNS.items()
    ]
    others = [pl.col(name) for name in sorted(more - set(_COLUMNS) - {"id"}) if name in schema]
    return frame.select(pl.col("id").cast(pl.String), *columns, *others)


def _row_groups(path: Path) -> list[tuple[str, str, int]]:
    """Return first id, last id and number of rows of each row group; nothing where the file has no statistics."""
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
    """Return ranges of ids [low, high) of about `_CHUNK_ROWS` rows, by which row groups can be skipped.

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


def _current(names: set[str]) -> list[pl.Expr]:
    """Return X for each name: X_after, or X_before of missing rows."""
    return [pl.when("in_after").then(f"{name}_after").otherwise(f"{name}_before").alias(name) for name in sorted(names)]


def _join(old: pl.DataFrame, new: pl.DataFrame, names: set[str]) -> pl.LazyFrame:
    """Return a row an id: X_before, X_after, the kinds of difference, and X for each of `names`.

    Tables of two iterations mostly have the same rows in the same order: then they are laid side by side, and
    nothing is looked up. Else sorted ids are merged, and only unsorted ones hashed.
    """
    true = pl.lit(True)
    increasing = {id(frame): _strictly_increasing(frame["id"]) for frame in (old, new)}
    one = old.lazy().select("id", pl.exclude("id").name.suffix("_before"), in_before=true)
    two = new.lazy().select("id", pl.exclude("id").name.suffix("_after"), in_after=true)
    if increasing[id(old)] and len(old) == len(new) and bool((old["id"] == new["id"]).all()):
        both = pl.concat([one, two.drop("id")], how="horizontal")
    else:
        one, two = (
            lazy.set_sorted("id") if increasing[id(frame)] else lazy for lazy, frame in ((one, old), (two, new))
        )
        both = one.join(two, on="id", how="full", coalesce=True)
    common = pl.col("in_before") & pl.col("in_after")

    def differs(name: str) -> pl.Expr:
        return (common & pl.col(f"{name}_before").ne_missing(pl.col(f"{name}_after"))).fill_null(False)

    return both.with_columns(
        *_current(names),
        added=pl.col("in_before").is_null(),
        missing=pl.col("in_after").is_null(),
        reworded=differs("text"),
        redecided=differs("selected"),
        resourced=differs("source"),
    )


def _selected(side: str) -> pl.Expr:
    """Return whether a row is selected and no gold: gold is right by definition and would flatter the rest."""
    gold = pl.col(f"source_{side}").fill_null("") == "gold"
    return pl.col(f"selected_{side}").fill_null(False) & ~gold


def _counts(frame: pl.LazyFrame, kinds: list[str]) -> pl.LazyFrame:
    taken_in = pl.col("redecided") & pl.col("selected_after").fill_null(False)
    selected = {side: _selected(side) for side in _SIDES}
    expected = {side: pl.col(f"expected_error_{side}").filter(selected[side]) for side in _SIDES}
    return frame.group_by("language").agg(
        union=pl.len(),
        rows_before=pl.col("in_before").sum(),
        rows_after=pl.col("in_after").sum(),
        **{kind: pl.col(kind).sum() for kind in KINDS},
        taken_in=taken_in.sum(),
        dropped=(pl.col("redecided") & ~taken_in).sum(),
        changed=pl.any_horizontal(kinds).sum(),
        **{f"selected_{side}": selected[side].sum() for side in _SIDES},
        **{f"expected_{side}": expected[side].sum() for side in _SIDES},
        **{f"expected_rows_{side}": expected[side].count() for side in _SIDES},
    )


def _score(
    frame: pl.DataFrame, references: pl.DataFrame, normaliser: str
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Return the rows that have references with their errors, the re-worded of them, and sums of the selected."""
    known = frame.join(references, on="id", how="inner", maintain_order="left")
    for side in _SIDES:
        texts = known.with_columns(pl.col(f"text_{side}").fill_null(""))
        errors, units = frame_errors(texts, "reference", f"text_{side}", normaliser)
        known = known.with_columns(pl.Series(f"errors_{side}", errors), pl.Series("units", units))
    reworded = known.filter("reworded").select("language", "errors_before", "errors_after", "units")
    selected = known.group_by("language").agg(
        **{
            f"{what}_{side}": pl.col(column.format(side)).filter(_selected(side)).sum()
            for side in _SIDES
            for what, column in (("errors", "errors_{}"), ("units", "units"))
        }
    )
    return known.select("id", "reference", "errors_before", "errors_after", "units"), reworded, selected


def _with_edits(frame: pl.DataFrame) -> pl.DataFrame:
    """Add `edits`, `units_before` and `moved`, the share of units that an edit touched, at most 1."""
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
    """Return a SQL condition as an expression, and the columns of the tables that it needs."""
    try:
        condition = pl.sql_expr(where)
    except pl.exceptions.PolarsError as error:
        raise IltError(f"--where {where!r}: {str(error).splitlines()[0]}") from error
    needed = {n.removesuffix("_before").removesuffix("_after") for n in condition.meta.root_names()}
    known = {"id", *_COLUMNS, *KINDS, *_scan(before).collect_schema(), *_scan(after).collect_schema()}
    if unknown := sorted(needed - known):
        raise IltError(
            f"--where {where!r}: there is no column {unknown[0]!r}; there are {', '.join(sorted(known))}, "
            "with _before and _after for either side"
        )
    return condition, needed - set(KINDS)


def _check_ids(frame: pl.DataFrame, paths: str) -> pl.DataFrame:
    ids = frame["id"]
    if ids.null_count():
        raise IltError(f"{paths}: {ids.null_count()} rows of one of them have no id; every row needs one")
    if not _strictly_increasing(ids) and ids.n_unique() < len(ids):
        repeated = frame.filter(pl.col("id").is_duplicated())["id"].sort()
        raise IltError(f"{paths}: the id {repeated[0]!r} is there more than once in one of them; keep one row of each")
    return frame


def _check_languages(languages: Sequence[str], tables: list[pl.LazyFrame]) -> None:
    """Raise IltError for a language that no table has: a typo would find no difference."""
    if not languages:
        return
    codes = [table.select(pl.col("language").unique()) for table in tables]
    known = set(pl.concat(codes).collect(engine="streaming")["language"].drop_nulls())
    if unknown := sorted(set(languages) - known):
        raise IltError(f"--language {unknown[0]}: neither table has it; there are {', '.join(sorted(known)) or 'none'}")


@dataclass(frozen=True)
class _Job:
    """One comparison, to be done range by range.

    early: columns that the filters need; late: the others that both tables have, which only changed rows show.
    """

    old: pl.LazyFrame
    new: pl.LazyFrame
    paths: str
    early: set[str]
    late: set[str]
    keep: pl.Expr
    filters: Filters
    references: pl.DataFrame | None
    normaliser: str

    def _joined(self, ids: pl.Expr) -> pl.DataFrame:
        try:
            old, new = (
                _check_ids(table.filter(ids).collect(engine="streaming"), self.paths) for table in (self.old, self.new)
            )
            return _join(old, new, self.early).filter(self.keep).collect(engine="streaming")
        except pl.exceptions.PolarsError as error:
            where = self.filters.where
            what = f"--where {where!r}" if where else f"{self.paths} cannot be compared"
            raise IltError(f"{what}: {str(error).splitlines()[0]}") from error

    def compare_range(self, ids: tuple[str | None, str | None]) -> Comparison:
        """Compare the rows whose ids lie in [low, high); None is open."""
        low, high = ids
        within = pl.lit(True) if low is None else pl.col("id") >= low
        within &= pl.lit(True) if high is None else pl.col("id") < high
        joined = self._joined(within)
        changed = joined.filter(pl.any_horizontal(self.filters.kinds)).with_columns(_current(self.late))
        rows = _with_edits(changed)
        edits = rows.group_by("language").agg(edits=pl.sum("edits"), units=pl.sum("units_before"))
        counts = _counts(joined.lazy(), self.filters.kinds).collect()
        counts = counts.join(edits, on="language", how="left", nulls_equal=True)
        reworded, selected = pl.DataFrame(), pl.DataFrame()
        if self.references is not None:
            scored, reworded, selected = _score(joined, self.references, self.normaliser)
            rows = rows.join(scored, on="id", how="left", maintain_order="left")
        return Comparison(counts, _most_moved(rows, self.filters.limit), reworded, selected)


def _job(before: Path, after: Path, references: pl.DataFrame | None, normaliser: str, filters: Filters) -> _Job:
    keep, early = pl.lit(True), {"language"}
    if filters.languages:
        keep &= pl.col("language").is_in(filters.languages)
    if filters.where:
        condition, needed = _condition(filters.where, before, after)
        keep &= condition
        early |= needed
    old, new = _label_columns(before, early), _label_columns(after, early)
    _check_languages(filters.languages, [old, new])
    names = (set(old.collect_schema()) & set(new.collect_schema())) - {"id"}
    return _Job(
        old, new, f"{before} and {after}", names & early, names - early, keep, filters, references, normaliser
    )  # fmt: skip


def _sums(frames: list[pl.DataFrame]) -> pl.DataFrame:
    """Sum frames by language."""
    known = [frame for frame in frames if frame.width]
    return pl.concat(known).group_by("language").agg(pl.all().sum()).sort("language") if known else pl.DataFrame()


def compare(
    before: Path,
    after: Path,
    references: pl.DataFrame | None = None,
    normaliser: str = "basic",
    filters: Filters = Filters(),
) -> Comparison:
    """Compare two Parquet files that have at least `id` and `text`.

    references: `id` and `reference`, the true texts of some rows.
    Raises IltError for files without these columns, duplicate ids, a language that neither has, or a
    condition that cannot be evaluated.
    """
    job = _job(before, after, references, normaliser, filters)
    ranges = _ranges(before, after)
    parts: list[Comparison] = []
    rows = pl.DataFrame()
    with (
        progress("compare", len(ranges)) if len(ranges) > 1 else nullcontext(str) as advance,
        ThreadPoolExecutor(_AT_ONCE) as pool,
    ):
        for part in pool.map(job.compare_range, ranges):
            rows = _most_moved(pl.concat([rows, part.rows]) if len(rows) else part.rows, filters.limit)
            parts.append(Comparison(part.counts, pl.DataFrame(), part.reworded, part.selected))
            advance("")
    reworded = [part.reworded for part in parts if part.reworded.width]
    return Comparison(
        _sums([part.counts for part in parts]),
        rows,
        pl.concat(reworded) if reworded else pl.DataFrame(),
        _sums([part.selected for part in parts]),
    )
