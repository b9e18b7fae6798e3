"""What takes minutes: every model family through every stage, every exported form on people's speech."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))

from families import FAMILIES, STAGES, run

pytestmark = pytest.mark.full

MANIFEST = Path(os.environ.get("ILT_HUMAN_DIGITS", "there is none"))
"""manifest.jsonl of recorded digits, with pool_reference.jsonl beside it; they are not in this repository."""


@pytest.mark.parametrize("name", list(FAMILIES))
def test_a_family_goes_through_every_stage(name):
    found = run(FAMILIES[name])
    assert [stage for stage in STAGES if not found[stage]] == []
    assert all(0 <= rate < 2 for rate in found["test"])


def test_every_exported_form_says_what_the_pipeline_says(tmp_path):
    if not MANIFEST.is_file():
        pytest.skip("ILT_HUMAN_DIGITS names no manifest of recorded digits")
    output = tmp_path / "parity.json"
    subprocess.run(
        [sys.executable, "benchmarks/export_parity.py", "--manifest", MANIFEST, "--output", output],
        cwd=ROOT, check=True,
    )  # fmt: skip
    forms = json.loads(output.read_text(encoding="utf-8"))["forms"]
    assert len(forms) >= 6
    for name, found in forms.items():
        if "rank" not in name:  # a cut rank may cost what it costs
            assert found["points"] < 1.0, name
