"""Audio of single utterances, small enough to stand in a page."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import soundfile

from ilt.corpus.audio import RATE
from ilt.corpus.clips import Clip, load_clips

__all__ = ["MOST_SECONDS", "Sound", "sounds"]

MOST_SECONDS = 600.0
"""Seconds of audio in one page, which are about 3 MB."""

QUALITY = 0.8
"""libsndfile's compression level of MP3, 0 (large) to 1 (small): some 4 kB a second of noisy speech."""


@dataclass(frozen=True, slots=True)
class Sound:
    """Audio of one utterance. seconds: its length. data_uri: None where the page has no room for it."""

    seconds: float
    data_uri: str | None


def _uri(clip: Clip) -> str:
    """Return the clip as MP3, which every browser plays, a fifth of FLAC; FLAC where this libsndfile writes no MP3.

    Opus would be as small, but libsndfile gives each Ogg stream a random number, so that no two are equal.
    """
    if "MP3" not in soundfile.available_formats():
        return clip.data_uri
    buffer = io.BytesIO()
    soundfile.write(buffer, clip.samples, RATE, format="MP3", subtype="MPEG_LAYER_III", compression_level=QUALITY)
    return "data:audio/mpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def sounds(ids: list[str]) -> dict[str, Sound]:
    """Return the audio of some utterances, by id; the first `MOST_SECONDS` of it with data.

    Raises IltError for audio that cannot be read.
    """
    result, used = {}, 0.0
    for key, clip in load_clips(list(dict.fromkeys(ids))).items():
        fits = used + clip.seconds <= MOST_SECONDS
        used += clip.seconds if fits else 0.0
        result[key] = Sound(clip.seconds, _uri(clip) if fits else None)
    return result
