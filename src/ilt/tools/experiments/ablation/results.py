"""What came of the arms: error rates by seed, cost, contrasts with intervals, and their page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
import yaml
from pydantic import BeforeValidator, PlainSerializer, model_validator

from ilt.errors import IltError
from ilt.evaluation.figures import interval
from ilt.evaluation.scoring import gain_interval, rate
from ilt.params import Section
from ilt.paths import read_json, replacing
from ilt.tools.experiments.ablation.arms import ARMS, PLAIN
from ilt.tools.experiments.ablation.file import AblationFile

__all__ = ["OURS", "RESULTS", "Outcome", "summarise", "to_markdown", "write_page"]

RESULTS = Path("benchmarks") / "results"
PAGE = Path("docs") / "RESULTS.md"
OURS = "ilt3"
SAMPLES = 2000


Counts = Annotated[
    list[int],
    BeforeValidator(lambda value: [int(count) for count in value.split()] if isinstance(value, str) else value),
    PlainSerializer(lambda counts: " ".join(map(str, counts)), when_used="json"),
]
"""Whole numbers, in JSON as one text with spaces."""


class Outcome(Section):
    """One arm with one seed, on test. errors, units: of each utterance; references: a hash of the true texts.

    dev, retention: micro error rates, None where there are no such utterances. minutes: of all its stages, as long as
    each took where it ran.
    """

    arm: str
    seed: int
    references: str
    errors: Counts
    units: Counts
    dev: float | None
    retention: float | None
    minutes: float

    @model_validator(mode="after")
    def _of_the_same_utterances(self) -> Self:
        if len(self.errors) != len(self.units):
            raise ValueError(f"{len(self.errors)} errors of {len(self.units)} utterances")
        return self

    @property
    def rate(self) -> float:
        """Micro error rate on test."""
        return rate(np.array(self.errors), np.array(self.units))


def _contrast(ours: Sequence[Outcome], theirs: Sequence[Outcome]) -> dict[str, Any]:
    """Return the gain of ours over theirs in micro error rate, over the seeds that both have, with a paired bootstrap.

    Where all seeds share their utterances, an utterance is resampled with all its seeds, since these are not
    independent; where each seed has utterances of its own, all of them are. The interval holds no noise of training,
    of which `by_seed`, the gain with each seed, gives an idea.
    """
    seeds = sorted({one.seed for one in ours} & {one.seed for one in theirs})
    pairs = [[next(one for one in side if one.seed == seed) for side in (ours, theirs)] for seed in seeds]
    same = all(pair[0].references == pairs[0][0].references for pair in pairs)
    join = (lambda parts: np.sum(parts, axis=0)) if same else np.concatenate
    counts = [
        (join([pair[side].errors for pair in pairs]), join([pair[side].units for pair in pairs])) for side in (0, 1)
    ]
    gain = gain_interval(counts[1], counts[0], SAMPLES, 1)
    by_seed = [round(theirs.rate - ours.rate, 6) for ours, theirs in pairs]
    return {"gain": gain["micro"], "low": gain["low"], "high": gain["high"], "seeds": seeds, "by_seed": by_seed}


def summarise(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return JSON-ready results of one data set, all figures fractions, lists by seed.

    arms: by name `test_micro`, `dev_micro`, `retention`, `minutes` and `seeds`. contrasts: of `OURS` with each arm.
    best_plain: the best plain LoRA (`PLAIN`, by mean on dev, over the seeds that all of them have). closed: the share
    of the distance between that one and the oracle that `OURS` closes, None without both.
    """
    by_arm: dict[str, list[Outcome]] = {}
    for one in sorted(outcomes, key=lambda one: one.seed):
        by_arm.setdefault(one.arm, []).append(one)
    order = [name for name in ("base", *ARMS) if name in by_arm]
    arms: dict[str, dict[str, Any]] = {
        name: {
            "test_micro": [round(one.rate, 6) for one in by_arm[name]],
            "dev_micro": [one.dev for one in by_arm[name]],
            "retention": [one.retention for one in by_arm[name]],
            "minutes": [one.minutes for one in by_arm[name]],
            "seeds": [one.seed for one in by_arm[name]],
        }
        for name in order
    }
    ours = by_arm.get(OURS, [])
    contrasts = {
        f"{OURS}-vs-{name}": _contrast(ours, by_arm[name])
        for name in order
        if name != OURS and {one.seed for one in ours} & {one.seed for one in by_arm[name]}
    }
    best = _best_plain(by_arm) if ours else None
    closed = _closed(contrasts.get(f"{OURS}-vs-{best}"), contrasts.get(f"{OURS}-vs-oracle"))
    return {"arms": arms, "contrasts": contrasts, "best_plain": best, "closed": closed}


