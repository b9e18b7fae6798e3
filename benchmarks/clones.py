"""Clones of this repository with other parameters, kept between calls, so that a benchmark can be resumed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from ilt.params import read_params

__all__ = ["ROOT", "cloned", "environment", "repro"]

ROOT = Path(__file__).resolve().parents[1]


def cloned(folder: Path, name: str, values: dict[str, Any], cache: Path | None = None) -> Path:
    """The clone `name` in `folder` whose params.yaml is `values`, made where it is not there.

    cache: of DVC, for clones that share one. Exits where the clone that is there is of other code or
    parameters.
    """
    clone = folder / name
    if clone.is_dir():
        if _code(clone) != _code(ROOT) or read_params(clone / "params.yaml") != values:
            sys.exit(f"{clone} is of other code or parameters: give --keep another folder")
        return clone
    making = folder / f".{name}"
    shutil.rmtree(making, ignore_errors=True)
    subprocess.run(["git", "clone", "--quiet", "--local", str(ROOT), str(making)], check=True)
    (making / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    if cache is not None:
        command = ["dvc", "config", "--local", "cache.dir", str(cache)]
        subprocess.run(command, cwd=making, env=environment(making), check=True)
    making.rename(clone)
    return clone


def repro(clone: Path, *targets: str) -> None:
    """`dvc repro` in a clone, with the clone's own code."""
    subprocess.run(["dvc", "repro", *targets], cwd=clone, env=environment(clone), check=True)


def _code(repository: Path) -> str:
    """Git's hashes of what a run is made from besides params.yaml, as committed."""
    command = ["git", "rev-parse", "HEAD:src", "HEAD:dvc.yaml", "HEAD:data/models/demo-whisper"]
    return subprocess.run(command, cwd=repository, check=True, capture_output=True, text=True).stdout


def environment(clone: Path) -> dict[str, str]:
    """What a command in a clone is to see: the tools of this environment, the clone's own code."""
    search = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": search, "PYTHONPATH": str(clone / "src")}
