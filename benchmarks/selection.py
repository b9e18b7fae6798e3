"""What a better choice of labels could win: how wrong the best half of them is, by several rankings.

    ilt ablate --arm ilt3 ...  # first: the experiments that are read
    python benchmarks/selection.py demo=ablate-demo-s1-ilt3 human-digits=ablate-human-digits-s1-ilt3

Reads experiments (or any revisions) in which ILT ran, and for each iteration compares, with what was really
said in the pool, the labels that `select` and `correct` saw: all, and the best half and three quarters of
each language by expected error, by mean log-probability, and by the truth. Nothing runs. Writes
benchmarks/results/selection.json; docs/build/tables.py puts the table into docs/ablation.md.
"""

from __future__ import annotations

import argparse
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from sklearn.metrics import roc_auc_score

from ilt import paths
from ilt.evaluation.scoring import error_counts, rate
from ilt.params import read_params
from ilt.tools.machine import machine
from ilt.tools.revisions import read_columns

ROOT = Path(__file__).resolve().parents[1]
PAGE, RESULT = ROOT / "docs" / "ablation.md", ROOT / "benchmarks" / "results" / "selection.json"
TABLES = ("selected", "corrected")
SHARES = (0.5, 0.75)


def _best(score: np.ndarray, languages: np.ndarray, share: float) -> np.ndarray:
    """Whether a row is among the best `share` (lowest score) of its language."""
    chosen = np.zeros(len(score), dtype=bool)
    for language in np.unique(languages):
        rows = np.flatnonzero(languages == language)
        chosen[rows[np.argsort(score[rows], kind="stable")[: round(share * len(rows))]]] = True
    return chosen


def judged(table: pl.DataFrame, truth: pl.DataFrame, normaliser: str) -> dict[str, Any]:
    """Of the pool rows of a label table: error rates by ranking and share, and the area under the ROC curve.

    truth: `id` and `text` as it was said. auc: the chance that a label with an error is ranked behind one
    without.
    """
    pool = table.filter(pl.col("split") == "pool").join(truth.select("id", said="text"), on="id").sort("id")
    languages = pool["language"].to_numpy()
    errors, units = error_counts(pool["said"].to_list(), pool["text"].to_list(), pool["language"].to_list(), normaliser)
    scores = {
        "expected error": pool["expected_error"].to_numpy(),
        "log-probability": -pool["avg_logprob"].to_numpy(),
        "truth": errors / np.maximum(1, units),
    }
    found: dict[str, Any] = {"all": round(rate(errors, units), 6), "rows": len(pool)}
    for name, score in scores.items():
        best = {share: _best(score, languages, share) for share in SHARES}
        found[name] = {
            **{str(share): round(rate(errors[at], units[at]), 6) for share, at in best.items()},
            "auc": round(float(roc_auc_score(errors > 0, score)), 4),
        }
    return found


def measure(revision: str, normaliser: str) -> dict[str, Any]:
    """By iteration and table, what `judged` says."""
    truth = read_columns(paths.POOL_REFERENCE, revision)
    if truth is None:
        raise SystemExit(f"{revision}: nothing ran there, or what was said in the pool is not known")
    found: dict[str, Any] = {}
    for number in count(1):
        iteration = f"it{number}"
        tables = {name: read_columns(paths.labels(iteration, name), revision) for name in TABLES}
        if any(one is None for one in tables.values()):
            break
        found[iteration] = {name: judged(one, truth, normaliser) for name, one in tables.items()}
    if not found:
        raise SystemExit(f"{revision} has no label tables of it1: name a run of `ilt ablate --arm ilt3`")
    return found


def table(result: dict[str, Any]) -> list[str]:
    """The table of docs/ablation.md."""
    head = ["labels of", "all", *(f"best {100 * share:.0f} % by {name}" for share in SHARES for name in
            ("expected error", "log-probability", "truth")), "AUC"]  # fmt: skip
    lines = [head, ["---"] * len(head)]
    for data, iterations in result["data"].items():
        for iteration, tables in iterations.items():
            for name, one in tables.items():
                cells = [f"{data}, {iteration}, `{'select' if name == 'selected' else 'correct'}`",
                         f"{100 * one['all']:.1f}"]  # fmt: skip
                cells += [
                    f"{100 * one[by][str(share)]:.1f}"
                    for share in SHARES
                    for by in ("expected error", "log-probability", "truth")
                ]
                cells.append(f"{one['expected error']['auc']:.2f} ({one['log-probability']['auc']:.2f})")
                lines.append(cells)
    return ["| " + " | ".join(line) + " |" for line in lines]


def tables() -> dict[str, list[str]]:
    """Return the table of `PAGE` by the name of its mark."""
    return {"selection": table(paths.read_json(RESULT))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="NAME=REVISION")
    given = parser.parse_args().runs
    if wrong := [run for run in given if "=" not in run]:
        parser.error(f"{wrong[0]}: expected NAME=REVISION")
    runs = dict(run.split("=", 1) for run in given)
    normaliser = read_params()["evaluate"]["normaliser"]
    result = {
        "machine": machine(),
        "revisions": runs,
        "data": {name: measure(revision, normaliser) for name, revision in runs.items()},
    }
    paths.write_json(RESULT, result, sort_keys=False)
    print("\n".join(table(result)))


if __name__ == "__main__":
    main()
