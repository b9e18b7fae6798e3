"""The house: imports run downwards, without circles, and dvc.yaml is what the stages declare."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import ilt
from ilt.stages._dvc import render
from ilt.stages._stage import ORDER

PACKAGE = Path(ilt.__file__).parent
ROOT = PACKAGE.parents[1]

FLOORS = (
    ("escapes", "errors", "paths", "tables", "progress", "digest", "registry"),
    ("params",),
    ("evaluation",),
    ("corpus",),
    ("asr",),
    ("labels", "training"),
    ("demo",),
    ("report",),
    ("stages",),
    ("tools",),
    ("cli",),
)
"""Rooms from the ground up; a room imports from its own floor's room and from those below."""

GROUND = {"escapes": 0, "errors": 1, "registry": 2, "paths": 2, "progress": 1, "digest": 2, "tables": 3}
"""Order within the ground."""

RUN_TIME_CHOICES = {("stages", "tools")}
"""Never allowed, whatever the floors say: the method imports no tool."""


def modules():
    return {
        ".".join(("ilt", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__"): path
        for path in sorted(PACKAGE.rglob("*.py"))
    }


def imports(path, names, typing=False):
    """Modules of the package that a module imports, within functions too; for type checkers alone only if asked."""
    result = set()

    def walk(node):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and getattr(child.test, "id", "") == "TYPE_CHECKING" and not typing:
                continue
            if isinstance(child, ast.ImportFrom) and (child.module or "").split(".")[0] == "ilt":
                for alias in child.names:
                    full = f"{child.module}.{alias.name}"
                    result.add(full if full in names else child.module)
            elif isinstance(child, ast.Import):
                result.update(alias.name for alias in child.names if alias.name.split(".")[0] == "ilt")
            walk(child)

    walk(ast.parse(path.read_text(encoding="utf-8")))
    return result


@pytest.fixture(scope="module")
def graph():
    names = modules()
    return {name: imports(path, names) for name, path in names.items()}


def room(module):
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def floor(name):
    return next(number for number, rooms in enumerate(FLOORS) if name in rooms)


def test_every_room_has_a_floor(graph):
    known = {name for rooms in FLOORS for name in rooms}
    assert {room(module) for module in graph} - {""} == known


def test_imports_run_downwards(graph):
    wrong = []
    for module, others in graph.items():
        for other in others:
            one, two = room(module), room(other)
            if "" in (one, two) or one == two:
                continue
            if floor(two) > floor(one) or (floor(one) == floor(two) and floor(one) > 0):
                wrong.append(f"{module} -> {other}")
            if floor(one) == floor(two) == 0 and GROUND[two] >= GROUND[one]:
                wrong.append(f"{module} -> {other}")
    assert not wrong, wrong


def test_there_are_no_circles(graph):
    state = {}

    def visit(module, trail):
        if state.get(module) == "done":
            return
        assert state.get(module) != "open", " -> ".join([*trail[trail.index(module) :], module])
        state[module] = "open"
        for other in sorted(graph.get(module, ())):
            if other != module:
                visit(other, [*trail, module])
        state[module] = "done"

    for module in graph:
        visit(module, [])


def test_dvc_yaml_is_what_the_stages_declare():
    assert (ROOT / "dvc.yaml").read_text(encoding="utf-8") == render()


def test_dvc_yaml_names_no_source_file():
    assert "src/" not in render() and ".py" not in render()


def test_the_demos_parameters_are_those_that_the_package_brings():
    ours = (ROOT / "params.yaml").read_text(encoding="utf-8")
    assert ours == (PACKAGE / "demo" / "params.yaml").read_text(encoding="utf-8")
    assert len(ours.splitlines()) < 100


def test_each_stage_is_a_module_of_its_name():
    for name in ORDER:
        assert (PACKAGE / "stages" / f"{name}.py").is_file()


def test_the_parameters_are_three_small_files():
    files = [path for path in (PACKAGE / "params").glob("*.py") if path.name != "__init__.py"]
    assert len(files) == 3
    assert sum(len(path.read_text(encoding="utf-8").splitlines()) for path in files) < 1000
