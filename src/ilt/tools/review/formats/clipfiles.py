"""Clips as files in a folder beside the exported file, for formats that cannot hold sound."""

from __future__ import annotations

from pathlib import Path

from ilt.errors import IltError
from ilt.paths import replacing
from ilt.tools.review.outgoing import Outgoing

__all__ = ["clip_name", "write_clips"]


def clip_name(output: Path, number: int) -> str:
    """The path of a row's clip, relative to the exported file. Ids may hold what file names may not."""
    return f"{output.stem}-audio/{number + 1:04d}.flac"


def write_clips(outgoing: Outgoing, output: Path) -> Path:
    """Write the clips of all rows, and return the folder; clips of an earlier export are replaced."""
    folder = output.parent / f"{output.stem}-audio"
    if folder.exists() and any(path.suffix != ".flac" for path in folder.iterdir()):
        raise IltError(f"{folder} is there already and holds other files; give another --output")
    with replacing(folder) as temporary:
        temporary.mkdir()
        for number, row in enumerate(outgoing.rows):
            (temporary / Path(clip_name(output, number)).name).write_bytes(row.clip.flac)
    return folder
