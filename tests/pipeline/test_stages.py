"""What all stages share: folders to go on from, and costs that know of killed runs."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest

from ilt.stages import _stage
from ilt.stages._stage import Stage


@pytest.fixture
def stage(tmp_path, monkeypatch):
    """A function that makes a stage, as a process that starts it would, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_stage, "TICK", 0.02)
    made = []

    def make(values=()):
        made.append(Stage("label", "it1", {"seed": 1, **dict(values)}))
        return made[-1]

    yield make
    for one in made:
        one.finish(None)


def test_a_killed_run_is_found_again_only_if_nothing_that_matters_changed(stage, tmp_path, monkeypatch):
    table = tmp_path / "table"
    table.write_text("rows")
    first = stage().work(table)
    assert stage().work(table) == first
    assert stage({"beams": 2}).work(table) != first
    assert stage().work(table, also="another model") != first
    code = tmp_path / "decoding.py"
    code.write_text("# mended")
    monkeypatch.setattr(_stage, "_code", lambda: (code,))
    mended = stage().work(table)
    assert mended != first
    table.write_text("other rows")
    assert stage().work(table) not in (first, mended)


def test_costs_hold_the_time_of_runs_that_were_killed(stage, tmp_path):
    killed = stage()
    folder = killed.work()
    while not (folder / "spent.json").is_file():
        time.sleep(0.01)
    killed._ended.set()  # its process is gone
    killed._clocks[0].join()
    spent = {"seconds": 500.0}
    (folder / "spent.json").write_text(json.dumps(spent))
    after = stage()
    assert after.work() == folder
    after.finish(2.0)
    assert json.loads((tmp_path / "data/iterations/it1/costs/label.json").read_text())["seconds"] == 502.0
    assert not folder.exists()


def test_batches_made_ahead_need_no_descriptor_for_each_utterance():
    """256 utterances a batch and four workers, where a process may open as many files as by default."""
    code = """
import resource
import torch
from ilt.asr.batching import prefetched
resource.setrlimit(resource.RLIMIT_NOFILE, (1024, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
make = lambda number: [torch.full((8,), float(number)) for _ in range(256)]
print(sum(len(batch) for batch in prefetched(make, range(24), workers=4)))
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert told.stdout.strip() == str(24 * 256), told.stderr[-500:]
