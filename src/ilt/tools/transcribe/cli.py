"""The command `ilt transcribe`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["transcribe"]


def transcribe(
    files: Annotated[list[Path], typer.Argument(help="Audio of any length: wav, FLAC, mp3, ogg.")],
    language: Annotated[str, typer.Option(help="What is spoken, as the model's languages are called: de.")],
    iteration: Annotated[str | None, typer.Option(help="As it2; else the last one, or --model.")] = None,
    model: Annotated[str | None, typer.Option(help="A merged folder, or a model of a hub, instead.")] = None,
    form: Annotated[str, typer.Option("--format", help="text, json, srt or vtt.")] = "text",
    output: Annotated[
        Path | None,
        typer.Option(help="A file; for several files, or where one is there, a folder."),
    ] = None,
    vad: Annotated[str, typer.Option(help="What finds pauses: energy, or silero (extra `vad`).")] = "energy",
) -> None:
    """Transcribe audio files; long ones are cut in pauses."""
    from ilt.tools.transcribe.command import TranscribeOptions, run_transcribe

    run_transcribe(files, TranscribeOptions(language, iteration, model, form, output, vad))
