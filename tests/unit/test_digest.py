"""Digest of the code that decides a result: what is in it, and what is not."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import ilt
from ilt import digest
from ilt.digest import DECIDES_NOTHING, closure, code_digest
from ilt.params import load_params
from ilt.stages._stage import ORDER, stage_named
from ilt.stages.plan import plan_files, resolve

PACKAGE = Path(ilt.__file__).parent
ROOT = PACKAGE.parents[1]


@pytest.fixture(scope="module")
def plans():
    """Every stage of the demo's first iteration with its plan."""
    resolved = resolve(load_params(ROOT / "params.yaml").model_copy())
    stages = [stage_named(name) for name in ORDER[1:]]
    return [(stage, stage.resolve(resolved, "it1" if stage.iterated else "base")) for stage in stages]


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A copy of the package that digests are taken of, to edit."""
    copy = shutil.copytree(PACKAGE, tmp_path / "ilt", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(digest, "ROOT", copy)
    return copy


@pytest.fixture(scope="module", autouse=True)
def _in_the_repository():
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        yield


def digests(plans):
    return {stage.name: stage.code(plan) for stage, plan in plans}


def modules_of(stage, plan):
    return closure([stage.module, *plan.chosen_modules()])


def edit(package, module, text):
    path = package.joinpath(*module.split(".")[1:])
    path = path.with_suffix(".py") if path.with_suffix(".py").is_file() else path / "__init__.py"
    path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")


def test_an_edit_of_any_module_changes_the_stages_that_it_can_change_and_no_others(plans, package):
    before = digests(plans)
    members = {stage.name: set(modules_of(stage, plan)) for stage, plan in plans}
    for module in sorted(set().union(*members.values())):
        edit(package, module, "\n_EDITED = 1\n")
        after = digests(plans)
        changed = {name for name in before if after[name] != before[name]}
        assert changed == {name for name in members if module in members[name]}, module
        before = after


def test_comments_docstrings_and_layout_change_nothing(package):
    source = package / "labels" / "voting.py"
    before = code_digest("ilt.stages.correct")
    text = source.read_text(encoding="utf-8")
    text = text.replace('"""The winning units', '"""Return the winning units', 1).replace("\n\n\n", "\n\n# note\n\n\n")
    source.write_text(text + '\n"""A lone string."""\n', encoding="utf-8")
    assert code_digest("ilt.stages.correct") == before
    source.write_text(text + "\nprint('x')\n", encoding="utf-8")
    assert code_digest("ilt.stages.correct") != before


@pytest.mark.parametrize(
    "path",
    ["asr/brand_new.py", "asr/new_family/recogniser.py", "labels/rules/new.py", "corpus/formats/new.py", "a.txt"],
)
def test_a_new_file_that_nothing_uses_changes_nothing(plans, package, path):
    before = digests(plans)
    (package / path).parent.mkdir(exist_ok=True)
    (package / path).write_text("VALUE = 1\n", encoding="utf-8")
    assert digests(plans) == before


@pytest.mark.parametrize(
    ("module", "entry"),
    [
        ("ilt.asr.families", '        "new": "ilt.asr.new:New",\n'),
        ("ilt.labels.rules", '        "new": "ilt.labels.rules.new:RULE",\n'),
        ("ilt.corpus.formats", '        "new": "ilt.corpus.formats.new:open_source",\n'),
    ],
)
def test_a_new_entry_of_a_registry_changes_nothing(plans, package, module, entry):
    before = digests(plans)
    path = package.joinpath(*module.split(".")[1:])
    path = path.with_suffix(".py") if path.with_suffix(".py").is_file() else path / "__init__.py"
    text = path.read_text(encoding="utf-8")
    assert "    {\n" in text
    path.write_text(text.replace("    {\n", "    {\n" + entry, 1), encoding="utf-8")
    assert digests(plans) == before


def test_what_is_not_chosen_is_not_in_the_closure(plans):
    members = {stage.name: set(modules_of(stage, plan)) for stage, plan in plans}
    every = set().union(*members.values())
    assert "ilt.asr.whisper.recogniser" in members["label"]
    assert not [name for name in every if "qwen2" in name or "kaldi" in name or name.startswith("ilt.tools")]
    assert "ilt.labels.rules.calibrated" in members["select"]
    assert "ilt.labels.rules.oracle" not in members["select"]
    assert "ilt.demo.corpus" in members["corpus"] and "ilt.demo.corpus" not in members["label"]


def test_each_training_watches_its_own_module_and_the_decoder_of_audio(plans):
    members = {stage.name: set(modules_of(stage, plan)) for stage, plan in plans}
    for name in ("focus", "feedback", "fix"):
        assert {f"ilt.stages.{name}", "ilt.stages._train", "ilt.corpus.audio", "ilt.corpus.intake"} <= members[name]
    assert "ilt.labels.table" in members["select"]
    reached = {name for name, modules in members.items() if "ilt.corpus.audio" in modules}
    assert {"corpus", "baseline", "focus", "label", "feedback", "correct", "fix", "predict"} <= reached


def test_data_files_that_decide_are_in_the_digest(plans, package):
    before = digests(plans)
    phrases = package / "labels" / "phrases" / "en.txt"
    phrases.write_text(phrases.read_text(encoding="utf-8") + "thanks for nothing\n", encoding="utf-8")
    after = digests(plans)
    assert {name for name in before if after[name] != before[name]} == {"label", "correct"}


def test_modules_that_decide_nothing_exist_and_are_few():
    for module in DECIDES_NOTHING:
        path = PACKAGE.parent.joinpath(*module.split("."))
        assert path.with_suffix(".py").is_file() or (path / "__init__.py").is_file(), module
    assert len(DECIDES_NOTHING) < 20


def runs(python):
    return subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0


def test_every_version_of_python_has_the_same_digest():
    """The digests of this repository under another Python, where one is installed."""
    others = [path for v in ("3.11", "3.12", "3.13", "3.14") if (path := shutil.which(f"python{v}"))]
    others = [path for path in others if f"{sys.version_info[0]}.{sys.version_info[1]}" not in path and runs(path)]
    if not others:
        pytest.skip("no second version of Python is installed")
    code = (
        "import sys, types, importlib.util as u; sys.modules['ilt'] = types.ModuleType('ilt');"
        f"s = u.spec_from_file_location('ilt.digest', {str(PACKAGE / 'digest.py')!r}); m = u.module_from_spec(s);"
        "s.loader.exec_module(m); print(m.code_digest('ilt.stages.correct', 'ilt.asr.whisper.recogniser'))"
    )
    ours = code_digest("ilt.stages.correct", "ilt.asr.whisper.recogniser")
    for other in others:
        told = subprocess.run([other, "-c", code], capture_output=True, text=True, check=True)
        assert told.stdout.strip() == ours, other


def test_planning_takes_no_torch_and_little_time():
    code = "import sys; from ilt.stages.plan import resolve, plan_files; from ilt.params import load_params;"
    code += "plan_files(resolve(load_params())); print('torch' in sys.modules, 'transformers' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert told.stdout.split() == ["False", "False"]


def test_the_plan_of_a_stage_holds_its_parameters_and_its_code():
    files = plan_files(resolve(load_params(ROOT / "params.yaml")))
    assert set(files["it1/focus"]) == {"parameters", "code"}
    assert files["it1/focus"]["code"] != files["it1/label"]["code"]
    assert files["it1/label"]["code"] == files["it2/label"]["code"]
