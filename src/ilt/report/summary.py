"""What the iterations that have been run came to, in the form of data/metrics/summary.json."""

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


def _entry(found: dict[str, Any]) -> dict[str, Any]:
    entry: dict[str, Any] = {
        split: {key: found[split][key] for key in ("micro", "macro", "unnormalised", "by_language")} for split in SPLITS
    }
    labels = found.get("labels", {})
    entry["labels"] = {key: labels.get(key) for key in LABEL_KEYS} | {
        key: value for key, value in labels.items() if key not in LABEL_KEYS
    }
    zero = {"micro": 0.0, "low": 0.0, "high": 0.0}
    entry["gain"] = found.get("gain", zero)
    entry["gain_over_previous"] = found.get("gain_over_previous", zero)
    entry["train_dev_gap"] = found["train_dev_gap"]
    if "skipped" in found:
        entry["skipped"] = found["skipped"]
    return entry


def summarise(iterations: list[str]) -> dict[str, Any]:
    """The base and these iterations, in their order, from data/evaluations."""
    found = {name: paths.read_json(paths.evaluation(name)) for name in ("base", *iterations)}
    if iterations:
        # Where languages began later, the base was scored on them too: it is compared with the last one.
        found["base"] |= found[iterations[-1]].get("base", {})
    summary = {name: _entry(entry) for name, entry in found.items()}
    ran = [name for name in iterations if not summary[name].get("skipped")]
    expected = expected_after_each([summary[name]["gain_over_previous"]["micro"] for name in ran])
    for name, told in zip(ran, expected, strict=True):
        summary[name]["expected_next"] = told
    return summary


def costs_in(iterations: list[str]) -> dict[str, Any]:
    """By iteration and stage what it cost, from data/costs; what did not run has no entry."""
    result: dict[str, Any] = {}
    for iteration, names in [("base", ("baseline",)), *((it, ITERATION_STAGES) for it in iterations)]:
        files = {name: paths.costs(iteration, name) for name in names}
        result[iteration] = {name: paths.read_json(path) for name, path in files.items() if path.is_file()}
    return result


@dataclass(frozen=True)
class SoFar:
    """summary, costs: of the base and the iterations that have been run; rest: those that have not."""

    summary: dict[str, Any]
    costs: dict[str, Any]
    price_per_hour: float | None
    rest: list[str]


class _Lock:
    """dvc.lock, which DVC writes after each stage: whether what a stage wrote goes with what is above it."""

    def __init__(self) -> None:
        stages: dict[str, Any] = (read_yaml(LOCK, "") or {}).get("stages", {}) if LOCK.is_file() else {}
        self.deps = {
            name: {dep["path"]: dep.get("md5") for dep in stage.get("deps", [])} for name, stage in stages.items()
        }
        self.made = {
            out["path"]: (out.get("md5"), name) for name, stage in stages.items() for out in stage.get("outs", [])
        }
        self.known: dict[str, bool] = {}

    def _as_planned(self, path: str, md5: str | None) -> bool:
        file = Path(path)
        return file.is_file() and hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest() == md5

    def finished(self, stage: str) -> bool:
        """Whether it ran with today's plan and with what the stages above it have written last."""
        if stage not in self.known:
            self.known[stage] = stage in self.deps and all(
                self._as_planned(path, md5)
                if Path(path).is_relative_to(paths.DATA / "plan")
                else path not in self.made or (self.made[path][0] == md5 and self.finished(self.made[path][1]))
                for path, md5 in self.deps[stage].items()
            )
        return self.known[stage]


def so_far() -> SoFar | None:
    """What there is while `dvc repro` still runs, or after it; None where data/ does not hold it.

    An iteration counts when its `evaluate` ran with the plan of now, on what the stages before it wrote last:
    what is left of an earlier run does not. Nor does one that comes after such a one.
    """
    plan = paths.plan("report")
    if not plan.is_file() or not paths.evaluation("base").is_file():
        return None
    told, lock = paths.read_json(plan)["parameters"], _Lock()
    order: list[str] = told["iterations"]
    count = 0
    while count < len(order) and (
        paths.evaluation(order[count]).is_file() and lock.finished(f"evaluate@{order[count]}")
    ):
        count += 1
    done = order[:count]
    return SoFar(summarise(done), costs_in(done), told["price_per_hour"], order[count:])
