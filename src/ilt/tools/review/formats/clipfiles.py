"""Clips as files in a folder beside the exported file, for formats that cannot hold sound."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ilt.errors import IltError
from ilt.tools.review.exchange import Outgoing

__all__ = ["Files", "clip_name", "clips"]

Files = dict[Path, bytes | Mapping[str, bytes]]
"""What an export writes: the content of a file, or of a folder by the names of its files."""


def _folder(output: Path) -> Path:
    return output.parent / f"{output.stem}-audio"


def clip_name(output: Path, number: int) -> str:
    """Return the path of a row's clip, relative to the exported file. Ids may hold what file names may not."""
    return f"{_folder(output).name}/{number + 1:04d}.flac"


def clips(outgoing: Outgoing, output: Path) -> Files:
    """Return the folder of the clips of all rows, which replaces that of an earlier export.

    Raises IltError where a folder of this name holds something else.
    """
    folder = _folder(output)
    if folder.is_dir() and any(path.suffix != ".flac" for path in folder.iterdir()):
        raise IltError(f"{folder} is there already and holds other files; give another --output")
    return {folder: {Path(clip_name(output, at)).name: row.clip.flac for at, row in enumerate(outgoing.rows)}}
