"""Errors that a user can mend. The command line prints them without a traceback."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ilt.escapes import visible

__all__ = ["IltError", "Problem", "ProblemsError", "problem_lines"]


class IltError(Exception):
    """Something in the input or the parameters is wrong; the message says what, where and how to mend it.

    What it quotes of files and of command lines cannot steer the terminal that it is printed on.
    """

    def __init__(self, message: str) -> None:
        super().__init__(visible(message, lines=True))


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with one row of the input.

    where: file and line, as `manifest.jsonl:12`.
    id:    the utterance's id, or "" where the row has none.
    what:  what is wrong, what was expected, and how to mend it.
    """

    where: str
    id: str
    what: str

    def __str__(self) -> str:
        return visible(f"{self.where}: {self.id or '(no id)'}: {self.what}")


ALONE = 3
"""Rows with the same problem that are named one by one; of more, one line names the first and counts them."""


def problem_lines(problems: Sequence[Problem]) -> list[str]:
    """Return a line for each problem, but one for all rows of a file that have the same."""
    groups: dict[tuple[str, str], list[Problem]] = {}
    for problem in problems:
        groups.setdefault((problem.where.rpartition(":")[0], problem.what), []).append(problem)
    lines = []
    for problem in problems:
        same = groups[problem.where.rpartition(":")[0], problem.what]
        if len(same) <= ALONE:
            lines.append(str(problem))
        elif same[0] is problem:
            others = ", ".join(other.where.rpartition(":")[2] for other in same[1 : ALONE + 1])
            more = ", ..." if len(same) > ALONE + 1 else ""
            lines.append(f"{problem} ({len(same)} rows have this problem; the next: {others}{more})")
    return lines


class ProblemsError(IltError):
    """All problems of one pass over the input."""

    SHOWN = 50

    def __init__(self, headline: str, problems: Sequence[Problem]) -> None:
        self.problems = list(problems)
        lines = problem_lines(self.problems)
        shown = [f"{headline} ({len(problems)} found):", *(f"  {line}" for line in lines[: self.SHOWN])]
        if len(lines) > self.SHOWN:
            shown.append(f"  ... and {len(lines) - self.SHOWN} more")
        super().__init__("\n".join(shown))
