"""Variants as DVC experiments: run one in a copy of the repository, queue it, forget it, read what it left.

An experiment that is run again keeps its name. Stages whose inputs are the same come from DVC's run cache, so that a
run that was stopped goes on where it was.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from io import StringIO
from pathlib import Path
from typing import Any

import polars as pl
import psutil

from ilt import paths
from ilt.errors import IltError
from ilt.labels.table import PREDICTION_TABLE
from ilt.params import ITERATION_STAGES
from ilt.stages._stage import stage_named
from ilt.tools.revisions import read_json

__all__ = [
    "ExperimentError",
    "commit",
    "experiments",
    "interrupt_on_sigterm",
    "minutes_of",
    "only_one",
    "predictions_of",
    "queue_experiment",
    "remove_experiment",
    "run_experiment",
]

TAIL = 12
"""Lines of output that an error quotes."""

MARK = "ILT_EXPERIMENT"
"""Variable in the environment of all processes of a run: its name."""

COPIES = Path(".dvc") / "tmp" / "exps"
"""Where DVC keeps copies of the repository (`standalone`), and notes whose they are (`run`)."""


class ExperimentError(IltError):
    """An experiment that failed. tail: the end of its output."""

    def __init__(self, name: str, status: int, tail: Sequence[str], log: Path) -> None:
        self.tail = "\n".join(tail)
        where = "" if str(log) == os.devnull else f"; all of it is in {log}"
        super().__init__(f"experiment {name} failed with status {status}{where}. Its last lines:\n{self.tail}")


def interrupt_on_sigterm() -> None:
    """Let `kill` end this process as Ctrl-C does, so that the experiment that it runs ends with it."""

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


@contextmanager
def only_one(path: Path, busy: str) -> Iterator[None]:
    """Hold a lock file, which is free again when this process ends, however it ends.

    Raises IltError that says `busy` where another process holds it.
    """
    from filelock import FileLock, Timeout

    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(path, timeout=0):
            yield
    except Timeout:
        raise IltError(busy) from None


def commit() -> str:
    """Return the commit that the workspace is at; nothing where there is none."""
    done = subprocess.run(["git", "rev-parse", "HEAD"], check=False, capture_output=True, text=True)
    return done.stdout.strip()


def experiments() -> set[str]:
    """Return the names of all experiments, of any commit. Raises IltError outside of a DVC repository."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with redirect_stdout(StringIO()), Repo() as repo:  # it gives advice on .gitignore
            by_commit = repo.experiments.ls(all_commits=True)
    except DvcException as error:
        raise IltError(f"there are no experiments: {error}; run this in the root of the repository") from None
    return {name for names in by_commit.values() for name, _ in names}


def remove_experiment(name: str) -> None:
    """Forget all experiments of a name: those of any commit, queued ones, and what a killed run left behind.

    What their stages made stays in DVC's cache.
    """
    from dvc.repo import Repo
    from dvc.repo.experiments.utils import exp_refs_by_names, remove_exp_refs

    _clear_up(name)
    with redirect_stdout(StringIO()), Repo() as repo:
        # DVC's own `remove` refuses a name that experiments of two commits have.
        remove_exp_refs(repo.scm, exp_refs_by_names(repo.scm, {name})[name])
        queue = repo.experiments.celery_queue
        for entry in [entry for entry in queue.iter_queued() if entry.name == name]:
            queue.remove([entry.stash_rev])


def _clear_up(name: str) -> None:
    """End all processes of an experiment, and remove the copies of the repository that killed runs of it left.

    DVC removes a copy when its run ends by itself, and those of its queue.
    """
    running = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):  # of other people, or gone
            if process.environ().get(MARK) == name and Path(process.cwd()).is_relative_to(Path.cwd()):
                running.append(process)
    for end in (psutil.Process.terminate, psutil.Process.kill):
        for process in running:
            with suppress(psutil.NoSuchProcess):
                end(process)
        running = psutil.wait_procs(running, timeout=10)[1]
    for note in [*COPIES.glob("run/*/*.run"), *COPIES.glob("standalone/run/*/*.run")]:
        with suppress(OSError, ValueError):
            info = json.loads(note.read_text(encoding="utf-8"))
            copy = Path(info["root_dir"]).resolve()
            if info["name"] == name and copy.parent == (COPIES / "standalone").resolve():
                shutil.rmtree(copy, ignore_errors=True)
                shutil.rmtree(note.parent, ignore_errors=True)


