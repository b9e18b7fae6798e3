"""A tiny project in a repository of its own, and commands run in it as a user runs them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]


def environment():
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    who = {f"GIT_{who}_{what}": "tester@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    return {**os.environ, "PATH": path, **who}


def run(folder, *command, status=0):
    """Run a command in a repository, which must end with this status; what it printed."""
    done = subprocess.run(
        command, cwd=folder, env=environment(), check=False, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert done.returncode == status, done.stdout
    return done.stdout


def stages_run(output):
    """The stages that a DVC run executed; `plan` and `sources` run every time and are not counted."""
    return set(re.findall(r"Running stage '([^']+)'", output)) - {"plan", "sources"}


def edit_params(folder, change):
    path = folder / "params.yaml"
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    change(values)
    path.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")


def make_tiny(values):
    """Change params.yaml to a run of seconds: two languages, a few utterances, a few steps."""
    counts = {"gold": 6, "pool": 12, "dev": 8, "test": 6, "retention": 4, "replay": 0}
    values["corpus"]["demo"] |= {"languages": ["de", "ko"], **counts}
    values["mixture"]["replay_share"] = 0.0
    values["train"] |= {"steps": 6, "batch_size": 4, "evaluations": 3, "learning_rate": 1e-4}
    values["select"] |= {"keep": 0.8, "max_expected_error": 1.0, "min_rows": 6}
    values["correct"] |= {"keep": 0.8, "max_expected_error": 1.0}
    values["evaluate"]["bootstrap"] = 100
    values["iterations"] = {
        "it1": {"prev": "base"},
        "it2": {"prev": "it1", "fix": {"lora": {"r": 8}}},
    }


def new_repository(folder):
    """Make a project with `ilt init --demo`, as tiny as `make_tiny` says."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    run(folder.parent, "ilt", "init", folder.name, "--demo")
    edit_params(folder, make_tiny)
    run(folder, "git", "commit", "-qam", "tiny")
    return folder


def locked_hashes(folder):
    """What dvc.lock says of every output but those that hold timings: costs, and the report."""
    lock = yaml.safe_load((folder / "dvc.lock").read_text(encoding="utf-8"))
    outs = [out for stage in lock["stages"].values() for out in stage.get("outs", [])]
    return {out["path"]: out["md5"] for out in outs if not re.search("costs|^data/report$", out["path"])}
