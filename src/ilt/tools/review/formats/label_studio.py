"""Label Studio: tasks with predictions and their labelling configuration out, its JSON export in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ilt.errors import IltError, Problem
from ilt.tools.review.exchange import Answers, Outgoing, named
from ilt.tools.review.formats.clipfiles import Files, clip_name, clips

__all__ = ["files", "read"]

CONFIG = """\
<View>
  <Header value="$language" size="5"/>
  <Audio name="audio" value="$audio" hotkey="ctrl+space"/>
  <Header value="The label before" size="6"/>
  <Text name="before" value="$previous_text"/>
  <Header value="What is said" size="6"/>
  <TextArea name="text" toName="audio" rows="2" maxSubmissions="1" editable="true"/>
  <Choices name="verdict" toName="audio" choice="single-radio" required="true" showInline="true">
    <Choice value="accepted" hotkey="a"/>
    <Choice value="corrected" hotkey="c"/>
    <Choice value="unusable" hotkey="u"/>
  </Choices>
</View>
"""


def files(outgoing: Outgoing, output: Path) -> Files:
    """Return the tasks, and beside them the configuration (.xml) and the folder of clips.

    The sound is named as Label Studio's local storage has it: its Audio tag takes no `data:` URIs
    (HumanSignal/label-studio issue 4736).
    """
    tasks = []
    for number, row in enumerate(outgoing.rows):
        prediction = {
            "from_name": "text",
            "to_name": "audio",
            "type": "textarea",
            "value": {"text": [row.text]},
        }
        data = {
            "audio": f"/data/local-files/?d={clip_name(output, number)}",
            "utterance": row.id,
            "review": outgoing.review,
            "language": row.language,
            "text_before": row.text,
            "previous_text": row.previous_text,
        }
        predictions = [{"model_version": outgoing.iteration, "result": [prediction]}]
        tasks.append({"data": data, "predictions": predictions})
    text = json.dumps(tasks, indent=1, ensure_ascii=False) + "\n"
    return {output: text.encode(), output.with_suffix(".xml"): CONFIG.encode(), **clips(outgoing, output)}


def _reviewer(annotation: dict[str, Any]) -> str:
    """Return who annotated: an e-mail address where the export has it, else the number of the account."""
    by = annotation.get("completed_by")
    if isinstance(by, dict):
        by = by.get("email") or by.get("username") or by.get("id")
    if isinstance(by, int):
        return f"label-studio:{by}"
    return by.strip() if isinstance(by, str) else ""


def _values(annotation: dict[str, Any], name: str, key: str) -> list[str]:
    """Return all values that an annotation gives to one control. Raises ValueError for what is no text."""
    values: list[str] = []
    results = annotation.get("result") or []
    if not isinstance(results, list) or not all(isinstance(result, dict) for result in results):
        raise ValueError(f"its result is {results!r}, expected a list of objects")
    for result in results:
        if result.get("from_name") == name:
            value = result.get("value")
            entries = value.get(key) or [] if isinstance(value, dict) else value
            entries = [entries] if isinstance(entries, str) else entries
            if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
                raise ValueError(f"`{key}` of {name!r} is {entries!r}, expected a list of texts")
            values += entries
    return values


def _annotated(annotation: dict[str, Any]) -> dict[str, str]:
    """Return verdict, text and reviewer of an annotation. Raises ValueError for one that is malformed."""
    verdicts, texts = _values(annotation, "verdict", "choices"), _values(annotation, "text", "text")
    if len(verdicts) > 1 or len(texts) > 1:
        raise ValueError("more than one verdict or text in one annotation; keep one and export again")
    return {"verdict": "".join(verdicts), "text": "".join(texts), "reviewer": _reviewer(annotation)}


def read(tasks: list[Any], name: str) -> Answers:
    """Read Label Studio's JSON export (not JSON-MIN), as parsed. Cancelled annotations count as not reviewed.

    Annotations of a task come oldest first. Raises IltError if it is something else.
    """
    answers = Answers("Label Studio")
    for number, task in enumerate(tasks, 1):
        where = f"{name}: task {number}"
        data = task.get("data") if isinstance(task, dict) else None
        if not isinstance(data, dict):
            hint = "it looks like JSON-MIN; " if isinstance(task, dict) and "utterance" in task else ""
            raise IltError(
                f"{where}: not a task of Label Studio's JSON export: {hint}expected an object with `data` "
                "and `annotations`; export the project as JSON"
            )
        values = data | {"id": data.get("utterance")}
        try:
            for annotation in _annotations(task):
                answers.add(where, values | _annotated(annotation), "was the task made by `ilt review export`?")
        except ValueError as error:
            answers.problems.append(Problem(where, named(values["id"]), f"malformed: {error}"))
    return answers


def _annotations(task: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the annotations that count, oldest first; an empty one where there is none. Raises ValueError."""
    annotations = task.get("annotations", [])
    if not isinstance(annotations, list) or not all(isinstance(entry, dict) for entry in annotations):
        raise ValueError("its annotations are no list of objects")
    kept = [entry for entry in annotations if not entry.get("was_cancelled")]
    return sorted(kept, key=lambda entry: str(entry.get("updated_at") or entry.get("created_at") or "")) or [{}]
