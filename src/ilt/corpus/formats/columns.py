"""Columns of a table by the fields of an utterance, with names that are nearly right called a problem."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from rapidfuzz.distance import OSA

from ilt.errors import IltError
from ilt.params import FIELDS

__all__ = ["find_columns", "nearly"]


def _folded(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.casefold())


def nearly(name: str, known: str) -> bool:
    """Return whether a name is another one but for case, spaces, a plural or one letter (of four or more)."""
    one, other = _folded(name), _folded(known)
    return one in (other, f"{other}s") or other == f"{one}s" or (len(other) > 3 and OSA.distance(one, other) == 1)


def find_columns(header: Sequence[str], columns: Mapping[str, str], place: str) -> dict[str, int]:
    """Return the place of the column of each field that the table has.

    header: names of the columns; white space around them does not count.
    columns: by field, the name of its column; a field that is not mapped is in the column of its own name.
    place: the parameter and the file, for messages.
    Raises IltError that names each column that is missing, stands twice, or nearly has the name of one that is missing.
    """
    names = [name.strip() for name in header]
    wanted = {field: columns.get(field, field).strip() for field in FIELDS}
    others = [name for name in names if name not in wanted.values()]
    problems = []
    for field, column in wanted.items():
        if column in names:
            alike = [name for name in others if _folded(name) == _folded(column)]
            if alike or names.count(column) > 1:
                problems.append(f"the column {column!r} stands twice, {_listed(names, column, alike)}; keep one")
        elif near := [name for name in others if nearly(name, column)]:
            how = f"columns: {{{field}: {near[0]}}}"
            problems.append(f"the column {near[0]!r} is nearly {column!r}; rename it, or map it with {how}")
        elif field in columns or field == "audio":
            problems.append(
                f"it has no column {column!r} for {field}; it has {', '.join(names)}. Map them with "
                "columns: {audio: NAME, text: NAME, ...}"
            )
    if problems:
        raise IltError(f"{place}: " + "\n  ".join(problems))
    return {field: names.index(column) for field, column in wanted.items() if column in names}


def _listed(names: Sequence[str], column: str, alike: Sequence[str]) -> str:
    """Write the places of a column and of those alike, from 1."""
    return "as " + " and ".join(f"{name!r} ({at})" for at, name in enumerate(names, 1) if name in (column, *alike))
