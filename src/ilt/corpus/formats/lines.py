"""Text files line by line, and JSON objects in them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ilt.errors import IltError

__all__ = ["WrittenFloat", "json_object", "lines"]


class WrittenFloat(float):
    """A number with a decimal point that remembers how it was written: `1.10` as an id is not `1.1`."""

    written: str

    def __new__(cls, written: str) -> WrittenFloat:
        value = super().__new__(cls, written)
        value.written = written
        return value


def lines(path: Path, parameter: str, expected: str) -> Iterator[tuple[int, str]]:
    """Yield numbered lines of a UTF-8 text file that are not blank; only a line feed ends a line.

    parameter: the parameter that named the file. expected: a description of the file, as "a JSONL file".
    Raises IltError where the file cannot be read.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="\n") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, line.rstrip("\r\n")
    except FileNotFoundError:
        raise IltError(f"{parameter}: {path} does not exist; give the path of {expected}") from None
    except IsADirectoryError:
        raise IltError(f"{parameter}: {path} is a folder; give {expected} in it") from None
    except UnicodeDecodeError as error:
        raise IltError(f"{parameter}: {path} is not UTF-8 text ({error}); save it as UTF-8") from None
    except OSError as error:
        raise IltError(f"{parameter}: {path} cannot be read: {error.strerror}") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice!r} stands twice in this line; keep one")
    return values


def json_object(line: str) -> dict[str, Any]:
    """Return the JSON object on a line; numbers with a decimal point are `WrittenFloat`. Raises ValueError."""
    try:
        value = json.loads(line, object_pairs_hook=_unique, parse_float=WrittenFloat)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON ({error.msg}, column {error.colno}); expected one object a line") from None
    except RecursionError:
        raise ValueError("not a manifest line: nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError(f"expected a JSON object, found {type(value).__name__}")
    return value
