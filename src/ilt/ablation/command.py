"""`ilt ablate`: run what is missing of the arms, and write down what came of them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

from ilt.ablation.file import AblationFile, read_ablation_file
from ilt.ablation.results import Outcome, outcome_of, summarise
from ilt.ablation.running import Run, is_done, planned, queue, run
from ilt.ablation.show import to_markdown
from ilt.errors import IltError
from ilt.machine import machine
from ilt.params import read_params
from ilt.paths import replacing, write_json

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
    done = {one.name: is_done(one) for one in runs}
    missing = [one for one in wanted if not done[one.name]]
    print(f"{len(wanted) - len(missing)} of {len(wanted)} runs are there")
    for number, one in enumerate([] if only_read else missing, 1):
        if queued:
            queue(one)
            print(f"[{number}/{len(missing)}] {one.name} is in the queue", flush=True)
            continue
        print(f"[{number}/{len(missing)}] {one.name}", flush=True)
        stages = run(one)
        done[one.name] = True
        error = outcome_of(one)
        rate = error.errors.sum() / max(1, error.units.sum())
        print(f"  {len(stages)} stages ran; test error {rate:.1%}", flush=True)
        _write(file, names, [each for each in runs if done[each.name]])
    if queued and missing:
        print("`dvc queue start --jobs 2` runs them; `ilt ablate` then writes the results")
    _write(file, names, [each for each in runs if done[each.name]])


def _outcomes(runs: list[Run]) -> list[Outcome]:
    found = [outcome_of(one) for one in runs]
    seen: set[int] = set()
    for one in runs:
        if one.seed not in seen:
            seen.add(one.seed)
            found.append(outcome_of(one, base=True))
    return found


def _write(file: AblationFile, names: list[str], runs: list[Run]) -> None:
    size = {"reduce": file.reduce, "steps": file.steps, "full_learning_rate": file.full_learning_rate}
    threads = os.environ.get("OMP_NUM_THREADS")
    for name in names:
        those = [one for one in runs if one.data == name]
        if those:
            found = summarise(_outcomes(those))
            size_here = size | {"data": file.data[name]}
            on = machine() | ({"threads": int(threads)} if threads else {})
            write_json(
                RESULTS / f"ablation-{name}.json",
                {"machine": on, "size": size_here, **found},
                sort_keys=False,
            )
    _write_page(file)


def _write_page(file: AblationFile) -> None:
    """docs/RESULTS.md, from all results that lie in benchmarks/results."""
    import json

    parts = []
    for name in file.data:
        path = RESULTS / f"ablation-{name}.json"
        if not path.is_file():
            continue
        found = json.loads(path.read_text(encoding="utf-8"))
        said = yaml.safe_dump(found["size"], sort_keys=False, default_flow_style=None).strip()
        on = ", ".join(f"{key} {value}" for key, value in found["machine"].items())
        parts.append(f"## {name}\n\n{to_markdown(found)}\nOn {on}. Its size:\n\n```yaml\n{said}\n```\n")
    if not parts:
        return
    head = (
        "# Does it pay?\n\nWritten by `ilt ablate` from `benchmarks/results/ablation-*.json`; "
        "[ablation.md](ablation.md) says how. Error rates in %, mean and standard deviation over seeds; "
        "gains in points; all arms have equally many optimiser steps.\n"
    )
    with replacing(PAGE) as temporary:
        temporary.write_text("\n".join([head, *parts]), encoding="utf-8")
