"""`ilt ablate`: run what is missing of the arms, and write down what came of them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ilt.ablation.file import AblationFile, read_ablation_file
from ilt.ablation.results import Outcome, outcome_of, summarise
from ilt.ablation.running import Run, is_done, planned, queue, run
from ilt.ablation.show import to_markdown
from ilt.errors import IltError
from ilt.evaluation.scoring import rate
from ilt.experiments import experiments
from ilt.machine import machine
from ilt.params import read_params
from ilt.paths import read_json, replacing, write_json

__all__ = ["run_ablation"]

RESULTS = Path("benchmarks") / "results"
PAGE = Path("docs") / "RESULTS.md"


def _extra(file: AblationFile, data: list[str], manifest: Path | None) -> dict[str, dict[str, Any]]:
    """The manifest for data sets that want one. Raises IltError where it is missing."""
    wanting = [name for name in data if file.data.get(name, {}).get("corpus.source") == "manifest"]
    missing = [name for name in wanting if manifest is None and "corpus.manifest" not in file.data[name]]
    if missing:
        raise IltError(f"{missing[0]} needs --manifest PATH of its manifest")
    if manifest is None:
        return {}
    if not manifest.is_file():
        raise IltError(f"--manifest {manifest}: there is no such file")
    found: dict[str, Any] = {"corpus.manifest": str(manifest.resolve())}
    reference = manifest.resolve().with_name("pool_reference.jsonl")
    if reference.is_file():
        found["corpus.pool_reference"] = str(reference)
    return dict.fromkeys(wanting, found)


def run_ablation(
    path: Path, data: list[str], arms: list[str], manifest: Path | None, queued: bool, only_read: bool
) -> None:
    """Run (or queue) each arm that is not there yet, then write results of all that are.

    Raises IltError for names that do not exist and for runs that fail; what ran before stays.
    """
    file = read_ablation_file(path)
    names = data or list(file.data)
    if not data and manifest is None:
        names = [name for name in names if file.data[name].get("corpus.source") != "manifest"]
    runs = list(planned(file, read_params(), names, _extra(file, names, manifest)))
    known = [one.arm for one in runs]
    if unknown := [arm for arm in arms if arm not in known]:
        raise IltError(f"there is no arm {unknown[0]!r}; there are {', '.join(dict.fromkeys(known))}")
    wanted = [one for one in runs if not arms or one.arm in arms]
    there = experiments()
    found = _Found(file, {one.name: _heard(one) for one in runs if is_done(one, there)})
    missing = [one for one in wanted if one.name not in found.outcomes]
    print(f"{len(wanted) - len(missing)} of {len(wanted)} runs are there")
    for number, one in enumerate([] if only_read else missing, 1):
        if queued:
            queue(one)
            print(f"[{number}/{len(missing)}] {one.name} is in the queue", flush=True)
            continue
        print(f"[{number}/{len(missing)}] {one.name}", flush=True)
        stages = run(one)
        found.outcomes[one.name] = _heard(one)
        result = found.outcomes[one.name][0]
        print(f"  {len(stages)} stages ran; test error {rate(result.errors, result.units):.1%}", flush=True)
        found.write(one.data, runs)
    if queued and missing:
        print("`dvc queue start --jobs 2` runs them; `ilt ablate` then writes the results")
    for name in names:
        found.write(name, runs)


def _heard(one: Run) -> tuple[Outcome, Outcome]:
    """What a run left, and the base as it measured it."""
    return outcome_of(one), outcome_of(one, base=True)


@dataclass(frozen=True)
class _Found:
    """What is there, read once. outcomes: by name of the run, its own and the base's."""

    file: AblationFile
    outcomes: dict[str, tuple[Outcome, Outcome]]

    def write(self, data: str, runs: list[Run]) -> None:
        """Write the results of one data set, and the page; nothing where nothing is there."""
        those = [self.outcomes[one.name] for one in runs if one.data == data and one.name in self.outcomes]
        if not those:
            return
        bases = {base.seed: base for _, base in those}
        file, threads = self.file, os.environ.get("OMP_NUM_THREADS")
        size = {"reduce": file.reduce, "steps": file.steps, "full_learning_rate": file.full_learning_rate}
        told = {
            "machine": machine() | ({"threads": int(threads)} if threads else {}),
            "size": size | {"data": file.data[data]},
            **summarise([*(outcome for outcome, _ in those), *bases.values()]),
        }
        write_json(RESULTS / f"ablation-{data}.json", told, sort_keys=False)
        _write_page(file)


def _write_page(file: AblationFile) -> None:
    """docs/RESULTS.md, from all results that lie in benchmarks/results."""
    parts = []
    for name in file.data:
        path = RESULTS / f"ablation-{name}.json"
        if not path.is_file():
            continue
        found = read_json(path)
        said = yaml.safe_dump(found["size"], sort_keys=False, default_flow_style=None).strip()
        on = ", ".join(f"{key} {value}" for key, value in found["machine"].items())
        parts.append(f"## {name}\n\n{to_markdown(found)}\nOn {on}. Its size:\n\n```yaml\n{said}\n```\n")
    if not parts:
        return
    head = (
        "# Does it pay?\n\nWritten by `ilt ablate` from `benchmarks/results/ablation-*.json`; "
        "[ablation.md](ablation.md) says how. Error rates in %, mean and standard deviation over seeds; "
        "gains in points; all arms have equally many optimiser steps, but for `one_half`.\n"
    )
    with replacing(PAGE) as temporary:
        temporary.write_text("\n".join([head, *parts]), encoding="utf-8")
