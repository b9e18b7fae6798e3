"""Do exported forms say what the pipeline's own recogniser says? On the dev split of people's digits.

    python benchmarks/export_parity.py --manifest PATH/human-digits/manifest.jsonl

Runs the pipeline on the manifest (or goes on in the clone in --keep), exports its last iteration in every
form with `ilt export`, and decodes dev with each. Figures go to benchmarks/results/export-parity.json;
docs/build/tables.py puts them into docs/export.md as a table.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import polars as pl

from arms import run_arm, values_of
from clones import ROOT
from ilt import paths
from ilt.asr.lineage import read_lineage
from ilt.corpus.table import UTTERANCE_TABLE
from ilt.params import load_params
from ilt.tools.experiments.ablation.arms import last_iteration
from ilt.tools.export.decoding import decode_with_pipeline
from ilt.tools.export.options import RECORD
from ilt.tools.export.parity import measure
from ilt.tools.machine import machine
from ilt.tools.recognisers import iteration_model

FORMS: dict[str, list[str]] = {
    "merged, float32, in `transformers.pipeline`": ["merged"],
    "merged, float16, in `transformers.pipeline`": ["merged", "--dtype", "float16"],
    "adapter, exact, in PEFT": ["adapter"],
    "adapter, rank 64": ["adapter", "--rank", "64"],
    "adapter, rank 32": ["adapter", "--rank", "32"],
    "adapter, rank 16": ["adapter", "--rank", "16"],
    "ctranslate2, float32, in faster-whisper": ["ctranslate2", "--quantization", "float32"],
    "ctranslate2, float16": ["ctranslate2", "--quantization", "float16"],
    "ctranslate2, int8": ["ctranslate2", "--quantization", "int8"],
}
PAGE = ROOT / "docs" / "export.md"
RESULT = ROOT / "benchmarks" / "results" / "export-parity.json"


def exported(iteration: str, options: list[str]) -> dict[str, Any]:
    """Export one form of an iteration's model; return its record, megabytes and seconds."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "exported"
        started = time.monotonic()
        command = [
            "ilt",
            "export",
            iteration,
            "--to",
            *options,
            "--output",
            str(folder),
            "--tolerance",
            "100",
        ]
        subprocess.run(command, check=True)
        size = sum(path.stat().st_size for path in folder.iterdir())
        record: dict[str, Any] = paths.read_json(folder / RECORD)
    kept = {key: record[key] for key in ("rank", "rank_of_all", "error", "worst_error") if key in record}
    seconds = round(time.monotonic() - started, 1)
    return {**record["parity"], **kept, "megabytes": round(size / 1e6, 1), "seconds": seconds}


def references(iteration: str) -> dict[str, dict[str, Any]]:
    """Return how the recogniser differs from itself with other batches, and with its whole context."""
    params, lineage = load_params(), read_lineage(paths.lineage(iteration))
    model = iteration_model(params, iteration)
    dev = UTTERANCE_TABLE.read(paths.UTTERANCES).filter(pl.col("split") == "dev").sort("id")
    ours = decode_with_pipeline(lineage, dev, model, "pipeline")
    rows = {}
    for name, change in (
        ("the pipeline's recogniser, one utterance a batch", {"decode_batch": 1}),
        ("the pipeline's recogniser, `audio_context: full`", {"audio_context": "full"}),
    ):
        theirs = decode_with_pipeline(lineage, dev, model.model_copy(update=change), "pipeline")
        rows[name] = measure(dev, ours, theirs, params.evaluate.normaliser).to_dict()
    return rows


def table(rows: dict[str, dict[str, Any]]) -> list[str]:
    """Return the table of the page, in Markdown."""
    lines = ["| | identical texts | error rate | difference in points | MB | missing of the update |"]
    lines.append("|---|---|---|---|---|---|")
    for name, row in rows.items():
        missing = f"{100 * row['error']:.2f} %" if "error" in row else ""
        lines.append(
            f"| {name} | {100 * row['identical']:.1f} % | {100 * row['exported']:.2f} % | "
            f"{row['points']:+.2f} | {row.get('megabytes', '')} | {missing} |"
        )
    return lines


def tables() -> dict[str, list[str]]:
    """Return the table of `PAGE` by the name of its mark."""
    return {"parity": table(paths.read_json(RESULT)["forms"])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--manifest", type=Path, required=True, help="of human-digits")
    parser.add_argument("--keep", type=Path, help="a folder for the clone, kept, so that a run can be resumed")
    parser.add_argument("--output", type=Path, help="write the figures there")
    args = parser.parse_args()
    manifest = args.manifest.resolve()
    corpus = {
        "corpus": {
            "source": "manifest",
            "manifest": str(manifest),
            "pool_reference": str(manifest.with_name("pool_reference.jsonl")),
        }
    }
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with tempfile.TemporaryDirectory() as temporary:
        folder = (args.keep or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        values = values_of("ilt", corpus, {})
        last = last_iteration(values)
        with contextlib.chdir(run_arm(values, "ilt", folder)):
            rows = references(last) | {name: exported(last, options) for name, options in FORMS.items()}
    result = {"machine": machine(), "forms": rows}
    paths.write_json(args.output or RESULT, result, sort_keys=False)
    print("\n".join(table(rows)))


if __name__ == "__main__":
    main()
