"""Leaks between splits: the same audio, overlapping parts of one file, or one speaker, trained on and scored."""

from __future__ import annotations

import bisect
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

__all__ = ["AudioLeaks", "Span", "shared_speakers"]

TOUCHING = 0.01
"""Seconds by which neighbours may overlap: manifests round."""

SHOWN = 3
"""Utterances of a shared speaker that a message names."""


@dataclass(frozen=True, slots=True)
class Span:
    """The audio of one utterance.

    file:   its path, or a hash of the bytes that it was cut from.
    start, end: seconds in that file.
    digest: hash of its samples.
    """

    id: str
    split: str
    file: Path | bytes
    start: float
    end: float
    digest: str


@dataclass(slots=True)
class _File:
    """Spans of one file by their starts; longest: seconds of the longest of them."""

    starts: list[float] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    longest: float = 0.0


class AudioLeaks:
    """The audio taken so far, in the order of the source: of the same audio in two splits, the first stays."""

    def __init__(self) -> None:
        self._by_digest: dict[str, tuple[str, str]] = {}
        self._files: dict[Path | bytes, _File] = {}

    def take(self, span: Span) -> str | None:
        """Take the audio of an utterance, or return why it must not be in its split."""
        key, split = self._by_digest.get(span.digest, (span.id, span.split))
        if split != span.split:
            return f"the same audio as {key!r}, which is in {split}: a leak"
        file = self._files.setdefault(span.file, _File())
        if other := _overlapping(file, span):
            return f"overlaps {other.id!r} in the same file, which is in {other.split}: a leak"
        self._by_digest.setdefault(span.digest, (span.id, span.split))
        at = bisect.bisect_left(file.starts, span.start)
        file.starts.insert(at, span.start)
        file.spans.insert(at, span)
        file.longest = max(file.longest, span.end - span.start)
        return None


def _overlapping(file: _File, span: Span) -> Span | None:
    """Return a span of another split that overlaps this one, or None."""
    at = bisect.bisect_left(file.starts, span.start - file.longest)
    while at < len(file.starts) and file.starts[at] < span.end - TOUCHING:
        other = file.spans[at]
        if other.end > span.start + TOUCHING and other.split != span.split:
            return other
        at += 1
    return None


def shared_speakers(rows: pl.DataFrame) -> list[tuple[str, str]]:
    """Return the ids of rows that are trained on and whose speaker is scored as well, each with what is wrong.

    Rows of gold, pool and replay whose speaker is in dev or test; and rows of replay whose speaker is in
    retention, since forgetting would be measured on voices that replay keeps in mind. Rows without a speaker do
    not count. These rows are named, and not those that are scored: without them, what is scored stays as it was.
    rows: with the columns `id`, `speaker` and `split`.
    """
    known = rows.filter(pl.col("speaker").is_not_null() & (pl.col("speaker") != ""))
    return sorted(
        [*_shared(known, ["gold", "pool", "replay"], ["dev", "test"]), *_shared(known, ["replay"], ["retention"])]
    )


def _shared(known: pl.DataFrame, learned: list[str], scored: list[str]) -> list[tuple[str, str]]:
    ids = pl.col("id").sort()
    speakers = (
        known.filter(pl.col("split").is_in(scored))
        .group_by("speaker")
        .agg(
            pl.format("{} ({})", ids.head(SHOWN), pl.col("split").sort_by("id").head(SHOWN))
            .str.join(", ")
            .alias("scored"),
            pl.len().alias("count"),
        )
    )
    return [
        (
            key,
            f"the speaker {speaker!r} is in {split} here, and in {names}"
            + (f" and {count - SHOWN} more" if count > SHOWN else "")
            + ": a leak (corpus.shared_speakers=allow takes it)",
        )
        for key, speaker, split, names, count in known.filter(pl.col("split").is_in(learned))
        .join(speakers, on="speaker")
        .select("id", "speaker", "split", "scored", "count")
        .iter_rows()
    ]
