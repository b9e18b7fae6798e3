"""Corpora in the layout of the MLC-SLM challenges: a conversation a wav, a .txt of the same name beside it.

Folders name the language, and for English the accent: `data/English/American/0517_001_phone.wav` or
`English-American/...`; between these and the file there may be further folders. A line of the .txt is
`start TAB end TAB speaker TAB text`, times in seconds, speakers as O1 and O2 within one conversation; in the
evaluation sets the text is missing. A .txt without a wav is a problem if it begins like a transcript, and is
otherwise left alone (README.txt). Ids are those of the challenge's baseline (prepare_segments.py in
https://github.com/mubingshen/MLC-SLM-Baseline), as `English-American-REC-O1-000168-000234`: the last two are
centiseconds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from ilt.corpus.formats.lines import lines
from ilt.corpus.formats.row import NO_SPEAKER, Row, Source, unreadable
from ilt.errors import IltError
from ilt.params import SourceParams

__all__ = ["LANGUAGES", "MlcSlm", "open_source"]

LANGUAGES = {
    "English": "en", "French": "fr", "German": "de", "Italian": "it", "Portuguese": "pt", "Spanish": "es",
    "Japanese": "ja", "Korean": "ko", "Russian": "ru", "Thai": "th", "Vietnamese": "vi",
    "Tagalog": "tl", "Urdu": "ur", "Turkish": "tr",
}  # fmt: skip
"""The eleven languages of 2025, and the three that 2026 added, by the names of their folders."""


def _parsed(line: str) -> tuple[float, float, str, str]:
    """Return start, end, speaker and text. Raises ValueError or IndexError for another line."""
    fields = [field.strip() for field in line.split("\t")] if "\t" in line else line.split(maxsplit=3)
    start, end, label = float(fields[0]), float(fields[1]), fields[2]
    if not 0 <= start < end < 1e7 or not label:
        raise ValueError(line)
    return start, end, label, " ".join(fields[3:])


def _is_transcript(text: Path) -> bool:
    """Return whether the first line that is not blank holds a tab, or times and a speaker."""
    with text.open(encoding="utf-8-sig", errors="replace") as file:
        first = next((line for line in file if line.strip()), "").strip()
    try:
        return "\t" in first or bool(_parsed(first))
    except (ValueError, IndexError):
        return False


class MlcSlm(Source):
    """A set of the challenge: a folder with the languages' folders somewhere below it.

    names: folders that name a language beside those of the challenge, or one of its accents.
    """

    languages = LANGUAGES

    def __init__(self, path: Path, parameter: str, names: Iterable[str] = ()) -> None:
        self.path, self.parameter = path, parameter
        self.names = set(LANGUAGES) | {name.split("-")[0] for name in names}
        texts = sorted(path.rglob("*.txt")) if path.is_dir() else []
        self._alone = {text for text in texts if not text.with_suffix(".wav").is_file()}
        self._texts = [text for text in texts if text not in self._alone or _is_transcript(text)]
        if not self._texts:
            others = f" but {texts[0].name}, which is no transcript" if texts else ""
            raise IltError(
                f"{parameter}: there is no .txt below {path}{others}; expected a folder such as "
                "data/English/American with a .txt beside each .wav"
            )

    def tables(self) -> list[Path]:
        return self._texts

    def _language(self, folders: tuple[str, ...]) -> str | None:
        """Return language and accent, as `English-American`, after the first folder that names a language."""
        for depth, folder in enumerate(folders):
            name, *accent = re.split(r"[-_ ]", folder, maxsplit=1)
            if name in self.names:
                if name == "English" and not accent:
                    accent = list(folders[depth + 1 : depth + 2])
                return "-".join([name, *accent])
        return None

    def rows(self) -> Iterator[Row]:
        for text in self._texts:
            relative = text.relative_to(self.path)
            record = "-".join([*relative.parts[:-1], text.stem])
            # The folders above may name it too, as where the path itself is .../English/American.
            language = self._language(relative.parts[:-1]) or self._language(self.path.resolve().parts[-2:])
            if text in self._alone:
                wav = text.with_suffix(".wav").name
                what = f"there is no {wav} beside this transcript; add it, or take the transcript away"
                yield unreadable(f"{text}:1", what, language=language)
                continue
            for number, line in lines(text, self.parameter, "a .txt"):
                yield self._row(f"{text}:{number}", line, record, relative.with_suffix(".wav"), language)

    def _row(self, where: str, line: str, record: str, wav: Path, language: str | None) -> Row:
        try:
            start, end, label, words = _parsed(line)
        except (ValueError, IndexError):
            what = "expected START, END (seconds, END after START), SPEAKER and TEXT with tabs between"
            return unreadable(where, f"{what}, found {line[:60]!r}", language=language)
        times = "-".join(f"{int(round(time, 2) * 100):06d}" for time in (start, end))
        speaker = f"{record}-{label}"
        return Row(
            where, f"{speaker}-{times}", self.path / wav, wav.as_posix(), language,
            None if label.casefold() in NO_SPEAKER else speaker,
            None, words or None, start, end - start,
        )  # fmt: skip


def open_source(params: SourceParams, parameter: str) -> list[Source]:
    """Open what `corpus.sources` names."""
    names = params.language if isinstance(params.language, dict) else ()
    return [MlcSlm(Path(params.path), parameter, names)]
