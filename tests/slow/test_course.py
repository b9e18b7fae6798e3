"""Every command of docs/course, in order, in a repository with a finished run of a tiny demo."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from conftest import ROOT
from documents import COURSE, Block, blocks
from project import edit_params, environment, make_tiny, new_repository, run

pytestmark = pytest.mark.full

PROGRAMS = {"bash": ["bash", "-euo", "pipefail", "-c"], "python": [sys.executable, "-c"]}
"""How a block is run. A block of another language is shown and not typed."""


def tiny_schedule(values):
    """Three iterations that name what the default's do, so that the same overrides hold; few steps."""
    default = values["iterations"]
    make_tiny(values)
    values["iterations"] = default
    for iteration in default.values():
        for stage in ("focus", "feedback", "fix"):
            iteration[stage]["steps"] = 6


@pytest.fixture(scope="module")
def finished(base_folder, tmp_path_factory):  # noqa: ARG001 - skips where there is no base
    folder = new_repository(tmp_path_factory.mktemp("course") / "repository")
    shutil.copy(ROOT / "params.yaml", folder / "params.yaml")
    edit_params(folder, tiny_schedule)
    for scripts in ("docs/build", "benchmarks"):
        shutil.copytree(ROOT / scripts, folder / scripts, ignore=shutil.ignore_patterns("__pycache__"))
    run(folder, "git", "add", "-A")
    run(folder, "git", "commit", "-qm", "three iterations")
    run(folder, "dvc", "repro")
    return folder


def statuses(block: Block) -> set[int]:
    """The exit statuses that a block may end with: `ilt diff` says 1 where tables differ, as diff does."""
    lines = block.text.strip().splitlines()
    return {0, 1} if len(lines) == 1 and lines[0].startswith("ilt diff ") else {0}


def test_every_command_of_the_course_runs_in_order(finished):
    ran = 0
    for page in COURSE:
        for block in blocks(page):
            if block.language not in PROGRAMS:
                continue
            done = subprocess.run(
                [*PROGRAMS[block.language], block.text],
                cwd=finished, env=environment(), check=False, text=True,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            )  # fmt: skip
            print(f"--- {block.where}\n{block.text}{done.stdout[-2000:]}")
            assert done.returncode in statuses(block), f"{block.where}: {done.stdout[-3000:]}"
            assert done.stdout.strip() or _is_silent(block), f"{block.where} showed nothing"
            ran += 1
    assert ran == sum(block.language in PROGRAMS for page in COURSE for block in blocks(page)) > 30
    assert (finished / ".ilt/course/rank.svg").stat().st_size > 5000
    assert (finished.parent / "colleague/data/iterations/it3/adapters/fix/adapter_model.safetensors").is_file()


def _is_silent(block: Block) -> bool:
    """Whether a block only writes files, or is told to be quiet."""
    return "--quiet" in block.text or "write_csv" in block.text
