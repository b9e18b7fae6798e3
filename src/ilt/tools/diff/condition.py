"""Conditions such as `churn>0.2`, on which a diff fails."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable

from ilt.errors import IltError

__all__ = ["holds"]

_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le,
    "==": operator.eq, "!=": operator.ne,
}  # fmt: skip
_FORM = re.compile(r"\s*([a-z_]+)\s*(>=|<=|==|!=|>|<)\s*([-+0-9.eE]+)\s*(%?)\s*")


def holds(condition: str, values: dict[str, float], known: set[str]) -> bool:
    """Return whether `NAME OPERATOR NUMBER` is true of `values`; 20% is 0.2. Of a name without a value it is not.

    Raises IltError for another form or a name that is not in `known`.
    """
    match = _FORM.fullmatch(condition)
    try:
        if not match:
            raise ValueError
        name, sign, number, percent = match.groups()
        limit = float(number) / (100 if percent else 1)
    except ValueError:
        raise IltError(
            f"--fail-over {condition!r}: expected NAME OPERATOR NUMBER, as churn>0.2 or reworded>=100"
        ) from None
    if name not in known:
        raise IltError(f"--fail-over {condition!r}: there is no {name}; there are {', '.join(sorted(known))}")
    return name in values and _OPERATORS[sign](values[name], limit)
