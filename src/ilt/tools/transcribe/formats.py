"""Transcripts as text, JSON, SubRip (srt) and WebVTT (vtt)."""

from __future__ import annotations

import html
import json
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["FORMATS", "Segment", "Transcript"]

FORMATS = ("text", "json", "srt", "vtt")


@dataclass(frozen=True)
class Segment:
    """The text between two times, in seconds; evidence as in `ilt.asr.recogniser.Hypothesis`."""

    start: float
    end: float
    text: str
    avg_logprob: float
    no_speech_prob: float | None
    finished: bool


@dataclass(frozen=True)
class Transcript:
    """The segments of one file, in order. duration: seconds. lineage: hash of the model."""

    file: str
    language: str
    duration: float
    lineage: str
    segments: list[Segment]

    def to_dict(self) -> dict[str, Any]:
        """Return the transcript for JSON, with all texts in one as `text`."""
        text = " ".join(segment.text for segment in self.segments if segment.text)
        return {**asdict(self), "text": text}

    def written(self, form: str) -> str:
        """Return the transcript in one of `FORMATS`. Segments without text are only in JSON."""
        if form == "json":
            return json.dumps(self.to_dict(), indent=2, ensure_ascii=False) + "\n"
        spoken = [segment for segment in self.segments if segment.text]
        if form == "text":
            return "".join(f"{segment.text}\n" for segment in spoken)
        mark = "," if form == "srt" else "."
        cues = [
            f"{_clock(segment.start, mark)} --> {_clock(segment.end, mark)}\n"
            # Text of a WebVTT cue is markup; in SubRip only an arrow could be taken for a time line.
            + (html.escape(segment.text, quote=False) if form == "vtt" else segment.text.replace("-->", "->"))
            + "\n"
            for segment in spoken
        ]
        if form == "srt":
            return "\n".join(f"{number}\n{cue}" for number, cue in enumerate(cues, 1))
        return "\n".join(["WEBVTT\n", *cues])


def _clock(seconds: float, mark: str) -> str:
    """Return hours:minutes:seconds with milliseconds behind `mark`."""
    milliseconds = round(1000 * seconds)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d}{mark}{rest % 1000:03d}"
