"""Hearing an utterance: its audio as a file, and a player where there is one."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl

from ilt import paths

__all__ = ["play"]

_PLAYERS = (
    ("afplay",),
    ("pw-play",),
    ("paplay",),
    ("ffplay", "-v", "error", "-nodisp", "-autoexit"),
    ("play", "-q"),
)


def play(key: str) -> Path:
    """Write the FLAC of an utterance to `.ilt/audio`; on a terminal, play it if a player is found."""
    frame = pl.scan_parquet(paths.UTTERANCES).filter(pl.col("id") == key)
    audio = frame.select(pl.col("audio").struct.field("bytes")).collect().item()
    name = re.sub(r"[^\w.-]+", "_", key)
    target = paths.WORK / "audio" / f"{name}.flac"
    with paths.replacing(target) as temporary:
        temporary.write_bytes(audio)
    player = next((command for command in _PLAYERS if shutil.which(command[0])), None)
    if player and sys.stdout.isatty():
        subprocess.run([*player, str(target)], check=False)
    return target
