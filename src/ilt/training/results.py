"""Results of the trainings of a stage: of a shared one, or of each language's and of all together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ilt.training.jobs import TrainJob

__all__ = ["TrainResult", "report"]


@dataclass(frozen=True)
class TrainResult:
    """Outcome of one training.

    kept_dev_error: error rate on dev of the adapter that was kept, which is that after `kept_step`.
    history:        at each evaluation: step, loss, dev_error, train_error (on the sample of gold).
    dev_units, gold_units: words or characters that these error rates are over.
    """

    steps: int
    kept_step: int
    kept_dev_error: float
    history: list[dict[str, float]]
    trainable_parameters: int
    dev_units: int
    gold_units: int


def report(jobs: Sequence[TrainJob], results: Sequence[TrainResult]) -> dict[str, Any]:
    """Return what a stage says of its trainings: of a shared one, or of each language's and of all together."""
    if jobs[0].language is None:
        return _figures(results[0])
    by_language = {str(job.language): result for job, result in zip(jobs, results, strict=True)}
    units = {name: result.dev_units for name, result in by_language.items()}
    return {
        "steps": sum(result.steps for result in results),
        "kept_step": sum(result.kept_step for result in results),
        "kept_dev_error": _mean({name: result.kept_dev_error for name, result in by_language.items()}, units),
        "trainable_parameters": sum(result.trainable_parameters for result in results),
        "history": _pooled_history(by_language),
        "languages": {
            str(job.language): {
                **{key: value for key, value in _figures(result).items() if key != "trainable_parameters"},
                "gold": len(job.data.gold),
                "pseudo": len(job.data.pseudo),
            }
            for job, result in zip(jobs, results, strict=True)
        },
    }


def _figures(result: TrainResult) -> dict[str, Any]:
    return {key: value for key, value in vars(result).items() if not key.endswith("_units")}


def _mean(values: Mapping[str, float], weights: Mapping[str, int]) -> float:
    total = sum(weights[name] for name in values)
    return round(sum(values[name] * weights[name] for name in values) / max(1, total), 6)


def _pooled_history(results: Mapping[str, TrainResult]) -> list[dict[str, float]]:
    """Return one history of all languages: micro errors after the n-th evaluation of each."""
    dev_units = {name: result.dev_units for name, result in results.items()}
    gold_units = {name: result.gold_units for name, result in results.items()}
    steps = {name: result.steps for name, result in results.items()}
    history = []
    for number in range(max(len(result.history) for result in results.values())):
        entries = {name: result.history[min(number, len(result.history) - 1)] for name, result in results.items()}
        pooled = {
            "step": sum(int(entry["step"]) for entry in entries.values()),
            "dev_error": _mean({name: entry["dev_error"] for name, entry in entries.items()}, dev_units),
        }
        on_gold = {name: entry["train_error"] for name, entry in entries.items() if "train_error" in entry}
        if on_gold:
            pooled["train_error"] = _mean(on_gold, gold_units)
        if all("loss" in entry for entry in entries.values()):
            pooled["loss"] = _mean({name: entry["loss"] for name, entry in entries.items()}, steps)
        history.append(pooled)
    return history
