"""The command `ilt upgrade`: bring dvc.yaml and params.yaml of an older project to this version of the package."""

from __future__ import annotations

import difflib
import io
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from ilt.errors import IltError
from ilt.escapes import visible
from ilt.params import TRAINING_STAGES, check_params, parse_yaml
from ilt.paths import replacing

__all__ = ["migrated", "run_upgrade"]

GONE = {
    "model": ("files", "workers", "device", "feature_cache_mb"),
    "focus": ("train_evaluation_rows",),
    "feedback": ("train_evaluation_rows",),
    "fix": ("train_evaluation_rows",),
}
"""Keys that no version has any more, by section; the environment says some of them (`ilt.asr.device`)."""

MOVED = {
    ("label", "relevance_neighbours"): ("label", "similarity_neighbours"),
    ("select", "relevance_weight"): ("select", "similarity_weight"),
    ("merge", "scale"): ("adapter", "scale"),
}


def _training_sections(values: Any) -> list[Any]:
    """Return the sections of trainings: of the stages, and of the stages of each iteration."""
    entries = [entry for entry in (values.get("iterations") or {}).values() if isinstance(entry, dict)]
    places = [values, *entries]
    return [place[stage] for place in places for stage in TRAINING_STAGES if isinstance(place.get(stage), dict)]


def _rates(values: Any) -> None:
    """Turn learning rates of stages into factors of one, the highest."""
    sections = [section for section in _training_sections(values) if "learning_rate" in section]
    if not sections:
        return
    highest = max(float(section["learning_rate"]) for section in sections)
    train = values.setdefault("train", {})
    train["learning_rate"] = train.get("learning_rate") or highest
    for section in sections:
        at = list(section).index("learning_rate")
        factor = float(section.pop("learning_rate")) / highest
        section.insert(at, "lr_factor", float(f"{factor:.6g}"))


def migrated(text: str) -> str:
    """Return the text of params.yaml with the keys of this version; comments and order stay.

    Raises IltError for what is not YAML.
    """
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 120
    try:
        values = yaml.load(text)
    except YAMLError as error:
        raise IltError(f"params.yaml is not YAML: {error}") from None
    if not isinstance(values, dict):
        raise IltError("params.yaml holds no sections")
    for place in (values, *(values.get("iterations") or {}).values()):
        for section, names in GONE.items():
            for name in names:
                if isinstance(place.get(section), dict):
                    place[section].pop(name, None)
        for (section, name), (to, new) in MOVED.items():
            if isinstance(place.get(section), dict) and name in place[section]:
                place.setdefault(to, {})[new] = place[section].pop(name)
    if not values.get("merge", True):
        del values["merge"]
    _rates(values)
    out = io.StringIO()
    yaml.dump(values, out)
    return out.getvalue()


def _difference(name: str, old: str, new: str) -> str:
    lines = difflib.unified_diff(
        old.splitlines(keepends=True), new.splitlines(keepends=True), f"{name} (now)", f"{name} (upgraded)", n=1
    )
    return "".join(lines)


def run_upgrade(write: bool, folder: Path = Path()) -> bool:
    """Show what changes, and write it if told to. Returns whether anything differs.

    Raises IltError where there is no project, and where the upgraded parameters are not valid; nothing is written then.
    """
    from ilt.stages._dvc import render

    params, pipeline = folder / "params.yaml", folder / "dvc.yaml"
    if not params.is_file() or not pipeline.is_file():
        raise IltError("there is no params.yaml with a dvc.yaml here; run this in the root of a project")
    old = {params: params.read_text(encoding="utf-8"), pipeline: pipeline.read_text(encoding="utf-8")}
    upgraded = migrated(old[params])
    same = parse_yaml(upgraded, "params.yaml") == parse_yaml(old[params], "params.yaml")
    new = {params: old[params] if same else upgraded, pipeline: render()}
    check_params(parse_yaml(new[params], "params.yaml"))
    changes = {path: _difference(path.name, old[path], new[path]) for path in new if old[path] != new[path]}
    for change in changes.values():
        print(visible(change, lines=True), end="")
    if not changes:
        print("dvc.yaml and params.yaml are of this version already")
        return False
    if not write:
        print("nothing was written; `ilt upgrade --write` writes this")
        return True
    for path in changes:
        with replacing(path) as temporary:
            temporary.write_text(new[path], encoding="utf-8", newline="\n")
    print(f"written: {', '.join(path.name for path in changes)}; `dvc repro` runs what is decided differently now")
    return True