def _best_plain(by_arm: dict[str, list[Outcome]]) -> str | None:
    """Return the best plain LoRA by mean on dev, over the seeds that all of them have; None where there are none."""
    plain = [name for name in PLAIN if name in by_arm and all(one.dev is not None for one in by_arm[name])]
    common = set.intersection(*({one.seed for one in by_arm[name]} for name in plain)) if plain else set()

    def on_dev(name: str) -> float:
        return float(np.mean([one.dev for one in by_arm[name] if one.seed in common]))

    return min(plain, key=on_dev) if common else None


def _closed(gained: dict[str, Any] | None, oracle: dict[str, Any] | None) -> float | None:
    if not gained or not oracle or gained["gain"] <= oracle["gain"] or oracle["seeds"] != gained["seeds"]:
        return None
    return round(gained["gain"] / (gained["gain"] - oracle["gain"]), 4)


def _spread(values: list[float | None]) -> str:
    """Return mean and standard deviation over seeds, in percent."""
    known = [100 * value for value in values if value is not None]
    if not known:
        return ""
    deviation = f" ± {np.std(known, ddof=1):.1f}" if len(known) > 1 else ""
    return f"{np.mean(known):.1f}{deviation}"


def _sentences(summary: dict[str, Any]) -> list[str]:
    lines = []
    rivals = {name.removeprefix(f"{OURS}-vs-"): one for name, one in summary["contrasts"].items()}
    above = " but the oracle" if rivals.pop("oracle", None) else ""
    behind = [f"`{name}`" for name, one in rivals.items() if one["low"] <= 0]
    if behind:
        lines.append(
            f"`{OURS}` has no clear advantage over (the interval holds 0 or lies below it): {', '.join(behind)}."
        )
    elif rivals.keys() - {"base"}:
        lines.append(f"`{OURS}` is ahead of all of these{above} with its interval clear of 0.")
    if missing := [f"`{name}`" for name in ARMS if name not in summary["arms"]]:
        lines.append(f"Not run yet, so that nothing above speaks of them: {', '.join(missing)}.")
    if summary["best_plain"]:
        share = summary["closed"]
        closed = f"; of the distance from there to the oracle, `{OURS}` closes {100 * (share or 0):.0f} %"
        lines.append(f"The best plain LoRA, by dev, is `{summary['best_plain']}`{'' if share is None else closed}.")
    return lines


def to_markdown(summary: dict[str, Any]) -> str:
    """Return a table and what follows from it, for one data set."""
    rows = [
        f"| arm | what it is | seeds | test | dev | retention | minutes | gain of `{OURS}` over it [95 %] | by seed |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, arm in summary["arms"].items():
        what = "the base as it is" if name == "base" else ARMS[name][0]
        contrast = summary["contrasts"].get(f"{OURS}-vs-{name}")
        gain = interval(contrast) if contrast else ""
        by_seed = ", ".join(f"{100 * one:+.1f}" for one in (contrast or {}).get("by_seed", []))
        minutes = f"{np.mean(arm['minutes']):.1f}" if name != "base" else ""
        rates = [_spread(arm[key]) for key in ("test_micro", "dev_micro", "retention")]
        cells = [f"`{name}`", what, str(len(arm["seeds"])), *rates, minutes, gain, by_seed]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join([*rows, "", *_sentences(summary)]) + "\n"


HEAD = (
    "# Does it pay?\n\nWritten by `ilt ablate` from `benchmarks/results/ablation-*.json`; "
    "[ablation.md](ablation.md) says how. Error rates in %, mean and standard deviation over seeds; "
    "gains in points; all arms have equally many optimiser steps, but for `one_half`. Checkpoints, "
    "calibration and the best plain LoRA are chosen on dev. Minutes are of machines that were busy with "
    "other things to different degrees: read no ratio below two from them.\n"
)


def write_page(file: AblationFile) -> None:
    """Write docs/RESULTS.md, from all results of its data sets in benchmarks/results.

    Raises IltError for one that cannot be read, as git's conflicts.
    """
    parts = []
    for name in file.data:
        path = RESULTS / f"ablation-{name}.json"
        if path.is_file():
            summary = _read_result(path)
            size = yaml.safe_dump(summary["size"], sort_keys=False, default_flow_style=None).strip()
            on = "; and on ".join(
                ", ".join(f"{key} {value}" for key, value in machine.items()) for machine in summary["machines"]
            )
            parts.append(f"## {name}\n\n{to_markdown(summary)}\nOn {on}. Its size:\n\n```yaml\n{size}\n```\n")
    if parts:
        with replacing(PAGE) as temporary:
            temporary.write_text("\n".join([HEAD, *parts]), encoding="utf-8")


def _read_result(path: Path) -> dict[str, Any]:
    try:
        summary: dict[str, Any] = read_json(path, "machines", "size", "arms", "contrasts")
    except IltError:
        raise IltError(
            f"{path} is no result of the ablation; delete it, and `ilt ablate --read` makes it anew"
        ) from None
    return summary
