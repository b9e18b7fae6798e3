"""Errors that a user can mend. The command line prints them without a traceback."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["IltError", "Problem", "ProblemsError"]


class IltError(Exception):
    """Something in the input or the parameters is wrong; the message says what, where and how to mend it."""


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
        return f"{self.where}: {self.id or '(no id)'}: {self.what}"


class ProblemsError(IltError):
    """All problems that one pass over the input found."""

    SHOWN = 50

    def __init__(self, headline: str, problems: Sequence[Problem]) -> None:
        self.problems = list(problems)
        lines = [f"{headline} ({len(problems)} found):"]
        lines += [f"  {problem}" for problem in self.problems[: self.SHOWN]]
        if len(problems) > self.SHOWN:
            lines.append(f"  ... and {len(problems) - self.SHOWN} more")
        super().__init__("\n".join(lines))