def _command(how: str, name: str, overrides: Sequence[str], targets: Sequence[str] = ()) -> list[str]:
    settings = [part for text in overrides for part in ("-S", text)]
    return [sys.executable, "-m", "dvc", "exp", "run", how, "--name", name, *settings, *targets]


def queue_experiment(name: str, overrides: Sequence[str] = ()) -> None:
    """Put an experiment into DVC's queue, for `dvc queue start`; one of this name is replaced.

    Raises IltError where DVC refuses it.
    """
    remove_experiment(name)
    command = _command("--queue", name, overrides)
    done = subprocess.run(command, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        raise IltError(f"{name} cannot be queued: {(done.stdout + done.stderr).strip()[-500:]}")


def run_experiment(
    name: str,
    overrides: Sequence[str] = (),
    targets: Sequence[str] = (),
    log: Path | None = None,
    on_stage: Callable[[str], None] | None = None,
) -> list[str]:
    """Run an experiment in a copy of the repository (`dvc exp run --temp`); return the stages that ran.

    The copy has what git tracks, with changes that are not committed. An experiment of this name is replaced.
    overrides: for `-S`. targets: stages; none: the whole pipeline. log: a file that all output is added to.
    on_stage: called with each stage that begins, unless it comes from the cache.
    Raises ExperimentError where it fails, and IltError where it runs already. Whatever else ends this call ends the
    run with all its processes and removes the copy.
    """
    log = log or Path(os.devnull)
    log.parent.mkdir(parents=True, exist_ok=True)
    stages: list[str] = []
    tail: deque[str] = deque(maxlen=TAIL)
    busy = f"experiment {name} runs already; wait for it, or stop it"
    with only_one(paths.WORK / "experiments" / f"{name}.lock", busy), log.open("a", encoding="utf-8") as file:
        remove_experiment(name)
        process = subprocess.Popen(
            _command("--temp", name, overrides, targets), env=_environment(name), text=True, errors="replace",
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            for line in process.stdout or ():
                file.write(line)
                file.flush()
                if line.strip():
                    tail.append(line.rstrip())
                if match := re.match(r"Running stage '([^']+)'", line):
                    stages.append(match[1])
                    if on_stage is not None:
                        on_stage(match[1])
            status = process.wait()
        except BaseException:
            _clear_up(name)
            raise
    if status:
        raise ExperimentError(name, status, list(tail), log)
    return stages


def _environment(name: str) -> dict[str, str]:
    """Return the environment of a run: the programs of this Python, and the code of the copy where it has some.

    Else the workspace's code would run where that is installed as editable, and it may be edited meanwhile.
    """
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    code = os.pathsep.join(["src", *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, MARK: name, "PATH": path, "PYTHONPATH": code}


def predictions_of(files: Any, iteration: str) -> pl.DataFrame:
    """Return the hypotheses of an iteration's model in an experiment, given its `ilt.tools.revisions.filesystem`.

    Raises FileNotFoundError where the experiment did not come so far.
    """
    with files.open(paths.predictions(iteration).as_posix(), "rb") as file:
        return PREDICTION_TABLE.conform(pl.read_parquet(file))


def minutes_of(files: Any, iterations: Sequence[str]) -> float:
    """Return what the stages of some iterations of an experiment cost when they ran, wherever that was.

    Raises FileNotFoundError where the experiment did not come so far.
    """
    costed = [stage for stage in ITERATION_STAGES if stage_named(stage).costed]
    costs = [read_json(files, paths.costs(iteration, stage)) for iteration in iterations for stage in costed]
    return sum(float(cost["seconds"]) for cost in costs) / 60
