"""Results of the iterations that ran, in the form of data/metrics/summary.json."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ilt import paths
from ilt.params import ITERATION_STAGES, read_yaml
from ilt.report.forecast import expected_after_each
from ilt.report.plots import LABEL_KEYS

__all__ = ["SPLITS", "SoFar", "costs_in", "so_far", "summarise"]

SPLITS = ("test", "dev", "retention")
LOCK = Path("dvc.lock")


def _entry(scores: dict[str, Any]) -> dict[str, Any]:
    labels = scores.get("labels", {})
    nothing = {"micro": 0.0, "low": 0.0, "high": 0.0}
    entry: dict[str, Any] = {
        **{
            split: {key: scores[split][key] for key in ("micro", "macro", "unnormalised", "by_language")}
            for split in SPLITS
        },
        "labels": {key: labels.get(key) for key in LABEL_KEYS} | labels,
        "gain": scores.get("gain", nothing),
        "gain_over_previous": scores.get("gain_over_previous", nothing),
        "train_dev_gap": scores["train_dev_gap"],
    }
    return entry | ({"skipped": scores["skipped"]} if "skipped" in scores else {})


def summarise(iterations: list[str]) -> dict[str, Any]:
    """Return the scores of the base and these iterations, in their order, from their evaluation.json."""
    scores = {name: paths.read_json(paths.evaluation(name), *SPLITS, "train_dev_gap") for name in ("base", *iterations)}
    if iterations:
        # Where languages began later, the base was scored on them too: it is compared with the last one.
        scores["base"] |= scores[iterations[-1]].get("base", {})
    summary = {name: _entry(entry) for name, entry in scores.items()}
    ran = [name for name in iterations if not summary[name].get("skipped")]
    forecasts = expected_after_each([summary[name]["gain_over_previous"]["micro"] for name in ran])
    for name, forecast in zip(ran, forecasts, strict=True):
        summary[name]["expected_next"] = forecast
    return summary


def costs_in(iterations: list[str]) -> dict[str, Any]:
    """Return the costs of the base and these iterations by stage; a stage that did not run has no entry."""
    costs: dict[str, Any] = {}
    for iteration, stages in [("base", ("baseline",)), *((it, ITERATION_STAGES) for it in iterations)]:
        files = {stage: paths.costs(iteration, stage) for stage in stages}
        costs[iteration] = {stage: paths.read_json(path) for stage, path in files.items() if path.is_file()}
    return costs


@dataclass(frozen=True)
class SoFar:
    """Results while `dvc repro` runs. summary, costs: of the base and what has run; rest: iterations that have not."""

    summary: dict[str, Any]
    costs: dict[str, Any]
    price_per_hour: float | None
    rest: list[str]


class _Lock:
    """dvc.lock, which DVC writes after each stage.

    deps: MD5 of each dependency when a stage ran, by stage. outs: MD5 and stage of each output.
    """

    def __init__(self) -> None:
        stages: dict[str, Any] = (read_yaml(LOCK, "") or {}).get("stages", {}) if LOCK.is_file() else {}
        self.deps = {
            name: {dep["path"]: dep.get("md5") for dep in stage.get("deps", [])} for name, stage in stages.items()
        }
        self.outs = {
            out["path"]: (out.get("md5"), name) for name, stage in stages.items() for out in stage.get("outs", [])
        }
        self._current: dict[str, bool] = {}

    def _dep_is_current(self, path: str, md5: str | None) -> bool:
        if Path(path).is_relative_to(paths.DATA / "plan"):
            # `plan` writes all plans at once and at every run, before the stages that it changes: compare this one.
            file = Path(path)
            return file.is_file() and hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest() == md5
        if path not in self.outs:
            return True
        made, stage = self.outs[path]
        return made == md5 and self.is_current(stage)

    def is_current(self, stage: str) -> bool:
        """Return whether a stage ran with its plan as it is, on the last outputs of the stages above it."""
        if stage not in self._current:
            deps = self.deps.get(stage)
            self._current[stage] = deps is not None and all(self._dep_is_current(*dep) for dep in deps.items())
        return self._current[stage]


def so_far() -> SoFar | None:
    """Return the results of what has run, while `dvc repro` runs or after it; None where data/ does not hold them.

    An iteration counts where its `evaluate` ran with the plan as it is, on the last outputs of the stages above
    it: results of an earlier run with other parameters do not count, and neither does an iteration behind them.
    """
    plan = paths.plan("report")
    if not plan.is_file() or not paths.evaluation("base").is_file():
        return None
    parameters, lock = paths.read_json(plan, "parameters")["parameters"], _Lock()
    order: list[str] = parameters["iterations"]
    count = 0
    while count < len(order) and (
        paths.evaluation(order[count]).is_file() and lock.is_current(f"evaluate@{order[count]}")
    ):
        count += 1
    done = order[:count]
    return SoFar(summarise(done), costs_in(done), parameters["price_per_hour"], order[count:])
