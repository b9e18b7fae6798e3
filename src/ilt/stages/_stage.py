"""Stages: what each declares, and how DVC runs one. From the declarations come plan files and dvc.yaml."""

from __future__ import annotations

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
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Generic, TypeVar

from ilt import paths
from ilt.digest import code_digest
from ilt.errors import IltError
from ilt.escapes import visible
from ilt.params import TRAINING_STAGES, Resolved, Section, validated

__all__ = ["ORDER", "Plan", "Run", "Stage", "package_versions", "run_stage", "stage_named"]

ORDER = (
    "plan", "sources", "corpus", "baseline", "evaluate_base",
    "intake", "focus", "label", "select", "feedback", "correct", "fix", "predict", "evaluate",
    "report",
)  # fmt: skip
"""All stages, in the order in which dvc.yaml has them: each is the module of its name in `ilt.stages`."""

TICK = 10.0
"""Seconds between two notes of how long a stage has run."""

RECORDED = ("torch", "transformers", "peft")
"""Packages whose versions are recorded with the costs of a stage: another one may change last digits."""


class Plan(Section):
    """The parameters that decide the result of one run of a stage, and no others.

    skip: why the parameters skip the stage, which then passes on what it was given; null where it runs.
    """

    skip: str | None = None

    def chosen_modules(self) -> tuple[str, ...]:
        """Return the modules of registries that these parameters choose."""
        return ()


P = TypeVar("P", bound=Plan)


@dataclass(frozen=True)
class Stage(Generic[P]):
    """The declaration of one stage.

    plan:     the model of its parameters.
    resolve:  makes a plan from the parameters and the name of the iteration.
    inputs, outputs: paths by the names of the iteration and of the one before it.
    body:     computes the outputs.
    iterated: whether there is one in each iteration.
    always:   whether DVC runs it every time, since it looks at what DVC does not watch.
    costed:   whether its costs are an output.
    metrics:  outputs that git keeps; the first is DVC's metrics file.
    """

    name: str
    plan: type[P]
    resolve: Callable[[Resolved, str], P]
    inputs: Callable[[str, str], list[Path]]
    outputs: Callable[[str, str], list[Path]]
    body: Callable[[Run[P]], None]
    iterated: bool = True
    always: bool = False
    costed: bool = True
    metrics: tuple[Path, ...] = ()
    description: str = ""

    @property
    def module(self) -> str:
        """The module that declares the stage."""
        return f"ilt.stages.{self.name}"

    def code(self, plan: P) -> str:
        """Return the digest of the code that decides the result under these parameters."""
        return code_digest(self.module, *plan.chosen_modules())


def stage_named(name: str) -> Stage[Any]:
    """Return the declaration of a stage; `plan` has none, since nothing decides it but params.yaml."""
    stage: Stage[Any] = import_module(f"ilt.stages.{name}").STAGE
    return stage


def package_versions() -> dict[str, str]:
    """Return the versions of the packages that a result's last digits depend on."""
    known = {}
    for name in RECORDED:
        with suppress(PackageNotFoundError):
            known[name] = version(name)
    return known


