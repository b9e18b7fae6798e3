"""What all stages share: arguments, errors without a traceback, costs, a folder to resume from."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import resource
import shutil
import sys
import threading
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

import ilt
from ilt import paths
from ilt.errors import IltError
from ilt.params import TRAINING_STAGES
from ilt.stages._seed import stage_seed

__all__ = ["Stage", "run_stage"]

Section = TypeVar("Section", bound=BaseModel)

TICK = 10.0
"""Seconds between two notes of how long a stage has run."""

DECIDES = ("asr", "corpus", "evaluation", "labels", "stages", "training")
"""Packages of ilt whose code decides what a stage makes."""


@functools.cache
def _code() -> tuple[Path, ...]:
    own = Path(ilt.__file__).parent
    return tuple(sorted(path for name in DECIDES for path in (own / name).rglob("*.py")))


@dataclass
class Stage:
    """One run of one stage."""

    name: str
    iteration: str
    values: dict[str, Any]
    notes: dict[str, Any] = field(default_factory=dict)
    _work: list[Path] = field(default_factory=list)
    _spent_before: float = 0.0
    _ended: threading.Event = field(default_factory=threading.Event)
    _clocks: list[threading.Thread] = field(default_factory=list)

    def section(self, name: str, kind: type[Section]) -> Section:
        """A section of the resolved parameters."""
        return kind.model_validate(self.values[name])

    @property
    def seed(self) -> int:
        """A seed of this stage's own, from the global one."""
        return stage_seed(self.values["seed"], self.iteration, self.name)

    def work(self, *inputs: Path, also: str = "") -> Path:
        """A folder for checkpoints and shards, named by parameters, code, what is in `inputs`, and `also`.

        A killed run finds it again only if nothing that matters changed. It is removed at the end.
        """
        digest = hashlib.sha256(json.dumps([self.values, also], sort_keys=True).encode())
        for path in [*_code(), *inputs]:
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        folder = paths.WORK / "work" / f"{self.iteration}-{self.name}-{digest.hexdigest()[:16]}"
        folder.mkdir(parents=True, exist_ok=True)
        self._work.append(folder)
        self._keep_time(folder)
        return folder

    def _keep_time(self, folder: Path) -> None:
        """Note now and then how long the stage has run, so that costs know of the time of a killed run."""
        file = folder / "spent.json"
        before = float(paths.read_json(file)["seconds"]) if file.is_file() else 0.0
        began = time.monotonic()

        def note() -> None:
            while not self._ended.wait(TICK) and folder.is_dir():
                with suppress(OSError):  # worth no failed stage
                    paths.write_json(file, {"seconds": round(before + time.monotonic() - began, 1)})

        self._spent_before = max(self._spent_before, before)
        self._clocks.append(threading.Thread(target=note, daemon=True))
        self._clocks[-1].start()

    def finish(self, seconds: float | None) -> None:
        """Write the costs, unless `seconds` is None, and drop what was only for a restart.

        seconds: of this run; what runs took that were killed before it is added.
        """
        self._ended.set()
        for clock in self._clocks:
            clock.join()
        if seconds is not None:
            seconds += self._spent_before
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            costs = {"seconds": round(seconds, 2), "peak_memory_mb": round(peak, 1), **self.notes}
            paths.write_json(paths.costs(self.iteration, self.name), costs)
        for folder in self._work:
            shutil.rmtree(folder, ignore_errors=True)


def _check_code() -> None:
    """Raise IltError where the modules that run are not those of the repository that the stage runs in.

    An experiment runs in a copy of the repository, whose code DVC hashes, while an editable install is that
    of the workspace, where somebody may have changed it since.
    """
    runs, own = Path(ilt.__file__).parent, Path("src/ilt").resolve()
    if runs == own:
        return
    files = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    loaded = {Path(file) for file in files if file}
    for path in sorted(path for path in loaded if path.is_relative_to(runs)):
        there = own / path.relative_to(runs)
        if there.is_file() and there.read_bytes() != path.read_bytes():
            raise IltError(
                f"{there} is not what runs, {path}: it was changed after this experiment was made. Run it "
                "again; or with its own code: PYTHONPATH=src before `dvc queue start` or `dvc exp run`"
            )


def run_stage(name: str, body: Callable[[Stage], None], iterated: bool = True, costed: bool = True) -> None:
    """Run a stage as a program: `python -m ilt.stages.NAME [ITERATION]`.

    costed: whether the stage has its costs among its outs.
    """
    warnings.filterwarnings("ignore", message=".*gradient_checkpointing.*")  # PEFT asks the old name
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    started = time.monotonic()
    iteration = sys.argv[1] if iterated else "base"
    try:
        path = paths.plan(name, iteration if iterated else None)
        if not path.is_file():
            raise IltError(f"{path} is missing; run `dvc repro`, which starts with the stage `plan`")
        _check_code()
        stage = Stage(name, iteration, paths.read_json(path))
        body(stage)
        _check_code()  # with the modules that were loaded late
        stage.finish(time.monotonic() - started if costed else None)
    except IltError as error:
        print(f"ERROR: {error}", file=sys.stderr)
        sys.exit(1)
    except (RuntimeError, MemoryError) as error:
        if not _is_out_of_memory(error):
            raise
        why = str(error).splitlines()[0] if str(error) else "no memory"
        print(f"ERROR: {name} is out of memory ({why}): {_leaner(name)}", file=sys.stderr)
        sys.exit(1)


def _leaner(name: str) -> str:
    """What a stage that is out of memory could do with."""
    if name in TRAINING_STAGES:
        return (
            "`ilt doctor` says what this machine can hold; a smaller model, model.dtype: bfloat16, and this "
            "stage's lora.r, lora.encoder: false or gradient_checkpointing: true need less"
        )
    if name in ("baseline", "label", "correct", "evaluate"):
        return (
            "`ilt doctor` says what this machine can hold; a smaller model or model.dtype: bfloat16 need less"
        )
    return (
        "it holds tables and audio of the corpus, and no model: give it more memory, or less else to share it"
    )


def _is_out_of_memory(error: RuntimeError | MemoryError) -> bool:
    if isinstance(error, MemoryError):
        return True
    from ilt.asr.device import is_out_of_memory  # late: most stages that fail have not loaded torch

    return is_out_of_memory(error)
