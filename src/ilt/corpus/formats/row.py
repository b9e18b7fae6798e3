"""Rows as a source states them, with the place of each, before anything is checked."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath

__all__ = ["LINE", "NO_SPEAKER", "Row", "Source", "audio_id", "unreadable"]

LINE = "line"
"""Key in `Row.faults` of a line that cannot be understood; nothing more is checked of such a row."""

NO_SPEAKER = frozenset(
    {"-", "--", "?", "n/a", "n.a.", "na", "#n/a", "<na>", "nan", "none", "null", "undefined", "unk", "<unk>", "unknown"}
)
"""Names, in lower case, that stand for an unknown speaker: two rows that share one may well be of two people."""


@dataclass(frozen=True, slots=True)
class Row:
    """One utterance as its source states it; id, speaker, language and split without white space around.

    where:    file and line, as `segments:12`.
    audio:    a file, the bytes of one, or None where the source names none.
    name:     the audio as the source names it.
    speaker:  None also for names such as `unknown` (`NO_SPEAKER`).
    offset:   seconds; None where the source gives none.
    duration: seconds from the offset; None: to the end.
    faults:   what is wrong with a field, by its name in `ilt.params.FIELDS`, as far as only the format can see it.
    cut_of:   id of the recording that this was cut out of.
    """

    where: str
    id: str
    audio: Path | bytes | None = None
    name: str | None = None
    language: str | None = None
    speaker: str | None = None
    split: str | None = None
    text: str | None = None
    offset: float | None = None
    duration: float | None = None
    faults: Mapping[str, str] = field(default_factory=dict)
    cut_of: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", self.id.strip())
        for name in ("speaker", "language", "split"):
            value = getattr(self, name)
            object.__setattr__(self, name, (value and value.strip()) or None)
        if self.speaker and self.speaker.casefold() in NO_SPEAKER:
            object.__setattr__(self, "speaker", None)


def unreadable(where: str, what: str, key: str = "", language: str | None = None) -> Row:
    """Return a row for a line of which nothing can be said but what is wrong with it."""
    return Row(where, key, language=language, faults={LINE: what})


def audio_id(name: str | None, root: Path, offset: str = "") -> str:
    """Return an id for a row that has none: the path of its audio without the suffix, and the offset if it has one.

    name: the audio as the source names it. A path below `root` counts from there, so that ids are the same on
    other machines; of the address of a file in an archive or on the hub, the path within counts.
    """
    if not name:
        return ""
    scheme, _, rest = name.partition("::")[0].rpartition("://")
    path = PurePath(rest)
    if scheme == "hf":
        path = PurePath(*path.parts[3:])  # datasets/OWNER/NAME
    elif scheme not in ("", "zip"):
        path = PurePath(path.name)
    top = root.absolute()
    if path.is_absolute() and path.is_relative_to(top):
        path = path.relative_to(top)
    stem = path.parent.as_posix().lstrip("/")
    stem = f"{stem}/{path.stem}" if stem not in ("", ".") else path.stem
    return f"{stem}-{offset}" if offset else stem


class Source(ABC):
    """A corpus in one format. Rows come one by one, in the order of the source, and none is skipped."""

    languages: Mapping[str, str] = {}
    """The source's own names of languages, where the format fixes them, and their codes."""

    @abstractmethod
    def rows(self) -> Iterator[Row]:
        """Yield the utterances. Raises IltError where a file of the source cannot be read at all."""

    @abstractmethod
    def tables(self) -> list[Path]:
        """Return the files that list the utterances, in a fixed order; some formats have the audio in them."""

    def audio_files(self) -> list[Path]:
        """Return the audio files that rows name, sorted, whether or not they exist. Raises IltError as `rows` does."""
        return sorted({row.audio for row in self.rows() if isinstance(row.audio, Path)})
