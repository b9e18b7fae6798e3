"""ILT against its control arms, at equal optimiser steps, each arm run in a clone of its own.

    python benchmarks/arms.py demo
    python benchmarks/arms.py human-digits --manifest PATH/manifest.jsonl

Every arm is the same `dvc repro` with other parameters. The result, in the form of summary.json with the
arms and the paired bootstrap of ILT over each arm beside it, goes to benchmarks/results/NAME.json.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from ilt.ablation.arms import arm_values
from ilt.evaluation.assess import compare
from ilt.machine import machine
from ilt.params import merged
from ilt.paths import write_json

ROOT = Path(__file__).resolve().parents[1]

ARMS: dict[str, dict[str, Any]] = {
    "ilt": {},
    "single": {"adapter": {"mode": "single"}},
    "half": {},
    "continue": {"adapter": {"mode": "continue"}},
    "no_pseudo": {"feedback": {"gold_share": 1.0}, "fix": {"gold_share": 1.0}},
    "unfiltered": {"select": {"method": "all"}},
}
"""ilt: the defaults. single: one long LoRA on gold. half: the same for half as many steps, as in
`ilt ablate`. continue: one LoRA trained on and on, no merge-and-reset.
no_pseudo: merge-and-reset on gold alone. unfiltered: all pseudo-labels."""


def run_arm(name: str, corpus: dict[str, Any], overrides: dict[str, Any], folder: Path) -> Path:
    """Run one arm in a clone below `folder`, or go on in the one that is there; returns the clone."""
    clone = folder / name
    if not clone.is_dir():
        _clone(clone, name, corpus, overrides)
    search = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    # A single LoRA is the same model in every iteration, so that the first says it all.
    target = ["evaluate@it1"] if last(name) == "it1" else []
    subprocess.run(["dvc", "repro", *target], cwd=clone, env={**os.environ, "PATH": search}, check=True)
    return clone


def _clone(clone: Path, name: str, corpus: dict[str, Any], overrides: dict[str, Any]) -> None:
    subprocess.run(["git", "clone", "--quiet", "--local", str(ROOT), str(clone)], check=True)
    path = clone / "params.yaml"
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    for part in (corpus, ARMS[name], overrides):
        values = merged(values, part)
    if name == "half":
        values = arm_values("one_half", values, values["seed"], 1.0)
    path.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")


def last(name: str) -> str:
    return "it1" if name in ("single", "half") else "it3"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=["demo", "human-digits"])
    parser.add_argument("--manifest", type=Path, help="of human-digits")
    parser.add_argument("--arms", default="ilt,single,half", help=f"of {','.join(ARMS)}")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override for all arms"
    )
    parser.add_argument("--output", type=Path)
    parser.add_argument(
        "--keep", type=Path, help="a folder for the clones, kept, so that a run can be resumed"
    )
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
        clones = {arm: run_arm(arm, corpus, overrides, folder.resolve()) for arm in arms}
        if "ilt" in clones:
            result |= json.loads((clones["ilt"] / "data/metrics/summary.json").read_text(encoding="utf-8"))
            ours = pl.read_parquet(clones["ilt"] / "data/predictions/it3.parquet")
        for arm, clone in clones.items():
            if arm == "ilt":
                continue
            found = json.loads((clone / f"data/evaluations/{last(arm)}.json").read_text(encoding="utf-8"))
            if "ilt" in clones:
                theirs = pl.read_parquet(clone / f"data/predictions/{last(arm)}.parquet")
                found["ilt_over_this"] = compare(theirs, ours, "basic", 2000, 1)
            result["arms"][arm] = found
            print(arm, found["test"]["micro"], found.get("ilt_over_this"))
    write_json(args.output or ROOT / "benchmarks" / "results" / f"{args.name}.json", result, sort_keys=False)


if __name__ == "__main__":
    main()
