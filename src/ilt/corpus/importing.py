"""Import of a corpus: rows become utterances, and one pass names everything that is wrong.

The audio of each row is decoded, hashed and put as FLAC into one unnamed file on disk; only what the tables
say of it stays in memory. When all rows are known, the utterance table is written in the order of its ids,
some megabytes at a time.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import chain
from pathlib import Path

from ilt.corpus.audio import RATE, MissingAudio, TooLong, audio_hash, encode_flac, read_audio
from ilt.corpus.checks import LABELLED, row_problems
from ilt.corpus.formats.row import LINE, Row
from ilt.corpus.imported import Imported, Spool
from ilt.corpus.leaks import AudioLeaks, Span, shared_speakers
from ilt.corpus.sources import check_source_languages, open_sources, read_references
from ilt.corpus.text import clean_text, pace_problem
from ilt.errors import Problem
from ilt.escapes import visible
from ilt.params import CorpusParams

__all__ = ["Limits", "import_rows", "read_corpus"]

LOG_EVERY = 20.0
"""Seconds between two lines of progress."""


@dataclass(frozen=True)
class Limits:
    """Bounds of what is taken.

    min_duration, max_duration: seconds. languages: codes that the model knows, or None for any. tags: `corpus.tags`.
    length_problem: why the model cannot write a text in a language, or None where it can.
    """

    min_duration: float
    max_duration: float
    languages: frozenset[str] | None = None
    tags: str = "drop"
    length_problem: Callable[[str, str], str | None] | None = None


@dataclass(frozen=True)
class _Audio:
    """Audio of one row. digest: of its samples. file: hash of the bytes that it came from, b"" for a file on disk."""

    flac: bytes
    digest: str
    seconds: float
    file: bytes


def _load(row: Row, file: bytes, limits: Limits) -> _Audio | str:
    """Return the audio of a row, or what is wrong with it."""
    audio, most = row.audio, limits.max_duration
    if audio is None:
        return "the audio is missing"
    too_long = (
        f"is too long; expected at most {most:g} s, which is what the model hears at once (or "
        "corpus.max_duration); cut it into segments"
        + (", or the pool with corpus.cut.method=vad" if row.split == "pool" else "")
    )
    try:
        samples = read_audio(audio, row.offset or 0.0, row.duration, most)
    except TooLong as error:
        return f"{error.seconds:.2f} s {too_long}"
    except ValueError as error:
        what = f"{error} ({audio if isinstance(audio, Path) else 'in ' + row.where})"
        if isinstance(error, MissingAudio):
            what += "; a relative path starts at the manifest's folder, or at `audio` in corpus.sources"
        return what
    seconds = len(samples) / RATE
    if seconds < limits.min_duration:
        return f"{seconds:.3f} s is too short; expected at least {limits.min_duration} s (corpus.min_duration)"
    if seconds > most:
        return f"{seconds:.2f} s {too_long}"
    return _Audio(encode_flac(samples), audio_hash(samples), seconds, file)


class _Import:
    """The state of one import."""

    def __init__(self, limits: Limits) -> None:
        self.limits, self.spool, self.leaks = limits, Spool(), AudioLeaks()
        self.problems: list[Problem] = []
        self.places: dict[str, str] = {}  # file and line of each id
        self.cleaned, self.annotated, self.annotations = 0, 0, Counter[str]()
        self.count, self.hours, self.logged = 0, 0.0, time.monotonic()

    def duplicate(self, row: Row) -> str | None:
        """Return why an id cannot be taken: it was used before."""
        if row.id not in self.places:
            self.places[row.id] = row.where
            return None
        first = self.places[row.id]
        same = ", which is this line: the source is listed twice" if first == row.where else ""
        return f"duplicate id, already used at {first}{same}; ids must differ"

    def good(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Yield the rows with nothing wrong in what they state, their texts cleaned; the others become problems."""
        for row in rows:
            text = clean_text(row.text or "", self.limits.tags)
            problems = row_problems(row, text, self.limits.languages, self.limits.tags)
            if row.id and LINE not in row.faults:
                if what := self.duplicate(row):
                    problems.append(what)
            elif not problems:
                problems.append("the id is missing")
            if self.limits.length_problem and row.split in LABELLED and not problems:
                problems += filter(None, [self.limits.length_problem(text.text, str(row.language))])
            self.problems += [Problem(row.where, visible(row.id), what) for what in problems]
            if not problems:
                self.cleaned += text.cleaned
                self.annotated += bool(text.annotations)
                self.annotations.update(text.annotations)
                yield replace(row, text=text.text or None)

    def take(self, row: Row, audio: _Audio | str) -> None:
        """Keep a row and its audio, or make a problem of it."""
        what = audio if isinstance(audio, str) else self._problem(row, audio)
        if isinstance(audio, str) or what:
            self.problems.append(Problem(row.where, row.id, str(what)))
            return
        values = {
            "id": row.id, "language": row.language, "speaker": row.speaker, "split": row.split,
            "duration": audio.seconds, "text": row.text, "audio_hash": audio.digest, "where": row.where,
            "path": row.name, "offset": row.offset or 0.0, "cut_of": row.cut_of,
        }  # fmt: skip
        self.spool.add(values, audio.flac)
        self.count += 1
        self.hours += audio.seconds / 3600
        if time.monotonic() - self.logged > LOG_EVERY:
            self.logged = time.monotonic()
            print(f"  read {self.count} utterances, {self.hours:.1f} h", file=sys.stderr, flush=True)

    def _problem(self, row: Row, audio: _Audio) -> str | None:
        """Return why a text and this audio do not go together, or why the audio must not be in its split."""
        if row.split in LABELLED and (what := pace_problem(row.text or "", audio.seconds)):
            return what
        # A part is taken out of audio that is a file here, or lies as bytes in each row of its parts.
        file = row.audio.resolve() if isinstance(row.audio, Path) else audio.file
        start = row.offset or 0.0
        return self.leaks.take(Span(row.id, str(row.split), file, start, start + audio.seconds, audio.digest))

    def notes(self) -> list[str]:
        """Return what a person should know of texts that are not as their sources have them."""
        lines = []
        if self.cleaned:
            lines.append(f"texts cleaned of line feeds, tabs, double spaces and the like: {self.cleaned}")
        if self.annotated:
            common = ", ".join(name for name, _ in self.annotations.most_common(3))
            verb = "dropped from" if self.limits.tags == "drop" else "kept in"
            lines.append(f"annotations {verb} {self.annotated} texts (corpus.tags: {self.limits.tags}), as {common}")
        return lines


