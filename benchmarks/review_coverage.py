"""Measure the coverage of the interval of `ilt review estimate`, by simulated audits of simulated labels.

    python benchmarks/review_coverage.py [--audits 1000] [--seed 1] [--write]

The interval ought to hold the truth in 95 % of the audits. Each setting draws twenty populations and audits
each many times, with the project's own sampling and estimator. `--write` puts the result into
benchmarks/results/review-coverage.json.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from ilt.paths import write_json
from ilt.tools.review.audit import draw
from ilt.tools.review.ratio import stratified_rate

__all__ = ["SETTINGS", "Setting", "coverage"]

POPULATIONS = 20


class Setting(NamedTuple):
    """languages, rows: of the selected labels; budget: rows audited.

    wrong: true error rate of all labels; spoilt: share of wrong words in a label that is not perfect.
    """

    languages: int
    rows: int
    budget: int
    wrong: float
    spoilt: float


SETTINGS = [
    Setting(languages, rows, budget, wrong, spoilt)
    for languages, rows, budget in (
        (2, 200, 60), (2, 1200, 60), (2, 1200, 100), (2, 10_000, 300),
        (5, 600, 60), (5, 1500, 100), (5, 1500, 300),
        (10, 1000, 60), (10, 1300, 100), (10, 1300, 300),
    )
    for wrong, spoilt in ((0.03, 0.3), (0.08, 0.3), (0.15, 0.5))
]  # fmt: skip
"""At 3 % wrong words with 30 % of them in a spoilt label, nine labels of ten are perfect."""


def population(rng: np.random.Generator, setting: Setting) -> pl.DataFrame:
    """Return selected labels with their true `errors`, and expected errors that are roughly right.

    Languages differ in size and in how wrong they are; labels have 1 to 8 words.
    """
    share = rng.uniform(0.6, 1.4, setting.languages)
    sizes = np.maximum(4, np.round(setting.rows * share / share.sum()).astype(int))
    wrong = setting.wrong * rng.uniform(0.3, 1.7, setting.languages)
    language = np.repeat(np.arange(setting.languages), sizes)
    units = rng.integers(1, 9, len(language))
    spoilt = rng.random(len(language)) < np.minimum(0.9, wrong[language] / setting.spoilt)
    rate = np.where(spoilt, rng.beta(4 * setting.spoilt, 4 * (1 - setting.spoilt), len(language)), 0.0)
    logit = np.log(wrong[language] / (1 - wrong[language])) + 1.2 * spoilt + rng.normal(0, 0.8, len(language))
    return pl.DataFrame(
        {
            "id": [f"u{number:05d}" for number in range(len(language))],
            "language": [f"l{number}" for number in language],
            "expected_error": 1 / (1 + np.exp(-logit)),
            "units": units,
            "errors": rng.binomial(units, rate),
        }
    )


def _holds(sample: pl.DataFrame, truth: float) -> tuple[bool, float]:
    """Return true where the interval of a sample holds the truth, and its width."""
    strata = sample.group_by("stratum", maintain_order=True).agg(pl.col("stratum_size").first())
    number = {name: at for at, name in enumerate(strata["stratum"])}
    estimate = stratified_rate(
        strata["stratum_size"].to_numpy().astype(float),
        np.array([number[name] for name in sample["stratum"]]),
        sample["errors"].to_numpy(),
        sample["units"].to_numpy(),
    )
    assert estimate.low is not None and estimate.high is not None
    return estimate.low - 1e-12 <= truth <= estimate.high + 1e-12, estimate.high - estimate.low


def coverage(setting: Setting, audits: int, seed: int = 1) -> dict[str, float]:
    """Return the share of audits whose interval holds the truth, over all languages and of each, and the mean width."""
    rng = np.random.default_rng(seed)
    nobody = pl.Series([], dtype=pl.String)
    overall: list[tuple[bool, float]] = []
    each: list[tuple[bool, float]] = []
    for number in range(audits):
        if number % -(-audits // POPULATIONS) == 0:
            rows = population(rng, setting)
            truth = rows["errors"].sum() / rows["units"].sum()
            by_language = dict(
                rows.group_by("language").agg(pl.col("errors").sum() / pl.col("units").sum()).iter_rows()
            )
        sample = draw(rows, setting.budget, number, nobody)
        overall.append(_holds(sample, truth))
        each += [_holds(part, by_language[part["language"][0]]) for part in sample.partition_by("language")]
    return {
        "overall": round(float(np.mean([held for held, _ in overall])), 4),
        "width": round(float(np.mean([width for _, width in overall])), 4),
        "by_language": round(float(np.mean([held for held, _ in each])), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--audits", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    print("languages  labels  audited  wrong  spoilt   all languages  width   each language")
    results = []
    for setting in SETTINGS:
        held = coverage(setting, args.audits, args.seed)
        inside = "" if 0.93 <= held["overall"] <= 0.97 else "  outside 93 to 97 %"
        print(
            f"{setting.languages:9d} {setting.rows:7d} {setting.budget:8d} {setting.wrong:6.0%} "
            f"{setting.spoilt:7.0%} {held['overall']:15.1%} {held['width']:6.1%} "
            f"{held['by_language']:15.1%}{inside}",
            flush=True,
        )
        results.append(setting._asdict() | held)
    if args.write:
        write_json(
            Path("benchmarks/results/review-coverage.json"),
            {"audits": args.audits, "seed": args.seed, "settings": results},
        )


if __name__ == "__main__":
    main()
