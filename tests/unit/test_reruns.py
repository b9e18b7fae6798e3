"""The stages that a changed parameter reruns, for every leaf of the schema: a table that a person can check.

`ILT_UPDATE_SNAPSHOTS=1 pytest tests/unit/test_reruns.py` writes the table again; read the difference before it is
committed.
"""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import Literal, Union, get_args, get_origin

import pytest
import yaml
from pydantic import BaseModel

from ilt.params import Params, TrainParams, check_params
from ilt.params.schema import TRAINING_STAGES
from ilt.stages._stage import ORDER
from ilt.stages.plan import plan_files, resolve

ROOT = Path(__file__).resolve().parents[2]
SNAPSHOT = Path(__file__).with_name("snapshots") / "reruns.txt"

OTHER = {
    "model.id": "data/models/demo-qwen2-audio",
    "model.revision": "abc",
    "model.family": "qwen2_audio",
    "model.prompts": {"en": "Write: "},
    "languages": {"ko": {"from": "it2"}},
    "corpus.pool_reference": "reference.jsonl",
    "corpus.max_duration": 5.0,
    "corpus.demo.languages": ["de", "en"],
    "corpus.demo.source.patterns": ["digits"],
    "corpus.demo.target.patterns": ["digits"],
    "corpus.demo.source.noise_snr": [5.0, 10.0],
    "corpus.demo.source.babble_snr": [5.0, 10.0],
    "corpus.demo.target.noise_snr": [5.0, 10.0],
    "corpus.demo.target.babble_snr": [5.0, 10.0],
    "corpus.demo.replay": 5,
    "mixture.replay_share": 0.2,
    "adapter.mode": "continue",
    "adapter.scope": "per_language",
    "adapter.scale": 0.7,
    "train.learning_rate": 1e-4,
    "train.lora.alpha": 8.0,
    "train.lora.target_modules": ["q_proj"],
    "train.batch_seconds": 60.0,
    "select.keep_by_language": {"ko": 0.7},
    "correct.keep_by_language": {"ko": 0.7},
    "stop.min_gain": 0.005,
    "report.price_per_hour": 2.0,
    "model.decode_batch_seconds": 60.0,
}
"""Values for leaves of which none follows from the type."""

UNREACHABLE = {"corpus.source", "corpus.manifest", "corpus.sources", "iterations", "train.epochs", "train.steps"}
"""Leaves that cannot change alone, or that each iteration of the demo overrides; below, some with what they need."""

TOGETHER = {
    "iterations: one more": {"iterations.it4": {"prev": "it3"}},
    "iterations.it2.focus.steps": {"iterations.it2.focus.steps": 7},
    "iterations.it2.fix.lora.r": {"iterations.it2.fix.lora.r": 4},
    "iterations.it3.feedback.lr_factor": {"iterations.it3.feedback.lr_factor": 0.1},
    "iterations.it3.select.keep": {"iterations.it3.select.keep": 0.1},
    "iterations.it2.correct.keep": {"iterations.it2.correct.keep": 0.1},
    "iterations.it2.label.beams": {"iterations.it2.label.beams": 2},
    "iterations.it1.feedback.gold_share and fix.gold_share: 1": {
        "iterations.it1.feedback.gold_share": 1.0,
        "iterations.it1.fix.gold_share": 1.0,
    },
    "focus.steps (every iteration has its own)": {"focus": {"steps": 9}},
    "correct.enabled: false": {"correct.enabled": False},
    "adapter.mode: single": {"adapter.mode": "single"},
}

MANIFEST = {"corpus.source": "manifest", "corpus.manifest": "m.jsonl"}
OF_A_MANIFEST = ("seed", "train.seed", "corpus.demo.gold", "corpus.cut.pause", "corpus.on_invalid", "corpus.sources")
"""Leaves that are tried with a manifest too: what is the demo's alone changes nothing there."""


def other_value(annotation, value):
    """A value of the same type that differs."""
    options = [annotation]
    while options:
        kind = options.pop(0)
        if get_origin(kind) is Literal:
            return next(choice for choice in get_args(kind) if choice != value)
        options += [one for one in get_args(kind) if one is not type(None)] if get_origin(kind) else []
        if get_origin(kind) in (Union, type(int | None)):
            continue
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, float):
        return value * 0.5 if value else 0.5
    raise AssertionError(f"say in OTHER what to try instead of {value!r}")


def leaves(kind, prefix):
    """Dotted names of the leaves of a model, with annotation and default."""
    for name, field in kind.model_fields.items():
        key = f"{prefix}{name}"
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield from leaves(annotation, f"{key}.")
        else:
            yield key, annotation, field.get_default(call_default_factory=True)


def every_leaf():
    for key, annotation, default in leaves(Params, ""):
        if key == "train":
            yield from leaves(TrainParams, "train.")
        elif key not in TRAINING_STAGES:
            yield key, annotation, default


def with_changes(values, changes):
    values = copy.deepcopy(values)
    for key, value in changes.items():
        *sections, name = key.split(".")
        at = values
        for section in sections:
            at = at.setdefault(section, {})
        at[name] = copy.deepcopy(value)
    return values


def value_at(values, key, default):
    for part in key.split("."):
        if not isinstance(values, dict) or part not in values:
            return default
        values = values[part]
    return values


def files_of(values):
    return plan_files(resolve(check_params(values)))


def stages_of(before, after):
    """The stages whose plans differ: `focus` for all of its iterations, else `focus@it2`."""
    changed = {key for key in {*before, *after} if before.get(key) != after.get(key)}
    named = []
    for stage in ORDER:
        keys = {key for key in {*before, *after} if key.rpartition("/")[2] == stage}
        if keys and keys <= changed:
            named.append(stage)
        else:
            named += [f"{stage}@{key.partition('/')[0]}" for key in sorted(keys & changed)]
    return " ".join(named) or "nothing"


def test_each_parameter_reruns_what_depends_on_it(monkeypatch):
    monkeypatch.chdir(ROOT)
    demo = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    lines = [
        "# The stages whose plan changes with a parameter (demo, three iterations); what comes after them reruns only",
        "# where their outputs change.",
    ]
    cases = {}
    for key, annotation, default in every_leaf():
        if key in UNREACHABLE:
            continue
        value = value_at(demo, key, default)
        cases[key] = {key: OTHER.get(key)} if key in OTHER else {key: other_value(annotation, value)}
        if key == "mixture.replay_share":
            cases[key]["corpus.demo.replay"] = 5
    before = files_of(demo)
    for name, changes in {**cases, **TOGETHER}.items():
        lines.append(f"{name}: {stages_of(before, files_of(with_changes(demo, changes)))}")
    lines.append("# With a manifest:")
    manifest = with_changes(demo, MANIFEST)
    before = files_of(manifest)
    for key in OF_A_MANIFEST:
        changes = cases.get(key, {"corpus.sources": [{"format": "kaldi", "path": "x"}]})
        lines.append(f"{key}: {stages_of(before, files_of(with_changes(manifest, changes)))}")
    text = "\n".join(lines) + "\n"
    if os.environ.get("ILT_UPDATE_SNAPSHOTS"):
        SNAPSHOT.write_text(text, encoding="utf-8")
    assert text == SNAPSHOT.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["ILT_WORKERS", "ILT_DEVICE", "ILT_FEATURE_CACHE_MB"])
def test_settings_of_the_machine_change_no_plan(monkeypatch, name):
    monkeypatch.chdir(ROOT)
    demo = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    before = files_of(demo)
    monkeypatch.setenv(name, "3" if name != "ILT_DEVICE" else "cpu")
    assert files_of(demo) == before
