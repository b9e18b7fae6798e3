"""What every format gives: rows that say where they stand, before anything is checked."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ilt.errors import IltError

__all__ = ["Row", "Source", "lines"]


@dataclass(frozen=True, slots=True)
class Row:
    """One utterance as its source states it; id, speaker, language and split without white space around.

    where:    file and line, as `segments:12`.
    audio:    a file, the bytes of one, or None where the source names none.
    name:     the audio as the source names it.
    offset:   seconds; None where the source gives none.
    duration: seconds from the offset; None: to the end.
    faults:   what is wrong with it that only the format can see.
    cut_of:   id of the recording that this was cut out of.
    broken:   nothing more can be said of it than its faults.
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
    faults: tuple[str, ...] = ()
    cut_of: str | None = None
    broken: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", self.id.strip())
        for name in ("speaker", "language", "split"):
            value = getattr(self, name)
            object.__setattr__(self, name, (value and value.strip()) or None)


class Source(ABC):
    """A corpus in one format. Rows come one by one, in the order of the source, and none is left out."""

    languages: Mapping[str, str] = {}
    """The source's own names of languages, where the format fixes them, and their codes."""

    @abstractmethod
    def rows(self) -> Iterator[Row]:
        """The utterances. Raises IltError where a file of the source cannot be read at all."""

    @abstractmethod
    def tables(self) -> list[Path]:
        """The files that say what there is, in a fixed order; some formats have the audio in them."""

    def audio_files(self) -> list[Path]:
        """The audio files that rows name, sorted."""
        return sorted({row.audio for row in self.rows() if isinstance(row.audio, Path)})


def lines(path: Path, parameter: str, expected: str) -> Iterator[tuple[int, str]]:
    """Numbered lines of a UTF-8 text file that are not blank; only a line feed ends a line.

    parameter: what the user set to come here. expected: what the path should be, as "a JSONL file".
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
        raise IltError(f"{parameter}: {path} is not UTF-8 text ({error})") from None
