"""ILT against its control arms, at equal optimiser steps, each arm run in a clone of its own.

    python benchmarks/arms.py demo
    python benchmarks/arms.py human-digits --manifest PATH/manifest.jsonl

Every arm is the same `dvc repro` with other parameters. The result, in the form of summary.json with the
arms and the paired bootstrap of ILT over each arm beside it, goes to benchmarks/results/NAME.json.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from clones import ROOT, cloned, repro
from ilt.evaluation.assess import compare
from ilt.params import merged, read_params
from ilt.paths import write_json
from ilt.tools.experiments.ablation.arms import arm_values, last_iteration
from ilt.tools.machine import machine

ARMS = {
    "ilt": "ilt3", "single": "one_long", "half": "one_half", "continue": "continue",
    "no_pseudo": "reset_no_pseudo", "unfiltered": "unfiltered",
}  # fmt: skip
"""The arms of `ilt ablate` (docs/ablation.md) that can be run, by their name here."""


def values_of(name: str, corpus: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    """params.yaml of an arm."""
    values = merged(merged(read_params(ROOT / "params.yaml"), corpus), overrides)
    return arm_values(ARMS[name], values, values["seed"], 1.0)


def run_arm(values: dict[str, Any], name: str, folder: Path) -> Path:
    """Run one arm in a clone below `folder`, or go on in the one that is there; returns the clone."""
    clone = cloned(folder, name, values)
    # A single LoRA is the same model in every iteration, so that the first says it all.
    last = last_iteration(values)
    repro(clone, *([] if last == list(values["iterations"])[-1] else [f"evaluate@{last}"]))
    return clone


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=["demo", "human-digits"])
    parser.add_argument("--manifest", type=Path, help="of human-digits")
    parser.add_argument("--arms", default="ilt,single,half", help=f"of {','.join(ARMS)}")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override for all arms")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--keep", type=Path, help="a folder for the clones, kept, so that a run can be resumed")
    args = parser.parse_args()
    corpus: dict[str, Any] = {}
    if args.name == "human-digits":
        if args.manifest is None:
            parser.error("human-digits needs --manifest")
        reference = args.manifest.resolve().with_name("pool_reference.jsonl")
        sources = {
            "source": "manifest",
            "manifest": str(args.manifest.resolve()),
            "pool_reference": str(reference),
        }
        corpus = {"corpus": sources}
    overrides: dict[str, Any] = {}
    for pair in args.set:
        key, value = pair.split("=", 1)
        for part in reversed(key.split(".")):
            value = {part: yaml.safe_load(value) if isinstance(value, str) else value}
        overrides = merged(overrides, value)
    arms = args.arms.split(",")
    result: dict[str, Any] = {"machine": machine(), "overrides": args.set, "arms": {}}
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        values = {arm: values_of(arm, corpus, overrides) for arm in arms}
        clones = {arm: run_arm(values[arm], arm, folder.resolve()) for arm in arms}
        if "ilt" in clones:
            result |= json.loads((clones["ilt"] / "data/metrics/summary.json").read_text(encoding="utf-8"))
            ours = pl.read_parquet(clones["ilt"] / "data/iterations/it3/predictions.parquet")
        for arm, clone in clones.items():
            if arm == "ilt":
                continue
            last = last_iteration(values[arm])
            found = json.loads((clone / f"data/iterations/{last}/evaluation.json").read_text(encoding="utf-8"))
            if "ilt" in clones:
                theirs = pl.read_parquet(clone / f"data/iterations/{last}/predictions.parquet")
                found["ilt_over_this"] = compare(theirs, ours, "basic", 2000, 1)
            result["arms"][arm] = found
            print(arm, found["test"]["micro"], found.get("ilt_over_this"))
    write_json(args.output or ROOT / "benchmarks" / "results" / f"{args.name}.json", result, sort_keys=False)


if __name__ == "__main__":
    main()
