"""The command `ilt explain`."""

from __future__ import annotations

import sys
from typing import Annotated, Literal

import typer

from ilt.escapes import visible

__all__ = ["explain"]


def explain(
    utterance: Annotated[str, typer.Argument(help="The id of an utterance.")],
    play: Annotated[bool, typer.Option(help="Also write its audio to a file, and play it if possible.")] = False,
    form: Annotated[Literal["text", "json"], typer.Option("--format", help="On standard output.")] = "text",
) -> None:
    """Show one utterance through all iterations: texts, evidence, decisions, models, people."""
    from ilt.tools.explain.gather import gather, models
    from ilt.tools.explain.play import play as write_audio
    from ilt.tools.explain.show import print_story, to_json

    story = gather(utterance)
    if form == "json":
        print(to_json(story))
    else:
        print_story(story, models(story.utterance["language"]))
    if play:
        print(visible(f"audio: {write_audio(utterance)}"), file=sys.stderr)
