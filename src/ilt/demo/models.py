"""Files of the demo models: in the repository in data/models, in an installed package beside this module."""

from __future__ import annotations

from pathlib import Path

from ilt.errors import IltError

__all__ = ["model_files"]

PLACES = (Path(__file__).parent / "models", Path(__file__).parents[3] / "data" / "models")


def model_files(name: str) -> list[Path]:
    """Return the files of a demo model, sorted. Raises IltError where this installation has it not."""
    for place in PLACES:
        if (place / name / "config.json").is_file():
            return sorted(path for path in (place / name).iterdir() if path.is_file())
    raise IltError(f"this installation has no {name}; install the package from its wheel or its repository")
