"""Segments of one file that overlap across splits: the same speech in training and test is a leak."""

from __future__ import annotations

import bisect
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Segments"]

TOLERANCE = 0.01
"""Seconds by which neighbours may touch: manifests round."""


@dataclass
class _File:
    starts: list[float] = field(default_factory=list)
    spans: list[tuple[float, str, str]] = field(default_factory=list)
    longest: float = 0.0


class Segments:
    """The segments seen so far, by file: its path, or a hash of its bytes."""

    def __init__(self) -> None:
        self._files: dict[Path | bytes, _File] = {}

    def other_split(self, path: Path | bytes, start: float, seconds: float, split: str) -> tuple[str, str] | None:
        """Id and split of a segment that overlaps this one but is in another split, or None."""
        file = self._files.get(path)
        if file is None:
            return None
        at = bisect.bisect_left(file.starts, start - file.longest)
        while at < len(file.starts) and file.starts[at] < start + seconds - TOLERANCE:
            end, name, other = file.spans[at]
            if end > start + TOLERANCE and other != split:
                return name, other
            at += 1
        return None

    def add(self, path: Path | bytes, start: float, seconds: float, name: str, split: str) -> None:
        """Remember a segment; start and length in seconds."""
        file = self._files.setdefault(path, _File())
        at = bisect.bisect_left(file.starts, start)
        file.starts.insert(at, start)
        file.spans.insert(at, (start + seconds, name, split))
        file.longest = max(file.longest, seconds)
