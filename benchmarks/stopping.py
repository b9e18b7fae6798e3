"""Two iterations more than the default has, run to the end and stopped by `stop.min_gain`.

    python benchmarks/stopping.py             # in a project whose default has been run: only it4 and it5 run
    python benchmarks/stopping.py --min-gain 0.005

Two experiments, `stopping-off` and `stopping-on`, that differ in `stop.min_gain` alone. Writes
benchmarks/results/stopping.json; docs/build/tables.py puts the table into docs/method.md.
"""

from __future__ import annotations

import argparse
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

from ilt import paths
from ilt.evaluation.assess import compare
from ilt.evaluation.figures import interval, percent
from ilt.params import read_params
from ilt.report.forecast import expected_after_each
from ilt.tools.experiments.dvc import minutes_of, predictions_of, run_experiment
from ilt.tools.experiments.overrides import override
from ilt.tools.machine import machine
from ilt.tools.revisions import filesystem

ROOT = Path(__file__).resolve().parents[1]
PAGE, RESULT = ROOT / "docs" / "method.md", ROOT / "benchmarks" / "results" / "stopping.json"
RUNS = ("off", "on")


def _read(name: str, evaluate: dict[str, Any], seed: int) -> dict[str, Any]:
    """Each iteration of an experiment: test error, what it gained on dev and test, minutes, why it passed."""
    files = filesystem(name)
    summary = json.loads(files.read_text(paths.SUMMARY.as_posix(), encoding="utf-8"))
    found: dict[str, Any] = {}
    order = list(summary)
    for before, iteration in pairwise(order):
        entry = summary[iteration]
        earlier, later = predictions_of(files, before), predictions_of(files, iteration)
        on_dev = compare(earlier, later, evaluate["normaliser"], evaluate["bootstrap"], seed, "dev")
        found[iteration] = {
            "test": entry["test"]["micro"],
            "gain_on_test": entry["gain_over_previous"],
            "gain_on_dev": on_dev,
            "minutes": round(minutes_of(files, [iteration]), 2),
            **{key: entry[key] for key in ("skipped",) if key in entry},
        }
    return found


def measure(min_gain: float) -> dict[str, Any]:
    params = read_params()
    last = list(params["iterations"])[-1]
    number = int(last.removeprefix("it"))
    more = [f"it{number + 1}", f"it{number + 2}"]
    chain = [
        override(f"iterations.{name}", {"prev": before}) for name, before in zip(more, [last, *more], strict=False)
    ]
    result: dict[str, Any] = {"machine": machine(), "min_gain": min_gain, "runs": {}}
    for run in RUNS:
        name = f"stopping-{run}"
        limit = [override("stop.min_gain", min_gain)] if run == "on" else []
        stages = run_experiment(name, [*chain, *limit], on_stage=lambda stage: print(f"  {stage}", flush=True))
        print(f"{name}: {len(stages)} stages ran", flush=True)
        result["runs"][run] = _read(name, params["evaluate"], params["seed"])
    return result


def table(result: dict[str, Any]) -> list[str]:
    """The table of docs/method.md."""
    limit = f"{100 * result['min_gain']:g}"
    off, on = (result["runs"][run] for run in RUNS)
    lines = [
        f"| | test | gain on test | one more: expected | gain on dev | minutes | with `min_gain` of {limit} points |",
        "|---|" + "---|" * 6,
    ]
    expected = expected_after_each([entry["gain_on_test"]["micro"] for entry in off.values()])
    for (name, entry), more in zip(off.items(), expected, strict=True):
        skipped = on[name].get("skipped")
        told = f"skipped in {60 * on[name]['minutes']:.0f} s" if skipped else "runs"
        gains = [interval(entry[key]) for key in ("gain_on_test", "gain_on_dev")]
        gains.insert(1, "not known" if more["gain"] is None else f"{100 * more['gain']:+.1f}")
        cells = [name, percent(entry["test"]), *gains, f"{entry['minutes']:.1f}", told]
        lines.append(f"| {' | '.join(cells)} |")
    why = next((entry["skipped"] for entry in on.values() if "skipped" in entry), None)
    return [
        *lines,
        "",
        f"With the limit, the summary says: *{why}*." if why else "The limit stopped nothing.",
    ]


def tables() -> dict[str, list[str]]:
    """Return the table of `PAGE` by the name of its mark."""
    return {"stopping": table(paths.read_json(RESULT))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--min-gain", type=float, default=0.0, help="of stopping-on, a fraction")
    result = measure(parser.parse_args().min_gain)
    paths.write_json(RESULT, result, sort_keys=False)
    print("\n".join(table(result)))


if __name__ == "__main__":
    main()
