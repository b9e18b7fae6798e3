"""What all stages share: folders to go on from, and costs that know of killed runs."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest

from ilt.params import LabelParams, RecogniserParams
from ilt.stages import _stage
from ilt.stages._stage import Run
from ilt.stages.label import STAGE, LabelPlan


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A function that makes a run of `label`, as a process that starts it would, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_stage, "TICK", 0.02)
    made = []

    def make(beams=1, code="digest"):
        plan = LabelPlan(seed=1, prev="base", model=RecogniserParams(id="model"), label=LabelParams(beams=beams))
        made.append(Run(STAGE, "it1", plan, code))
        return made[-1]

    yield make
    for one in made:
        one.finish(None)


def test_a_killed_run_is_found_again_only_if_nothing_that_matters_changed(run, tmp_path):
    table = tmp_path / "table"
    table.write_text("rows")
    first = run().work(table)
    assert run().work(table) == first
    assert run(beams=2).work(table) != first
    assert run().work(table, also="another model") != first
    mended = run(code="of mended code").work(table)
    assert mended != first
    table.write_text("other rows")
    assert run(code="of mended code").work(table) not in (first, mended)


def test_costs_hold_the_time_of_runs_that_were_killed(run, tmp_path):
    killed = run()
    folder = killed.work()
    while not (folder / "spent.json").is_file():
        time.sleep(0.01)
    killed._ended.set()  # its process is gone
    killed._clocks[0].join()
    spent = {"seconds": 500.0}
    (folder / "spent.json").write_text(json.dumps(spent))
    after = run()
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
