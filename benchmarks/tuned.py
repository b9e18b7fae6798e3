"""Whether what `ilt tune` found is better than the defaults: the best trial, at full size, on test.

    ilt tune --trials 20           # first, and the default itself: dvc repro
    python benchmarks/tuned.py
    ilt tune show --test --format json > study.json
    python benchmarks/tuned.py --study study.json --name NAME

Runs the best trial's settings without the study's reductions as an experiment (`--name`; one that is there is
read), and compares it on test with what HEAD's dvc.lock has. --study: a study of another clone. Writes
benchmarks/results/tune-demo.json and the table in docs/tune.md.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from ilt.evaluation.assess import compare
from ilt.evaluation.scoring import rates
from ilt.experiments import experiments, predictions_of, run_experiment
from ilt.figures import interval, percent
from ilt.machine import machine
from ilt.params import read_params
from ilt.paths import read_json
from ilt.revisions import filesystem
from pages import publish

ROOT = Path(__file__).resolve().parents[1]
PAGE, RESULT = ROOT / "docs" / "tune.md", ROOT / "benchmarks" / "results" / "tune-demo.json"


def _study(path: Path | None) -> dict[str, Any]:
    if path is not None:
        return read_json(path)  # type: ignore[no-any-return]
    shown = subprocess.run(
        ["ilt", "tune", "show", "--test", "--format", "json"], check=True, capture_output=True, text=True
    )
    return json.loads(shown.stdout)  # type: ignore[no-any-return]


def measure(study: dict[str, Any], name: str) -> dict[str, Any]:
    params = read_params()
    normaliser, samples = params["evaluate"]["normaliser"], params["evaluate"]["bootstrap"]
    finished = [trial for trial in study["trials"] if trial["state"] == "finished"]
    best = next(trial for trial in finished if trial["number"] == study["best"])
    defaults = next((trial for trial in finished if trial["values"] == study["defaults"]), None)
    if defaults is None:
        sys.exit("today's defaults are not among the finished trials; `ilt tune` tries them again")
    if name not in experiments():
        run_experiment(name, best["full_overrides"], on_stage=lambda stage: print(f"  {stage}", flush=True))
    last = list(params["iterations"])[-1]
    before, after = (predictions_of(filesystem(revision), last) for revision in ("HEAD", name))

    def errors(split: str) -> dict[str, float]:
        return {
            which: rates(frame.filter(frame["split"] == split), normaliser)["micro"]
            for which, frame in (("defaults", before), ("best", after))
        }

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
        "full_size": {
            **{split: errors(split) for split in ("dev", "test", "retention")},
            "gain_on_test": compare(before, after, normaliser, samples, params["seed"]),
        },
    }


def table(result: dict[str, Any]) -> list[str]:
    """The table of docs/tune.md."""
    trials = {trial["number"]: trial for trial in result["trials"]}
    full, best = result["full_size"], trials[result["best"]]
    lines = [
        "| | dev, reduced | test, reduced | dev, full size | test, full size | retention |",
        "|---|" + "---|" * 5,
    ]
    for name, which, trial in (
        ("defaults", "defaults", trials[result["defaults"]]),
        (f"trial {best['number']}", "best", best),
    ):
        cells = [
            trial["error"],
            trial["test"],
            *(full[split][which] for split in ("dev", "test", "retention")),
        ]
        lines.append(f"| {name} | " + " | ".join(percent(cell) for cell in cells) + " |")
    if result["best"] == result["defaults"]:
        return [
            *lines[:-1],
            "",
            f"None of the {len(trials)} trials that came to an end beat the defaults.",
        ]
    values = ", ".join(f"{key} {value}" for key, value in best["values"].items())
    return [
        *lines,
        "",
        f"Trial {best['number']} of {len(trials)} that came to an end: {values}. Over the defaults it gains "
        f"{interval(result['gain_on_dev_at_reduced_size'])} points on dev at the reduced size, and "
        f"{interval(full['gain_on_test'])} on test at full size.",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--study", type=Path, help="what `ilt tune show --test --format json` printed")
    parser.add_argument("--name", default="tune-demo-full", help="of the experiment at full size")
    args = parser.parse_args()
    result = measure(_study(args.study), args.name)
    publish(RESULT, result, PAGE, "tuned", table(result))


if __name__ == "__main__":
    main()
