"""Tables of evidence in the pages, from what the scripts of benchmarks/ measured.

    python docs/build/tables.py [SCRIPT ...]     # else all

Each of these scripts keeps its figures in benchmarks/results, and has `PAGE` and `tables()`: the page that shows
them, and its tables by the names of their marks.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

from ilt.errors import IltError
from pages import ROOT, block, put

__all__ = ["SCRIPTS", "script"]

SCRIPTS = (
    "corpora", "export_parity", "families", "languages", "memory", "seeds", "selection", "stopping", "tuned",
)  # fmt: skip


def script(name: str) -> ModuleType:
    """Import a script of benchmarks/. Raises IltError for a name that is none of `SCRIPTS`."""
    if name not in SCRIPTS:
        raise IltError(f"there is no {name!r} with tables; there are {', '.join(SCRIPTS)}")
    if (folder := str(ROOT / "benchmarks")) not in sys.path:
        sys.path.insert(0, folder)
    return import_module(name)


def main() -> None:
    for name in sys.argv[1:] or SCRIPTS:
        module = script(name)
        page: Path = module.PAGE
        for mark, lines in module.tables().items():
            if block(page, mark) != lines:
                put(page, mark, lines)
                print(f"{page.relative_to(ROOT)}: {mark}")


if __name__ == "__main__":
    try:
        main()
    except IltError as error:
        sys.exit(f"ERROR: {error}")
