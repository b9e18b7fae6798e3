"""Named DVC experiments: run one in a copy of the repository, list them, read what they left.

An experiment that is there already is run again under the same name: stages whose inputs are the same come
from DVC's run cache and do not run, so that a run that was stopped goes on where it was.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import polars as pl
import psutil

from ilt import paths
from ilt.errors import IltError
from ilt.labels.table import PREDICTION_TABLE
from ilt.params import ITERATION_STAGES
from ilt.tools.revisions import filesystem

__all__ = [
    "ExperimentError",
    "Ran",
    "differences",
    "experiments",
    "interrupt_on_sigterm",
    "minutes_of",
    "override",
    "predictions_of",
    "queue_experiment",
    "read_json",
    "remove_experiment",
    "run_experiment",
    "stop_process",
]

TAIL = 12
"""Lines of output that an error quotes."""


def interrupt_on_sigterm() -> None:
    """Let `kill` end this process as Ctrl-C does, so that the experiment that it runs ends with it."""

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


class ExperimentError(IltError):
    """An experiment ended with an error; `tail` is the end of what it printed."""

    def __init__(self, name: str, status: int, tail: Sequence[str], log: Path | None) -> None:
        self.tail = "\n".join(tail)
        where = f"; all of it is in {log}" if log else ""
        super().__init__(f"experiment {name} failed with status {status}{where}. Its last lines:\n{self.tail}")


@dataclass(frozen=True)
class Ran:
    """A finished run. name: of the experiment. stages: those that ran, in order, without cached ones."""

    name: str
    stages: tuple[str, ...]


def differences(before: dict[str, Any], after: dict[str, Any], above: str = "") -> list[str]:
    """Overrides for `dvc exp run -S` that make `after` of `before`: nested sections, `above` in front."""
    found = [f"~{above}{key}" for key in before if key not in after]
    for key, value in after.items():
        old = before.get(key)
        if isinstance(old, dict) and isinstance(value, dict) and old and value:
            found += differences(old, value, f"{above}{key}.")
        elif key not in before or old != value:
            # Set over a section, a section would be merged into it.
            found += [f"~{above}{key}"] if isinstance(old, dict) and old else []
            found.append(override(f"{above}{key}", value))
    return found


def override(key: str, value: Any) -> str:
    """What `dvc exp run -S` takes to set a key of params.yaml, whether it stands there or not.

    value: None, a bool, a number, a string, or lists and dicts of these.
    """
    return f"++{key}={_hydra(value)}"


def _hydra(value: Any) -> str:
    """A value in Hydra's override grammar."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{_hydra(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(_hydra(item) for item in value) + "]"
    escaped = str(value).replace("'", "\\'")
    return f"'{escaped}'"


