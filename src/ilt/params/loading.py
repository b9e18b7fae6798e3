"""Reading of params.yaml: YAML as DVC reads it, checked; every wrong key is named with what was expected."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from ilt.errors import IltError
from ilt.params.resolving import check_stages, ordered_iterations
from ilt.params.schema import ITERATION_STAGES, Params, validated

__all__ = [
    "check_params",
    "load_params",
    "parse_yaml",
    "read_params",
    "read_yaml",
    "seed_and_normaliser",
]

SECTIONS = tuple(stage for stage in ITERATION_STAGES if stage != "predict")
"""Stages that an iteration can say something of."""


def _fail(problems: list[str]) -> None:
    if problems:
        raise IltError("params.yaml is not valid:\n" + "\n".join(f"  {line}" for line in problems))


RENAMED = {
    r"model\.files": "gone: DVC watches the model by itself",
    r"model\.(workers|device|feature_cache_mb)": (
        "no parameter any more, since no result depends on it: ILT_WORKERS, ILT_DEVICE and ILT_FEATURE_CACHE_MB in "
        "the environment"
    ),
    r"model\.languages": "now languages.CODE.as, as in languages: {pcm: {as: en}}",
    r"merge\.scale": "now adapter.scale",
    r"(.*\.)?label\.relevance_neighbours": "now label.similarity_neighbours",
    r"(.*\.)?select\.relevance_weight": "now select.similarity_weight",
    r"(.*\.)?train_evaluation_rows": "gone: 60 rows of gold are measured",
    r"(.*\.)?(focus|feedback|fix)\.learning_rate": (
        "now train.learning_rate, once for all stages; lr_factor says here what it is multiplied by"
    ),
}
"""Keys of version 0.1, as patterns of their dotted names, and what became of them."""


def _keys(values: Any, at: str = "") -> Iterator[str]:
    """Yield the dotted names of all keys."""
    for key, value in values.items() if isinstance(values, dict) else ():
        yield f"{at}{key}"
        yield from _keys(value, f"{at}{key}.")


def _check_version(values: Any) -> None:
    """Raise IltError for parameters of an older version, with what each of their keys is called now."""
    old = {key: new for key in _keys(values) for pattern, new in RENAMED.items() if re.fullmatch(pattern, key)}
    if old:
        lines = [f"{key}: {new}" for key, new in old.items()]
        _fail([*lines, "it is of an older version: `ilt upgrade` shows what changes, and rewrites it"])


def _check_iterations(params: Params) -> None:
    problems = [] if params.iterations else ["iterations: at least one is needed, for example it1: {prev: base}"]
    used: dict[str, str] = {}
    for name, entry in params.iterations.items():
        place = f"iterations.{name}"
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", name) or name == "base":
            problems.append(f"{place}: a name starts with a letter and is not `base`")
        prev = entry.get("prev")
        if "prev" not in entry:
            problems.append(f"{place}.prev: missing; it names the iteration before, or base")
        elif not isinstance(prev, str):
            problems.append(f"{place}.prev: expected a name, got {prev!r}")
        elif prev != "base" and prev not in params.iterations:
            problems.append(f"{place}.prev: there is no iteration {prev!r}")
        elif used.setdefault(prev, name) != name:
            problems.append(f"{place}.prev: {prev} comes before {used[prev]} already; they must form one chain")
        for key, value in entry.items():
            if key not in ("prev", *SECTIONS):
                problems.append(f"{place}.{key}: expected prev or a stage ({', '.join(SECTIONS)})")
            elif key != "prev" and not isinstance(value, dict | None):
                problems.append(f"{place}.{key}: expected parameters of the stage, as in {{keep: 0.5}}, got {value!r}")
    if not problems and len(ordered_iterations(params)) < len(params.iterations):
        problems.append("iterations: they must form one chain that starts at base")
    _fail(problems)


def _check_languages(params: Params) -> None:
    _fail(
        [
            f"languages.{code}.from: there is no iteration {entry.from_!r}; there are {', '.join(params.iterations)}"
            for code, entry in params.languages.items()
            if entry.from_ is not None and entry.from_ not in params.iterations
        ]
    )


def check_params(values: Any) -> Params:
    """Return the parameters that such values are. Raises IltError as `load_params` does."""
    _check_version(values)
    params = validated(Params, values)
    _check_iterations(params)
    _check_languages(params)
    check_stages(params)
    return params


def load_params(path: Path = Path("params.yaml")) -> Params:
    """Read and check params.yaml. Raises IltError that names each wrong key, with what was expected."""
    return check_params(read_params(path))


def read_params(path: Path = Path("params.yaml")) -> Any:
    """Return what params.yaml says, unchecked. Raises IltError where it is missing or not YAML."""
    return read_yaml(path, "run this in the root of a project (`ilt init DIR` makes one)")


def seed_and_normaliser(path: Path = Path("params.yaml")) -> tuple[int, str]:
    """Return `seed` and `evaluate.normaliser`, or 1 and `basic` where there is no such file. Raises IltError."""
    if not path.is_file():
        return 1, "basic"
    params = load_params(path)
    return params.seed, params.evaluate.normaliser


def read_yaml(path: Path, lacking: str) -> Any:
    """Return what a YAML file says. Raises IltError where it is not YAML, or is missing: then it says `lacking`."""
    try:
        return parse_yaml(path.read_text(encoding="utf-8"), str(path))
    except FileNotFoundError:
        raise IltError(f"{path} is missing; {lacking}") from None
    except UnicodeDecodeError as error:
        raise IltError(f"{path} is not UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8") from None


def parse_yaml(text: str, where: str) -> Any:
    """Return what a text in YAML says, as DVC reads it: YAML 1.2, where `no` is a text and 2e-05 a number.

    Raises IltError, with the file or place `where`, for what is not YAML.
    """
    try:
        return YAML(typ="safe", pure=True).load(text)
    except (YAMLError, RecursionError) as error:
        raise IltError(f"{where} is not YAML: {error}") from None
