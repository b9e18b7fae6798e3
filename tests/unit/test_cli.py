"""The roof of the command line: fast help, a version, one message for an error, and `ilt plan`."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ilt import paths
from ilt.cli import app
from project import new_repository, run


def ilt(*words, folder="."):
    return subprocess.run(
        [sys.executable, "-m", "ilt.cli", *words], cwd=folder, check=False, text=True, capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )  # fmt: skip


@pytest.mark.parametrize("words", ["--help", "--version", "summary --help", "review export --help", "tune --help"])
def test_nothing_heavy_is_imported_to_show_what_there_is(words):
    code = (
        "import sys\nfrom ilt.cli import main\n"
        f"sys.argv = ['ilt', *{words.split()!r}]\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print('heavy:', *sorted({'torch', 'polars', 'numpy', 'transformers', 'dvc'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, text=True, stdout=subprocess.PIPE)
    assert done.stdout.rstrip().endswith("heavy:")


def test_the_version_is_that_of_the_package():
    assert CliRunner().invoke(app, ["--version"]).stdout == f"ilt {version('ilt')}\n"


def test_an_error_is_one_message_that_steers_no_terminal(tmp_path):
    done = ilt("export", "it1", "--to", "merged\x1b]0;x\x07\x9b2J\u202e", "--output", "out", folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("ERROR: ") and "Traceback" not in done.stderr
    assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(done.stderr)


def test_a_message_of_many_lines_keeps_them(tmp_path):
    (tmp_path / "params.yaml").write_text("sed: 1\nmodel: {id: x, speed: 2}\n", encoding="utf-8")
    done = ilt("plan", folder=tmp_path)
    assert done.returncode == 2
    assert [line.split(":")[0] for line in done.stderr.splitlines()[1:]] == ["  model.speed", "  iterations", "  sed"]


@pytest.mark.usefixtures("base_folder")
def test_plan_writes_what_decides_each_stage_and_dvc_lists_what_has_to_run(tmp_path):
    folder = new_repository(tmp_path / "project")
    shown = run(folder, "ilt", "plan")
    assert "Traceback" not in shown
    plan = paths.read_json(folder / paths.plan("focus", "it1"))
    assert set(plan) == {"parameters", "code"} and plan["parameters"]["train"]["steps"] == 6
    status = run(folder, "dvc", "status")
    assert all(f"{stage}:" in status for stage in ("corpus", "focus@it1", "evaluate@it2", "report"))
    assert Path(folder / "data/iterations").exists() is False