def import_rows(
    rows: Iterable[Row], limits: Limits, cut: Callable[[Row], Iterable[Row | Problem]] | None = None
) -> Imported:
    """Read rows and their audio.

    cut: makes several rows of one whose audio is too long, or says why that cannot be.
    Problems with rows are collected; raises IltError where a source cannot be read.
    """
    work = _Import(limits)
    workers = os.cpu_count() or 1
    waiting: deque[tuple[Row, Future[_Audio | str]]] = deque()

    def take_first() -> None:
        row, future = waiting.popleft()
        work.take(row, future.result())

    with ThreadPoolExecutor(workers) as pool:
        for row in work.good(rows):
            # Once for all cuts of a long recording.
            file = blake2b(row.audio, digest_size=16).digest() if isinstance(row.audio, bytes) else b""
            for part in cut(row) if cut else (row,):
                if not isinstance(part, Problem) and part is not row and (what := work.duplicate(part)):
                    part = Problem(part.where, part.id, what)
                if isinstance(part, Problem):
                    work.problems.append(part)
                    continue
                waiting.append((part, pool.submit(_load, part, file, limits)))
                if len(waiting) >= 4 * workers:
                    take_first()
        while waiting:
            take_first()
    return work.spool.imported(work.problems, work.notes())


def read_corpus(
    params: CorpusParams,
    longest: float,
    languages: frozenset[str] | None,
    length_problem: Callable[[str, str], str | None] | None = None,
) -> Imported:
    """Read all sources of `params`, which is not the demo.

    longest: seconds that the model hears at once. languages: codes that it knows, or None for any.
    length_problem: of `Limits`. Raises IltError where a source cannot be read, or is given a language that the model
    does not know.
    """
    if languages is not None:
        check_source_languages(params.sources, languages)
    longest = min(longest, params.max_duration or longest)
    cut = None
    if params.cut.method == "vad":
        from ilt.corpus.cuts import Cutter

        cut = Cutter(params.cut, longest)
    rows = chain.from_iterable(source.rows() for source in open_sources(params))
    limits = Limits(params.min_duration, longest, languages, params.tags, length_problem)
    imported = import_rows(rows, limits, cut)
    if params.shared_speakers == "fail":
        imported.skip(shared_speakers(imported.rows))
    if params.pool_reference:
        path = Path(params.pool_reference)
        imported.give_references(read_references(path, params.tags), path)
    imported.put_in_case(params.case)
    return imported