@dataclass
class Run(Generic[P]):
    """One run of a stage.

    code:  digest of the code that decides the result.
    notes: what the body adds to the costs.
    """

    stage: Stage[P]
    iteration: str
    plan: P
    code: str
    notes: dict[str, Any] = field(default_factory=dict)
    _work: list[Path] = field(default_factory=list)
    _spent_before: float = 0.0
    _ended: threading.Event = field(default_factory=threading.Event)
    _clocks: list[threading.Thread] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The name of the stage."""
        return self.stage.name

    def work(self, *inputs: Path, also: str = "") -> Path:
        """Return a folder for checkpoints and shards, named by plan, code, the content of `inputs`, and `also`.

        A killed run finds it again only if nothing that matters changed. It is removed at the end.
        """
        named = [self.plan.model_dump(mode="json"), self.code, also]
        digest = hashlib.sha256(json.dumps(named, sort_keys=True).encode())
        for path in inputs:
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        folder = paths.WORK / "work" / f"{self.iteration}-{self.name}-{digest.hexdigest()[:16]}"
        folder.mkdir(parents=True, exist_ok=True)
        self._work.append(folder)
        self._keep_time(folder)
        return folder

    def _keep_time(self, folder: Path) -> None:
        """Note now and then how long the stage has run, so that costs include the time of a killed run."""
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

        seconds: of this run; the time of runs that were killed before it is added.
        """
        self._ended.set()
        for clock in self._clocks:
            clock.join()
        if seconds is not None:
            seconds += self._spent_before
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            costs = {"seconds": round(seconds, 2), "peak_memory_mb": round(peak, 1), **self.notes}
            costs["versions"] = package_versions()
            paths.write_json(paths.costs(self.iteration, self.name), costs)
        for folder in self._work:
            shutil.rmtree(folder, ignore_errors=True)


def planned(stage: Stage[P], iteration: str | None) -> Run[P]:
    """Return the run that the plan file asks for. Raises IltError where it is missing or of other code."""
    path = paths.plan(stage.name, iteration)
    if not path.is_file():
        raise IltError(f"{path} is missing; run `dvc repro`, which starts with the stage `plan`")
    content = paths.read_json(path)
    plan = validated(stage.plan, content.get("parameters"), file=str(path))
    run = Run(stage, iteration or "base", plan, str(content.get("code")))
    check_code(run, "`dvc repro` plans it anew")
    return run


def check_code(run: Run[Any], advice: str) -> None:
    """Raise IltError where the code that decides the result is not the one that was planned."""
    if run.stage.code(run.plan) != run.code:
        raise IltError(
            f"the code that decides {run.name} is another than the plan was made with, so that what it makes "
            f"would be recorded as the work of code that did not run: {advice}"
        )


def run_stage(stage: Stage[Any]) -> None:
    """Run a stage as a program: `python -m ilt.stages.NAME [ITERATION]`.

    Its code is compared with the plan's at the start and at the end: what changes in between is not recorded.
    """
    warnings.filterwarnings("ignore", message=".*gradient_checkpointing.*")  # PEFT asks the old name
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    started = time.monotonic()
    try:
        if stage.iterated and len(sys.argv) != 2:
            raise IltError(f"{stage.name} runs for one iteration: python -m {stage.module} ITERATION, as it1")
        run = planned(stage, sys.argv[1] if stage.iterated else None)
        stage.body(run)
        check_code(run, "the code changed while the stage ran; run `dvc repro` again")
        run.finish(time.monotonic() - started if stage.costed else None)
    except IltError as error:
        print(f"ERROR: {error}", file=sys.stderr)
        sys.exit(1)
    except (RuntimeError, MemoryError) as error:
        if not _is_out_of_memory(error):
            raise
        reason = visible(str(error).splitlines()[0]) if str(error) else "no memory"
        print(f"ERROR: {stage.name} is out of memory ({reason}): {_memory_advice(stage.name)}", file=sys.stderr)
        sys.exit(1)


def _memory_advice(name: str) -> str:
    """Return what helps a stage that is out of memory."""
    doctor = "`ilt doctor` says what this machine can hold; a smaller model, model.dtype: bfloat16"
    if name in TRAINING_STAGES:
        return f"{doctor}, and this stage's lora.r, lora.encoder: false or gradient_checkpointing: true need less"
    if name in ("baseline", "label", "correct", "predict"):
        return f"{doctor} need less"
    return "it holds tables and audio of the corpus, and no model: give it more memory, or less else to share it"


def _is_out_of_memory(error: RuntimeError | MemoryError) -> bool:
    if isinstance(error, MemoryError):
        return True
    from ilt.asr.device import is_out_of_memory  # late: most stages that fail have not loaded torch

    return is_out_of_memory(error)
