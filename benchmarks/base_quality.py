"""How good is the base, unadapted? Clean source-domain speech in voices it never heard, and people's digits.

    python benchmarks/base_quality.py [--human-digits PATH/manifest.jsonl] [--base FOLDER] [--write]

`--write` puts the result into benchmarks/results/base-quality.json, or FOLDER's name in place of `base`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import polars as pl

from ilt.asr.batching import Batching
from ilt.asr.families import load_recogniser
from ilt.asr.features import FeatureStore
from ilt.asr.lineage import base_lineage
from ilt.asr.transcribe import Decoding, transcribe_table
from ilt.corpus.formats.manifest import Manifest
from ilt.corpus.importing import Limits, import_rows
from ilt.corpus.table import UTTERANCE_TABLE
from ilt.demo.corpus import demo_corpus
from ilt.evaluation.scoring import rates
from ilt.params import RecogniserParams, load_params
from ilt.paths import write_json
from ilt.tools.machine import machine

PER_LANGUAGE = 60


def measure(rows: pl.DataFrame, model: RecogniserParams) -> dict[str, object]:
    """Rates of the base on rows that have a text."""
    recogniser = load_recogniser(base_lineage(model.id, model.revision), model)
    table = UTTERANCE_TABLE.conform(rows)
    store = FeatureStore(table, recogniser.extractor, 0)
    heard = transcribe_table(recogniser, table, store, Decoding(Batching(model.decode_batch)))
    return rates(table.rename({"text": "reference"}).with_columns(hypothesis=heard["text"]), "basic")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--human-digits", type=Path)
    parser.add_argument("--base", help="a model folder; the default is the one in params.yaml")
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    params = load_params()
    model = RecogniserParams(**params.model.model_dump() | ({"id": args.base} if args.base else {}))
    counts = {"gold": 1, "pool": 1, "dev": 1, "test": 1, "retention": PER_LANGUAGE}
    rows, _ = demo_corpus(params.corpus.demo.model_copy(update=counts), seed=987, max_duration=6.0)
    result: dict[str, object] = {"machine": machine()}
    result["source, clean, unheard voices"] = measure(rows.filter(pl.col("split") == "retention"), model)
    if args.human_digits:
        found = import_rows(Manifest(args.human_digits).rows(), Limits(0.1, 6.0))
        people = found.table().filter(pl.col("split") == "test")
        result["human-digits test"] = measure(people, model)
    for name, rate in result.items():
        if isinstance(rate, dict) and "micro" in rate:
            print(f"{name}: micro {rate['micro']:.1%}", {k: f"{v:.1%}" for k, v in rate["by_language"].items()})
    if args.write:
        name = Path(args.base).name if args.base else "base"
        write_json(Path(f"benchmarks/results/{name}-quality.json"), result)


if __name__ == "__main__":
    main()
