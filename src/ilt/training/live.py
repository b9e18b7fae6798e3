"""What a training measures while it runs, in DVCLive's files, for whoever watches it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from dvclive.live import Live

__all__ = ["live_log"]


class _Files(Live):
    """DVCLive that writes files alone.

    The stage runs in DVC as it is and saves no experiment of its own, so there is no reason to spend
    seconds on opening the repository again, or to tell DVC Studio of each training as if it were a run.
    """

    def _init_dvc(self) -> None:
        pass

    def _init_studio(self) -> None:
        pass


def live_log(folder: Path) -> Callable[[int, Mapping[str, float]], None]:
    """A function that writes what a step measured: `plots/metrics/NAME.tsv`, the last in `metrics.json`.

    What an earlier run left in `folder` is removed. `Live.end` is not called: it is for experiments, and
    within `dvc exp run` it would have git track the folder.
    """
    live = _Files(str(folder), dvcyaml=False, save_dvc_exp=False)

    def log(step: int, figures: Mapping[str, float]) -> None:
        live.step = step
        for name, value in figures.items():
            live.log_metric(name, value)
        live.make_summary()

    return log
