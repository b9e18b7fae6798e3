"""Speech synthesis by eSpeak NG, through the shared library of the `espeakng-loader` wheel.

The library keeps its state process-wide, and what it speaks depends a little on what it spoke before. Its
noise sources are seeded for each utterance (they would follow the clock otherwise), so that the same
sequence of utterances in a fresh process gives the same samples: see `ilt.demo.speech.render`.
"""

from __future__ import annotations

import ctypes
import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ilt.errors import IltError

__all__ = ["ESPEAK_RATE", "Voice", "load", "synthesise", "variants"]

ESPEAK_RATE = 22_050
"""Samples a second of what eSpeak NG returns."""

_SYNCHRONOUS = 2
_CHARS_UTF8 = 1
_DONT_EXIT = 0x8000
_RATE, _VOLUME, _PITCH, _RANGE = 1, 2, 3, 4


@dataclass(frozen=True, slots=True)
class Voice:
    """One way of speaking. A `variant` is the nearest that eSpeak has to a speaker.

    language: eSpeak's language name, for example `en-us`, `fr`, `ko`.
    variant:  name of a voice variant (`f3`, `klatt2`, `Andy`), or "" for the plain voice.
    rate:     words a minute, 80 to 450.
    pitch:    0 to 99; 50 is eSpeak's normal.
    range:    liveliness of the pitch, 0 to 99.
    """

    language: str
    variant: str = ""
    rate: int = 165
    pitch: int = 50
    range: int = 50

    @property
    def name(self) -> str:
        return f"{self.language}+{self.variant}" if self.variant else self.language


def load() -> tuple[ctypes.CDLL, str]:
    """Return the library and the folder of its data. Raises IltError where it is not installed or cannot be loaded."""
    try:
        import espeakng_loader

        return ctypes.CDLL(espeakng_loader.get_library_path()), espeakng_loader.get_data_path()
    except (ImportError, OSError) as error:
        raise _unusable(str(error)) from None


def _unusable(why: str) -> IltError:
    return IltError(
        f"the demo corpus is spoken by eSpeak NG, which cannot be used here ({why}): pip install "
        "--force-reinstall -c constraints.txt espeakng-loader; or take your own speech with "
        "corpus.source=manifest"
    )


class _Library:
    def __init__(self) -> None:
        self._lib, data = load()
        self._chunks: list[np.ndarray] = []
        callback_type = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
        self._callback = callback_type(self._collect)  # a reference must outlive the library's use
        rate = self._lib.espeak_Initialize(_SYNCHRONOUS, 0, data.encode(), _DONT_EXIT)
        if rate != ESPEAK_RATE:
            raise _unusable(f"it answered {rate} when it was started, expected {ESPEAK_RATE}")
        self._lib.espeak_SetSynthCallback(self._callback)

    def _collect(self, samples: object, count: int, _events: object) -> int:
        if samples and count > 0:
            block = np.ctypeslib.as_array(samples, shape=(count,))  # type: ignore[arg-type]
            self._chunks.append(block.copy())
        return 0

    def speak(self, text: str, voice: Voice, seed: int) -> np.ndarray:
        if self._lib.espeak_SetVoiceByName(voice.name.encode()) != 0:
            raise ValueError(f"eSpeak NG has no voice {voice.name!r}")
        for parameter, value in (
            (_RATE, voice.rate),
            (_VOLUME, 100),
            (_PITCH, voice.pitch),
            (_RANGE, voice.range),
        ):
            self._lib.espeak_SetParameter(parameter, value, 0)
        self._lib.espeak_ng_SetRandSeed(ctypes.c_long(seed & 0x7FFFFFFF))
        self._chunks.clear()
        data = text.encode() + b"\0"
        if self._lib.espeak_Synth(data, len(data), 0, 0, 0, _CHARS_UTF8, None, None) != 0:
            raise RuntimeError(f"eSpeak NG could not speak {text!r} as {voice.name}")
        if not self._chunks:
            return np.zeros(0, np.float32)
        return np.concatenate(self._chunks).astype(np.float32) / 32768.0


@functools.cache
def _library() -> _Library:
    return _Library()


def synthesise(text: str, voice: Voice, seed: int = 0) -> np.ndarray:
    """Return the speech of `text`: float32 samples in [-1, 1], mono, at `ESPEAK_RATE`.

    Raises ValueError for a voice that eSpeak NG does not have.
    """
    return _library().speak(text, voice, seed)


@functools.cache
def variants() -> tuple[str, ...]:
    """Return the names of the installed voice variants, sorted."""
    folder = Path(load()[1]) / "voices" / "!v"
    return tuple(sorted(path.name for path in folder.iterdir() if path.is_file()))
