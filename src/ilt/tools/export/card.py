"""The model card of an exported model: README.md with a head in YAML, as the Hugging Face hub reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import yaml

from ilt.asr.lineage import AdapterLink
from ilt.evaluation.figures import percent
from ilt.tools.export.parity import Parity
from ilt.tools.export.source import Source

__all__ = ["Card"]

LIBRARIES = {"merged": "transformers", "adapter": "peft", "ctranslate2": "ctranslate2"}
RELATIONS = {"merged": "finetune", "adapter": "adapter", "ctranslate2": "quantized"}
WHAT = {
    "merged": "The base with all adapters of the lineage merged into its weights",
    "adapter": "One LoRA adapter for the untouched base, in place of all adapters of the lineage",
    "ctranslate2": "The base with all adapters of the lineage merged, converted for CTranslate2",
}
SPLITS = ("test", "dev", "retention")


def _times(link: AdapterLink) -> str:
    return "" if link.scale == 1.0 else f" x {link.scale:g}"


def _row(*cells: object) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


@dataclass(frozen=True)
class Card:
    """All that a model card says.

    note: on the form, such as the quantisation or the error of a cut rank.
    advice: for the use of the snippet; may be empty.
    """

    name: str
    form: str
    source: Source
    licence: str
    normaliser: str
    parity: Parity
    note: str
    snippet: str
    advice: str = ""

    def head(self) -> dict[str, Any]:
        """The YAML at the top."""
        wer = self.source.figures["test"]["micro"]
        result = {
            "task": {"type": "automatic-speech-recognition"},
            "dataset": {"name": f"test split, {self.source.data['data'][:16]}", "type": "private"},
        }
        index = []  # nothing, where test has no utterances of the language
        if wer is not None:
            metrics = [{"type": "wer", "value": round(100 * wer, 2)}]
            index = [{"name": self.name, "results": [result | {"metrics": metrics}]}]
        return {
            "base_model": self.source.lineage.id,
            "base_model_relation": RELATIONS[self.form],
            "language": self.source.languages,
            "library_name": LIBRARIES[self.form],
            "license": self.licence,
            "metrics": ["wer"],
            **({"model-index": index} if index else {}),
            "pipeline_tag": "automatic-speech-recognition",
            "tags": ["ilt", "lora", self.source.family.replace("_", "-")],
        }

    def _lineage(self) -> list[str]:
        base = self.source.lineage.content or self.source.lineage.revision
        kind = "content SHA-256" if self.source.lineage.content else "revision"
        rows = [_row("base", f"`{self.source.lineage.id}`", f"{kind} `{base}`")]
        rows += [
            _row(f"adapter {number}", f"`{link.path}`{_times(link)}", f"SHA-256 `{link.hash}`")
            for number, link in enumerate(self.source.lineage.adapters, 1)
        ]
        return [_row("", "what", "hash"), "|---|---|---|", *rows]

    def _metrics(self) -> list[str]:
        rows = [
            _row(split, percent(self.source.figures[split]["micro"]), percent(self.source.figures[split]["macro"]))
            for split in SPLITS
            if self.source.figures[split]["micro"] is not None
        ]
        lines = [_row("split", "micro", "macro"), "|---|---|---|", *rows, ""]
        for key, over in (("gain", "the base"), ("gain_over_previous", "the iteration before")):
            if gain := self.source.figures.get(key):
                lines.append(
                    f"On test, {100 * gain['micro']:+.1f} points better than {over}, 95 % interval "
                    f"[{100 * gain['low']:+.1f}, {100 * gain['high']:+.1f}] (paired bootstrap)."
                )
        return lines

    def _decoder(self) -> str:
        """Return how dev was decoded; see `ilt.tools.export.decoding.decode_exported`."""
        if self.form == "adapter":
            return "over the base in PEFT and decoded by the pipeline's own recogniser, not by the code above"
        if self.form == "merged" and self.source.family != "whisper":
            return "loaded from its folder and decoded by the pipeline's own recogniser"
        return "decoded by the code above"

    def text(self) -> str:
        """The whole file."""
        head = yaml.safe_dump(self.head(), sort_keys=True, allow_unicode=True)
        data = [_row(f"`{name}`", f"`{value}`") for name, value in self.source.data.items() if name != "data"]
        parts = [
            f"---\n{head}---",
            f"# {self.name}",
            f"{WHAT[self.form]}. {self.note}Iteration {self.source.iteration} of ILT (Iterative LoRA Training for "
            f"speech recognition); lineage `{self.source.lineage.hash}`.",
            "## How to load it",
            f"```python\n{self.snippet}\n```",
            *([self.advice] if self.advice else []),
            "## Error rates",
            f"In %, of the pipeline's own recogniser (WER; CER for ko and the like; `{self.normaliser}` normaliser).",
            "\n".join(self._metrics()),
            "## Parity",
            f"This form, {self._decoder()}, beside the pipeline's own recogniser: {self.parity}.",
            "## Lineage",
            "\n".join(self._lineage()),
            "## Data",
            f"Fingerprint `{self.source.data['data']}`, over these tables:",
            "\n".join([_row("table", "SHA-256"), "|---|---|", *data]),
        ]
        return "\n\n".join(parts) + "\n"
