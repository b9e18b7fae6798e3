"""Whether what `ilt tune` found is better than the defaults: the best trials, at full size, on test.

    ilt tune --trials 20           # first, and the default itself: dvc repro
    python benchmarks/tuned.py
    ilt tune show --test --format json > study.json
    python benchmarks/tuned.py --study study.json --trial 1

Runs the settings of the trials that are best on dev, and of those that are named, without the study's
reductions, each as an experiment (`tune-full-NUMBER`; one that is there is read), and compares them on test
with what HEAD's dvc.lock has. --study: a study of another clone. Writes benchmarks/results/tune-demo.json;
docs/build/tables.py puts the table into docs/tune.md.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl

from ilt.evaluation.assess import compare
from ilt.evaluation.figures import interval, percent
from ilt.evaluation.scoring import rates
from ilt.params import read_params
from ilt.paths import read_json, write_json
from ilt.tools.experiments.dvc import experiments, predictions_of, run_experiment
from ilt.tools.machine import machine
from ilt.tools.revisions import filesystem

ROOT = Path(__file__).resolve().parents[1]
PAGE, RESULT = ROOT / "docs" / "tune.md", ROOT / "benchmarks" / "results" / "tune-demo.json"


def _study(path: Path | None) -> dict[str, Any]:
    if path is not None:
        return read_json(path)  # type: ignore[no-any-return]
    shown = subprocess.run(
        ["ilt", "tune", "show", "--test", "--format", "json"], check=True, capture_output=True, text=True
    )
    return json.loads(shown.stdout)  # type: ignore[no-any-return]


def measure(study: dict[str, Any], named: list[int]) -> dict[str, Any]:
    params = read_params()
    normaliser, samples = params["evaluate"]["normaliser"], params["evaluate"]["bootstrap"]
    finished = [trial for trial in study["trials"] if trial["state"] == "finished"]
    least = min(trial["error"] for trial in finished)
    wanted = [trial for trial in finished if trial["error"] == least or trial["number"] in named]
    defaults = next((trial for trial in finished if trial["values"] == study["defaults"]), None)
    if defaults is None:
        sys.exit("today's defaults are not among the finished trials; `ilt tune` tries them again")
    if missing := set(named) - {trial["number"] for trial in finished}:
        sys.exit(f"--trial {min(missing)}: no such trial came to its end")
    last = list(params["iterations"])[-1]
    before = predictions_of(filesystem("HEAD"), last)

    def errors(frame: pl.DataFrame) -> dict[str, float]:
        return {
            split: rates(frame.filter(frame["split"] == split), normaliser)["micro"]
            for split in ("dev", "test", "retention")
        }

    full: dict[str, Any] = {"defaults": errors(before), "trials": {}}
    for trial in wanted:
        name = f"tune-full-{trial['number']:04d}"
        if name not in experiments():
            print(name, flush=True)
            run_experiment(name, trial["full_overrides"], on_stage=lambda stage: print(f"  {stage}", flush=True))
        after = predictions_of(filesystem(name), last)
        gain = compare(before, after, normaliser, samples, params["seed"])
        full["trials"][str(trial["number"])] = errors(after) | {"gain_on_test": gain}
    trials = [
        {key: trial.get(key) for key in ("number", "state", "values", "error", "test", "minutes")}
        for trial in study["trials"]
        if trial["state"] in ("finished", "pruned")
    ]
    earlier = read_json(RESULT)["trials"] if RESULT.is_file() else []
    for trial in trials:  # a study outlives its experiments, from which the error on test is read
        same = [one for one in earlier if one | {"test": None} == trial]
        trial["test"] = same[0]["test"] if same else trial["test"]
    return {
        "machine": machine(),
        "reduce": study["reduce"],
        "trials": trials,
        "defaults": defaults["number"],
        "best": study["best"],
        "gain_on_dev_at_reduced_size": study["gain_over_defaults"],
        "front": study["front"],
        "importances": study["importances"],
        "full_size": full,
    }


def table(result: dict[str, Any]) -> list[str]:
    """The table of docs/tune.md."""
    trials = {trial["number"]: trial for trial in result["trials"]}
    full, first = result["full_size"], trials[result["defaults"]]
    lines = [
        "| | dev, reduced | test, reduced | dev, full size | test, full size | gain [95 %] | retention |",
        "|---|" + "---|" * 6,
    ]
    tried = {int(number): found for number, found in full["trials"].items() if int(number) != first["number"]}
    for name, trial, found in (
        ("defaults", first, full["defaults"]),
        *((f"trial {number}", trials[number], found) for number, found in tried.items()),
    ):
        gain = interval(found["gain_on_test"]) if "gain_on_test" in found else ""
        cells = [*map(percent, (trial["error"], trial["test"], found["dev"], found["test"])), gain]
        lines.append(f"| {' | '.join([name, *cells, percent(found['retention'])])} |")
    lines += ["", f"{len(trials)} trials came to an end."]
    if result["best"] == result["defaults"]:
        lines[-1] += " None is better than the defaults on dev."
    for number in tried:
        values = ", ".join(f"{key} {value}" for key, value in trials[number]["values"].items())
        lines.append(f"Trial {number}: {values}.")
    if result["front"]:
        front = (
            f"trial {number} ({percent(trials[number]['error'])} %, {trials[number]['minutes']:.1f} minutes)"
            for number in result["front"]
        )
        lines.append(f"On the Pareto front of error on dev and minutes: {', '.join(front)}.")
    if result["importances"]:
        lines += ["", *_shares(result["importances"])]
    return lines


def _shares(importances: dict[str, dict[str, float]]) -> list[str]:
    """What each parameter explains of the variance of each objective, in percent."""
    objectives = list(importances)
    lines = [
        f"| importance, % | {' | '.join(objectives)} |",
        "|---|" + "--:|" * len(objectives),
    ]
    for name in importances[objectives[0]]:
        cells = [f"{100 * importances[objective].get(name, 0.0):.0f}" for objective in objectives]
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return lines


def tables() -> dict[str, list[str]]:
    """Return the table of `PAGE` by the name of its mark."""
    return {"tuned": table(read_json(RESULT))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", type=Path, help="what `ilt tune show --test --format json` printed")
    parser.add_argument("--trial", type=int, action="append", default=[], help="another one to run at full size")
    args = parser.parse_args()
    result = measure(_study(args.study), args.trial)
    write_json(RESULT, result, sort_keys=False)
    print("\n".join(table(result)))


if __name__ == "__main__":
    main()
