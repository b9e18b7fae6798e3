"""The story of one utterance on the terminal."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Any

from ilt.evaluation.highlight import diff_spans, isolate
from ilt.evaluation.scoring import utterance_errors
from ilt.tools.explain.gather import Step, Story
from ilt.tools.marks import marked_text

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
    ("gold_similarity", "gold_similarity", ".2f"),
)


def _evidence(row: dict[str, Any]) -> str:
    parts = [f"{label} {row[name]:{form}}" for name, label, form in _EVIDENCE if row.get(name) is not None]
    if row.get("detected_language"):
        parts.append(f"sounds like {row['detected_language']} ({row['detected_probability'] or 0:.2f})")
    return ", ".join(parts)


def _decision(row: dict[str, Any]) -> str:
    error = row["expected_error"]
    parts = [row["reason"] or "undecided", f"source {row['source']}" if row["source"] else ""]
    parts.append("" if error is None else f"expected error {100 * error:.1f} %")
    parts.append(f"flags {', '.join(row['flags'])}" if row["flags"] else "")
    return "; ".join(part for part in parts if part)


def _text(step: Step) -> str | None:
    return step.row["hypothesis"] if step.table == "predicted" else step.row["text"]


def _wrong(text: str | None, story: Story) -> str:
    if text is None or story.said is None:
        return ""
    language = story.utterance["language"]
    error = utterance_errors([story.said], [text], [language], story.normaliser)[0]
    return f"  {100 * error:.1f} % wrong"


def print_story(story: Story, models: dict[str, str]) -> None:
    """Print each step, with what changed in the text since the step before."""
    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    tty = sys.stdout.isatty()
    console = Console(width=None if tty else 130, highlight=False)
    about, language = story.utterance, story.utterance["language"]
    facts = f"  {language}  {about['split']}  {about['duration']:.2f} s  speaker {about['speaker'] or 'unknown'}"
    console.print(Text.assemble((about["id"], "bold"), facts))

    def line(text: Text | str, style: str = "") -> None:
        console.print(Padding(text if isinstance(text, Text) else Text(text, style), (0, 0, 0, 4), expand=False))

    if story.said is not None:
        line(Text.assemble(("really said: ", "dim"), isolate(story.said, language)))
    if person := story.correction:
        told = f": {isolate(person['text'], language)}" if person["text"] else ""
        line(f"{person['reviewer'] or 'somebody'} says {person['verdict']}{told}", "bold")
    before: str | None = None
    for step in story.steps:
        text = _text(step)
        console.print(Text.assemble((f"{step.iteration} {step.stage}", "bold"), (_wrong(text, story), "dim")))
        if text is not None and step.table != "selected":
            line(marked_text(diff_spans(text if before is None else before, text, language), language, tty))
        if step.table == "pseudo" or (step.table == "corrected" and step.row["avg_logprob"] is not None):
            other = step.row["perturbed_text"]
            if other is not None and other != text:
                line(Text.assemble(("perturbed: ", "dim"), isolate(other, language)))
            line(_evidence(step.row), "dim")
        if step.table in ("selected", "corrected"):
            line(_decision(step.row))
        if (name := step.row["lineage"]) and step.table != "selected":
            line(f"model {name}: {models.get(name, 'not among data/lineage any more')}", "dim")
        if step.table != "predicted":
            before = text
    if not story.steps:
        line("no table has it yet; run `dvc repro`")


def to_json(story: Story) -> str:
    """The whole story as JSON, with all columns."""
    return json.dumps(asdict(story), ensure_ascii=False, indent=2, allow_nan=False)
