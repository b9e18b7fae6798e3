"""What came of the arms: error rates by seed, cost, and contrasts with intervals."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from ilt.evaluation.scoring import frame_errors, gain_interval, rate
from ilt.params import check_params
from ilt.tools.experiments.ablation.arms import ARMS, PLAIN
from ilt.tools.experiments.ablation.running import Run
from ilt.tools.experiments.dvc import minutes_of, predictions_of
from ilt.tools.revisions import filesystem

__all__ = ["RESULTS", "Outcome", "outcome_of", "summarise"]

RESULTS = Path("benchmarks") / "results"
OURS = "ilt3"
SAMPLES = 2000


@dataclass(frozen=True)
class Outcome:
    """One arm with one seed, on test. errors, units: of each utterance; said: a hash of the references.

    dev, retention: micro error rates, None where there are no such utterances. minutes: of all its stages,
    as long as each took where it ran.
    """

    arm: str
    seed: int
    said: str
    errors: np.ndarray
    units: np.ndarray
    dev: float | None
    retention: float | None
    minutes: float


def outcome_of(run: Run, base: bool = False) -> Outcome:
    """Read an experiment; base: the untouched base, as that experiment measured it."""
    files = filesystem(run.name)
    iteration = "base" if base else run.last
    predictions = predictions_of(files, iteration)
    normaliser = run.values["evaluate"]["normaliser"]
    test = predictions.filter(pl.col("split") == "test").sort("id")
    errors, units = frame_errors(test, "reference", "hypothesis", normaliser)

    def micro(split: str) -> float | None:
        rows = predictions.filter(pl.col("split") == split)
        return round(rate(*frame_errors(rows, "reference", "hypothesis", normaliser)), 6) if len(rows) else None

    said = hashlib.sha256("\n".join(test["reference"]).encode()).hexdigest()
    order = check_params(run.values).ordered_iterations()
    minutes = 0.0 if base else minutes_of(files, order[: order.index(run.last) + 1])
    return Outcome(
        "base" if base else run.arm, run.seed, said, errors, units,
        micro("dev"), micro("retention"), round(minutes, 2),
    )  # fmt: skip


def _contrast(ours: Sequence[Outcome], theirs: Sequence[Outcome]) -> dict[str, Any]:
    """Gain of ours over theirs in micro error rate, over the seeds that both have, with a paired bootstrap.

    Where all seeds share their utterances, an utterance is resampled with all its seeds, since these are not
    independent; where each seed has utterances of its own, all of them are. The interval holds no noise of
    training, of which `by_seed`, the gain with each seed, gives an idea.
    """
    seeds = sorted({one.seed for one in ours} & {one.seed for one in theirs})
    pairs = [[next(one for one in side if one.seed == seed) for side in (ours, theirs)] for seed in seeds]
    same = all(pair[0].said == pairs[0][0].said for pair in pairs)
    join = (lambda parts: np.sum(parts, axis=0)) if same else np.concatenate
    counts = [
        (join([pair[side].errors for pair in pairs]), join([pair[side].units for pair in pairs])) for side in (0, 1)
    ]
    found = gain_interval(counts[1], counts[0], SAMPLES, 1)
    by_seed = [round(rate(b.errors, b.units) - rate(a.errors, a.units), 6) for a, b in pairs]
    bounds = {"gain": found["micro"], "low": found["low"], "high": found["high"]}
    return bounds | {"seeds": seeds, "by_seed": by_seed}


def summarise(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """JSON-ready results of one data set, all figures fractions, lists by seed.

    arms: by name `test_micro`, `dev_micro`, `retention`, `minutes` and `seeds`. contrasts: of `OURS` with
    each arm. best_plain: the best plain LoRA (`PLAIN`, by mean on dev, over the seeds that all of them have).
    closed: the share of the distance between that one and the oracle that `OURS` closes, None without both.
    """
    by_arm: dict[str, list[Outcome]] = {}
    for one in sorted(outcomes, key=lambda one: one.seed):
        by_arm.setdefault(one.arm, []).append(one)
    order = [name for name in ("base", *ARMS) if name in by_arm]
    arms: dict[str, dict[str, Any]] = {
        name: {
            "test_micro": [round(rate(one.errors, one.units), 6) for one in by_arm[name]],
            "dev_micro": [one.dev for one in by_arm[name]],
            "retention": [one.retention for one in by_arm[name]],
            "minutes": [one.minutes for one in by_arm[name]],
            "seeds": [one.seed for one in by_arm[name]],
        }
        for name in order
    }
    result: dict[str, Any] = {"arms": arms, "contrasts": {}, "best_plain": None, "closed": None}
    if OURS not in by_arm:
        return result
    ours = by_arm[OURS]
    shared = {one.seed for one in ours}
    result["contrasts"] = {
        f"{OURS}-vs-{name}": _contrast(ours, by_arm[name])
        for name in order
        if name != OURS and shared & {one.seed for one in by_arm[name]}
    }
    plain = [name for name in PLAIN if name in by_arm and None not in arms[name]["dev_micro"]]
    common = set.intersection(*({one.seed for one in by_arm[name]} for name in plain)) if plain else set()
    if common:

        def on_dev(name: str) -> float:
            return float(np.mean([one.dev for one in by_arm[name] if one.seed in common]))

        best = min(plain, key=on_dev)
        result["best_plain"] = best
        oracle = result["contrasts"].get(f"{OURS}-vs-oracle")
        gained = result["contrasts"].get(f"{OURS}-vs-{best}")
        if oracle and gained and gained["gain"] - oracle["gain"] > 0 and oracle["seeds"] == gained["seeds"]:
            result["closed"] = round(gained["gain"] / (gained["gain"] - oracle["gain"]), 4)
    return result