def experiments() -> set[str]:
    """The names of all experiments, of whatever commit. Raises IltError outside of a DVC repository."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with redirect_stdout(StringIO()), Repo() as repo:  # it gives advice on .gitignore
            found = repo.experiments.ls(all_commits=True)
    except DvcException as error:
        raise IltError(f"there are no experiments: {error}; run this in the root of the repository") from None
    return {name for names in found.values() for name, _ in names}


def remove_experiment(name: str) -> None:
    """Forget all experiments of a name, of whatever commit, queued ones too.

    What their stages made stays in DVC's cache.
    """
    from dvc.repo import Repo
    from dvc.repo.experiments.utils import exp_refs_by_names, remove_exp_refs

    with redirect_stdout(StringIO()), Repo() as repo:
        # DVC's own `remove` refuses a name that experiments of two commits have.
        remove_exp_refs(repo.scm, exp_refs_by_names(repo.scm, {name})[name])
        queue = repo.experiments.celery_queue
        for entry in [entry for entry in queue.iter_queued() if entry.name == name]:
            queue.remove([entry.stash_rev])


def _command(how: str, name: str, overrides: Sequence[str], targets: Sequence[str] = ()) -> list[str]:
    settings = [part for text in overrides for part in ("-S", text)]
    return [sys.executable, "-m", "dvc", "exp", "run", how, "--name", name, *settings, *targets]


def queue_experiment(name: str, overrides: Sequence[str] = ()) -> None:
    """Put an experiment into DVC's queue, for `dvc queue start`; one of this name is replaced.

    Raises IltError where DVC refuses it.
    """
    remove_experiment(name)
    done = subprocess.run(
        _command("--queue", name, overrides), check=False, text=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    if done.returncode:
        raise IltError(f"{name} cannot be queued: {done.stdout.strip()[-500:]}")


def run_experiment(
    name: str,
    overrides: Sequence[str] = (),
    targets: Sequence[str] = (),
    log: Path | None = None,
    started: Callable[[psutil.Process], None] | None = None,
    on_stage: Callable[[str], None] | None = None,
) -> Ran:
    """Run an experiment in a temporary copy of the repository (`dvc exp run --temp`); the workspace stays.

    The copy has what git tracks, with changes that are not committed. An experiment of this name is replaced.
    overrides: for `-S`, see `override`. targets: stages; none: the whole pipeline. log: a file that all
    output is added to. started: is told the process. on_stage: is told each stage that runs.
    Raises ExperimentError where it fails. Whatever else ends this call ends the run with all its processes.
    """
    remove_experiment(name)
    command = _command("--temp", name, overrides, targets)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    # The code of the copy, which DVC hashes, and not that of the workspace, where an editable install points.
    code = os.pathsep.join(["src", *filter(None, [os.environ.get("PYTHONPATH")])])
    if log is not None:
        log.parent.mkdir(parents=True, exist_ok=True)
    stages: list[str] = []
    tail: deque[str] = deque(maxlen=TAIL)
    process = psutil.Popen(
        command, env={**os.environ, "PATH": path, "PYTHONPATH": code}, text=True, errors="replace",
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        if started is not None:
            started(process)
        for line in process.stdout:
            if log is not None:
                with log.open("a", encoding="utf-8") as file:
                    file.write(line)
            if line.strip():
                tail.append(line.rstrip())
            if found := re.match(r"Running stage '([^']+)'", line):
                stages.append(found[1])
                if on_stage is not None:
                    on_stage(found[1])
        status = process.wait()
    finally:
        stop_process(process)
    if status:
        raise ExperimentError(name, status, list(tail), log)
    return Ran(name, tuple(stages))


def stop_process(process: psutil.Process) -> None:
    """End a process and all that it started, if it still runs."""
    try:
        family = [*process.children(recursive=True), process] if process.is_running() else []
    except psutil.NoSuchProcess:
        return
    for one in family:
        try:
            one.terminate()
        except psutil.NoSuchProcess:
            continue
    for one in psutil.wait_procs(family, timeout=10)[1]:
        try:
            one.kill()
        except psutil.NoSuchProcess:
            continue


def read_json(name: str, path: Path) -> Any:
    """A JSON file of an experiment (or any revision), or None where it is not there."""
    try:
        return json.loads(filesystem(name).read_text(path.as_posix(), encoding="utf-8"))
    except FileNotFoundError:
        return None


def predictions_of(files: Any, iteration: str) -> pl.DataFrame:
    """What the model of an iteration said, in an experiment (`ilt.tools.revisions.filesystem`).

    Raises FileNotFoundError where the experiment did not come so far.
    """
    with files.open(paths.predictions(iteration).as_posix(), "rb") as file:
        return PREDICTION_TABLE.conform(pl.read_parquet(file))


def minutes_of(files: Any, iterations: Sequence[str]) -> float:
    """What all stages of some iterations of an experiment cost when they ran, wherever that was.

    Raises FileNotFoundError where the experiment did not come so far.
    """
    costs = [paths.costs(iteration, stage) for iteration in iterations for stage in ITERATION_STAGES]
    read = (json.loads(files.read_text(path.as_posix(), encoding="utf-8")) for path in costs)
    return sum(float(cost["seconds"]) for cost in read) / 60
