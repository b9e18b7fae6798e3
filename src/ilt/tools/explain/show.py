"""Print the story of one utterance."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ilt.escapes import visible
from ilt.evaluation.highlight import diff_spans
from ilt.evaluation.scoring import utterance_errors
from ilt.tools.explain.gather import Step, Story
from ilt.tools.marks import isolated, marked_text, plain_console

if TYPE_CHECKING:
    from rich.text import Text

__all__ = ["print_story", "to_json"]

_EVIDENCE = (
    ("avg_logprob", "log-prob", ".3f"),
    ("perturbed_logprob", "perturbed", ".3f"),
    ("min_logprob", "lowest", ".2f"),
    ("token_entropy", "entropy", ".2f"),
    ("agreement", "agrees with perturbed", ".2f"),
    ("previous_agreement", "with before", ".2f"),
    ("chars_per_second", "characters/s", ".1f"),
    ("compression_ratio", "compression", ".2f"),
    ("no_speech_prob", "no speech", ".2f"),
    ("gold_similarity", "similar to gold", ".2f"),
)
"""Column, name and format of each piece of evidence."""


def _evidence(row: dict[str, Any]) -> str:
    parts = [f"{label} {row[name]:{form}}" for name, label, form in _EVIDENCE if row[name] is not None]
    if row["detected_language"]:
        parts.append(f"sounds like {row['detected_language']} ({row['detected_probability'] or 0:.2f})")
    return ", ".join(parts)


def _decision(row: dict[str, Any]) -> str:
    error = row["expected_error"]
    parts = (
        row["reason"] or "undecided",
        row["source"] and f"source {row['source']}",
        "" if error is None else f"expected error {100 * error:.1f} %",
        row["flags"] and f"flags {', '.join(row['flags'])}",
    )
    return "; ".join(part for part in parts if part)


def _error(text: str | None, story: Story) -> str:
    if text is None or story.reference is None:
        return ""
    error = utterance_errors([story.reference], [text], [story.utterance["language"]], story.normaliser)[0]
    return f"  {100 * error:.1f} % wrong"


def _lines(step: Step, text: str | None, before: str | None, language: str, models: dict[str, str]) -> list[Text]:
    """Return what is printed below the headline of a step. before: the text of the step before."""
    from rich.text import Text

    row, lines = step.row, []
    if text is not None and step.table != "selected":
        spans = diff_spans(text if before is None else before, text, language)
        lines.append(marked_text(spans, language, sys.stdout.isatty()))
    if step.table == "pseudo" or (step.table == "corrected" and row["avg_logprob"] is not None):
        perturbed = row["perturbed_text"]
        if perturbed not in (None, text):
            lines.append(Text.assemble(("perturbed: ", "dim"), isolated(perturbed, language)))
        lines.append(Text(_evidence(row), "dim"))
    if step.table in ("selected", "corrected"):
        lines.append(Text(visible(_decision(row))))
    if (name := row["lineage"]) and step.table != "selected":
        model = models.get(name, "in no lineage any more")
        lines.append(Text(visible(f"model {name}: {model}"), "dim"))
    return lines


def print_story(story: Story, models: dict[str, str]) -> None:
    """Print each step, with what changed in the text since the step before."""
    from rich.padding import Padding
    from rich.text import Text

    console, utterance = plain_console(), story.utterance
    language, speaker = utterance["language"], utterance["speaker"] or "unknown"

    def show(*lines: Text) -> None:
        for line in lines:
            console.print(Padding(line, (0, 0, 0, 4), expand=False))

    facts = f"  {language}  {utterance['split']}  {utterance['duration']:.2f} s  speaker {speaker}"
    console.print(Text.assemble((visible(utterance["id"]), "bold"), visible(facts)))
    if story.reference is not None:
        show(Text.assemble(("reference: ", "dim"), isolated(story.reference, language)))
    if person := story.correction:
        verdict = visible(f"{person['reviewer'] or 'somebody'} says {person['verdict']}")
        text = (": ", isolated(person["text"], language)) if person["text"] else ()
        show(Text.assemble(verdict, *text, style="bold"))
    before: str | None = None
    for step in story.steps:
        text = step.row["hypothesis" if step.table == "predicted" else "text"]
        console.print(Text.assemble((visible(step.name), "bold"), (_error(text, story), "dim")))
        show(*_lines(step, text, before, language, models))
        if step.table != "predicted":
            before = text
    if not story.steps:
        show(Text("no table has it yet; run `dvc repro`"))


def to_json(story: Story) -> str:
    """Return the whole story as JSON, with all columns; control characters are escaped."""
    return visible(json.dumps(asdict(story), ensure_ascii=False, indent=2, allow_nan=False), lines=True)
