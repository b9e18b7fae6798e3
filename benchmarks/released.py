"""What ILT does for a released model on people's speech, from a project whose iterations have been run.

    python benchmarks/released.py PROJECT --model openai/whisper-base --speech "read English of learners"

Adds a row to benchmarks/results/released.json, or replaces the one of the same model and speech; the READMEs show it
(`python docs/build/readme.py`). Nothing runs.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import polars as pl

from ilt import paths
from ilt.tools.machine import machine

RESULT = Path(__file__).resolve().parent / "results" / "released.json"


def measured(project: Path, model: str, speech: str) -> dict[str, Any]:
    """Return the row of a project: errors and gain as fractions, minutes of all stages, utterances by split."""
    summary = paths.read_json(project / paths.SUMMARY)
    costs = paths.read_json(project / paths.METRICS / "costs.json")
    stages = [stage for iteration in costs.values() for stage in iteration.values()]
    last = list(summary)[-1]
    splits = pl.read_parquet(project / paths.UTTERANCES, columns=["split"])["split"].value_counts().sort("split")
    return {
        "model": model,
        "speech": speech,
        "utterances": dict(splits.iter_rows()),
        "base": summary["base"]["test"]["micro"],
        "iterations": {name: entry["test"]["micro"] for name, entry in summary.items() if name != "base"},
        "ilt": summary[last]["test"]["micro"],
        "gain": summary[last]["gain"],
        "minutes": round(sum(stage["seconds"] for stage in stages) / 60, 1),
        "peak_memory_mb": max(stage["peak_memory_mb"] for stage in stages),
        "machine": machine(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("project", type=Path, help="its folder")
    parser.add_argument("--model", required=True, help="what the model is called on its hub")
    parser.add_argument("--speech", required=True, help="what is spoken, in a few words")
    args = parser.parse_args()
    row = measured(args.project, args.model, args.speech)
    rows = paths.read_json(RESULT)["rows"] if RESULT.is_file() else []
    others = [one for one in rows if (one["model"], one["speech"]) != (args.model, args.speech)]
    paths.write_json(RESULT, {"rows": [*others, row]}, sort_keys=False)
    print(row)


if __name__ == "__main__":
    main()
