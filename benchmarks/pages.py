"""Tables that a script writes into a page of the docs, between two marks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ilt.paths import replacing, write_json

__all__ = ["publish", "put"]


def put(page: Path, script: str, name: str, lines: Sequence[str]) -> None:
    """Replace what stands between the marks of the table `name` of `benchmarks/<script>.py`.

    Raises ValueError where the page does not have these marks, once each and in order.
    """
    text = page.read_text(encoding="utf-8")
    begin, end = f"<!-- {name}: benchmarks/{script}.py -->\n", f"<!-- end of {name} -->"
    head, rest = text.split(begin)
    _, tail = rest.split(end)
    with replacing(page) as temporary:
        temporary.write_text(head + begin + "\n".join(lines) + "\n" + end + tail, encoding="utf-8")


def publish(path: Path, result: Any, page: Path, script: str, lines: Sequence[str]) -> None:
    """Write a result as JSON, its table, which is named as the script, into the page, and print that."""
    write_json(path, result, sort_keys=False)
    put(page, script, script, lines)
    print("\n".join(lines))
