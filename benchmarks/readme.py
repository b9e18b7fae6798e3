"""The tables of the READMEs that say what the control arms did, from benchmarks/results/ablation-*.json.

    ilt ablate --read              # first, where records have come in
    python benchmarks/readme.py

Writes between the marks in README.md and README.ja.md.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ilt.evaluation.figures import interval
from ilt.paths import read_json
from pages import put

__all__ = ["NAMES", "PAGES", "rows"]

ROOT = Path(__file__).resolve().parents[1]
PAGES = {"en": ROOT / "README.md", "ja": ROOT / "README.ja.md"}
DATA = ("demo", "human-digits")

HEADS = {
    "en": ("", "demo", "gain [95 %]", "digits", "gain [95 %]"),
    "ja": ("", "デモ", "改善 [95 %]", "数字", "改善 [95 %]"),
}
NAMES = {
    "base": ("base", "ベース"),
    "one_long": ("one long LoRA on gold", "goldだけの一つの長いLoRA"),
    "one_half": ("the same, half as many steps", "同じもの、ステップ数は半分"),
    "one_wide": ("the same, twice the rank", "同じもの、ランクは2倍"),
    "one_gentle": ("the same, half the learning rate", "同じもの、学習率は半分"),
    "full_ft": ("full fine-tuning on gold", "goldだけの全パラメータのファインチューニング"),
    "reset_no_pseudo": ("merge-and-reset on gold", "goldだけのマージとリセット"),
    "continue": ("ILT with one adapter trained on and on", "一つのアダプタを学習し続けるILT"),
    "unfiltered": ("ILT with all labels", "ラベルをすべて使うILT"),
    "logprob": ("ILT with labels by log-probability", "対数確率でラベルを選ぶILT"),
    "no_fix": ("ILT without correct and fix", "correctとfixのないILT"),
    "ilt1": ("ILT, one iteration", "ILT、反復1回"),
    "ilt2": ("ILT, two iterations", "ILT、反復2回"),
    "ilt3": ("**ILT, three iterations**", "**ILT、反復3回**"),
    "ilt5": ("ILT, five iterations", "ILT、反復5回"),
    "gold25": ("ILT, a quarter of gold in a batch", "ILT、バッチの4分の1がgold"),
    "gold75": ("ILT, three quarters of gold in a batch", "ILT、バッチの4分の3がgold"),
    "oracle": (
        "ILT with an oracle that knows which labels are right",
        "どのラベルが正しいかを知っているオラクルつきのILT",
    ),
}
"""The arms in the order of the table, in English and Japanese."""


def _cells(result: dict[str, Any], arm: str) -> list[str]:
    """The mean error over seeds in %, and what full ILT gains over the arm."""
    if arm not in result["arms"]:
        return ["", ""]
    gain = result["contrasts"].get(f"ilt3-vs-{arm}")
    return [
        f"{100 * np.mean(result['arms'][arm]['test_micro']):.1f}",
        interval(gain) if gain else "",
    ]


def rows(language: str) -> list[str]:
    """The lines of the table."""
    results = [read_json(ROOT / "benchmarks" / "results" / f"ablation-{name}.json") for name in DATA]
    lines = [HEADS[language], ["---"] * 5]
    for arm, names in NAMES.items():
        found = [cell for result in results for cell in _cells(result, arm)]
        if any(found):
            lines.append([names[language == "ja"], *found])
    return [f"| {' | '.join(line)} |" for line in lines]


def main() -> None:
    for language, page in PAGES.items():
        put(page, "readme", "ablation", rows(language))


if __name__ == "__main__":
    main()
