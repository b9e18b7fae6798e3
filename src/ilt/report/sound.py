"""The sound of single utterances, small enough to stand in a page."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import soundfile

from ilt.corpus.audio import RATE, decode_flac
from ilt.corpus.clips import load_clips

__all__ = ["MOST_SECONDS", "Sound", "sounds"]

MOST_SECONDS = 600.0
"""Of sound in one page, which is about 3 MB; what comes later has none."""

QUALITY = 0.8
"""libsndfile's compression level of MP3, 0 (large) to 1 (small): some 4 kB a second of noisy speech."""


@dataclass(frozen=True, slots=True)
class Sound:
    """seconds: its length. data_uri: None where the page has no room for it."""

    seconds: float
    data_uri: str | None


def _uri(flac: bytes) -> str:
    """MP3, which every browser plays, a fifth of the FLAC; FLAC where this libsndfile writes no MP3.

    Opus would be as small, but libsndfile gives each Ogg stream a random number, so that no two are equal.
    """
    if "MP3" not in soundfile.available_formats():
        return "data:audio/flac;base64," + base64.b64encode(flac).decode("ascii")
    buffer = io.BytesIO()
    soundfile.write(buffer, decode_flac(flac), RATE, format="MP3", subtype="MPEG_LAYER_III", compression_level=QUALITY)
    return "data:audio/mpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def sounds(ids: list[str]) -> dict[str, Sound]:
    """The sounds of some utterances, by id; the first `MOST_SECONDS` of them with data.

    Raises IltError for audio that cannot be read.
    """
    found, used = {}, 0.0
    for key, clip in load_clips(list(dict.fromkeys(ids))).items():
        fits = used + clip.seconds <= MOST_SECONDS
        used += clip.seconds if fits else 0.0
        found[key] = Sound(clip.seconds, _uri(clip.flac) if fits else None)
    return found
