"""Play an utterance: its audio as a file, and through a player where there is one."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

from ilt import paths
from ilt.corpus.clips import load_clips

__all__ = ["play"]

_PLAYERS = (
    ("afplay",),
    ("pw-play",),
    ("paplay",),
    ("ffplay", "-v", "error", "-nodisp", "-autoexit"),
    ("play", "-q"),
)
_LONGEST_NAME = 200
"""Bytes of a file's name; most file systems take 255, and `replacing` needs some for itself."""


def play(key: str) -> Path:
    """Write an utterance to `.ilt/audio` as FLAC; on a terminal, play it if a player is installed."""
    name = re.sub(r"[^\w.-]+", "_", key).encode()[:_LONGEST_NAME].decode(errors="ignore")
    target = paths.WORK / "audio" / f"{name}.flac"
    with paths.replacing(target) as temporary:
        temporary.write_bytes(load_clips([key])[key].flac)
    player = next((command for command in _PLAYERS if shutil.which(command[0])), None)
    if player and sys.stdout.isatty():
        subprocess.run([*player, str(target)], check=False)
    return target
