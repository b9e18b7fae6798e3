"""Results of the ablation as Markdown."""

from __future__ import annotations

from typing import Any

import numpy as np

from ilt.evaluation.figures import interval
from ilt.tools.experiments.ablation.arms import ARMS
from ilt.tools.experiments.ablation.results import OURS

__all__ = ["to_markdown"]


def _spread(values: list[float | None]) -> str:
    """Mean and standard deviation over seeds, in percent."""
    known = [100 * value for value in values if value is not None]
    if not known:
        return ""
    deviation = f" ± {np.std(known, ddof=1):.1f}" if len(known) > 1 else ""
    return f"{np.mean(known):.1f}{deviation}"


def _sentences(found: dict[str, Any]) -> list[str]:
    lines = []
    contrasts = found["contrasts"]
    rivals = {name.removeprefix(f"{OURS}-vs-"): one for name, one in contrasts.items()}
    above = " but the oracle" if rivals.pop("oracle", None) else ""
    behind = [name for name, one in rivals.items() if one["low"] <= 0]
    if rivals.keys() - {"base"} or behind:
        lines.append(
            f"`{OURS}` has no clear advantage over (the interval holds 0 or lies below it): "
            f"{', '.join(f'`{name}`' for name in behind)}."
            if behind
            else f"`{OURS}` is ahead of all of these{above} with its interval clear of 0."
        )
    if missing := [f"`{name}`" for name in ARMS if name not in found["arms"]]:
        lines.append(f"Not run yet, so that nothing above speaks of them: {', '.join(missing)}.")
    if found["best_plain"]:
        closed = "" if found["closed"] is None else (
            f"; of the distance from there to the oracle, `{OURS}` closes {100 * found['closed']:.0f} %"
        )  # fmt: skip
        lines.append(f"The best plain LoRA, by dev, is `{found['best_plain']}`{closed}.")
    return lines


def to_markdown(found: dict[str, Any]) -> str:
    """A table and what follows from it, for one data set."""
    rows = [
        f"| arm | what it is | seeds | test | dev | retention | minutes | gain of `{OURS}` over it [95 %] | by seed |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, arm in found["arms"].items():
        what = "the base as it is" if name == "base" else ARMS[name][0]
        contrast = found["contrasts"].get(f"{OURS}-vs-{name}")
        gain = interval(contrast) if contrast else ""
        by_seed = ", ".join(f"{100 * one:+.1f}" for one in (contrast or {}).get("by_seed", []))
        minutes = f"{np.mean(arm['minutes']):.1f}" if name != "base" else ""
        cells = [f"`{name}`", what, str(len(arm["seeds"])), _spread(arm["test_micro"]),
                 _spread(arm["dev_micro"]), _spread(arm["retention"]), minutes, gain, by_seed]  # fmt: skip
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join([*rows, "", *_sentences(found)]) + "\n"
