"""Digest of the code that decides a result: the import closure of a module, read from its source.

Two sources that differ in comments, docstrings, layout or the version of Python alone have one digest. Nothing
is imported, so that digests of all stages take a fraction of a second.
"""

from __future__ import annotations

import ast
import functools
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["DATA_FILES", "DECIDES_NOTHING", "closure", "code_digest"]

ROOT = Path(__file__).parent
"""Folder of the package `ilt`."""

DATA_FILES = "DATA_FILES"
"""Name of a module's constant that says which files beside it decide results too, as a glob: `phrases/*.txt`."""

DECIDES_NOTHING = frozenset(
    {
        "ilt",
        "ilt.asr.families",  # a registry: what it names comes in where a stage chooses it
        "ilt.corpus.formats",  # the same
        "ilt.digest",
        "ilt.errors",
        "ilt.labels.rules",  # the same
        "ilt.params",  # what parameters come to stands in the plan
        "ilt.params.loading",
        "ilt.params.resolving",
        "ilt.params.schema",
        "ilt.paths",
        "ilt.progress",
        "ilt.stages",
        "ilt.stages._stage",  # runs a body and keeps its costs
    }
)
"""Modules that decide no result. Reviewed by hand: a change of one of them reruns nothing."""


def _file(module: str) -> Path | None:
    """Return the source of a module of this package, or None where there is none of that name."""
    path = ROOT.joinpath(*module.split(".")[1:])
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if path != ROOT and candidate.is_file():
            return candidate
    return ROOT / "__init__.py" if path == ROOT else None


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """Yield all nodes below `node` but those that only type checkers read."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING":
            continue
        yield child
        yield from _statements(child)


def _imports(tree: ast.Module, module: str) -> tuple[str, ...]:
    """Return the modules of this package that a module imports, at its top or within functions."""
    names: set[str] = set()
    for node in _statements(tree):
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    # The packages on the way to a module run when it is imported.
    names |= {name.rpartition(".")[0] for name in names}
    own = {name for name in names if name.split(".")[0] == "ilt" and _file(name)}
    return tuple(sorted(own - {module}))


def closure(roots: Iterable[str]) -> list[str]:
    """Return the names of the modules that decide what `roots` compute, themselves included, sorted.

    Raises ValueError for a root that is no module of this package.
    """
    waiting, seen = list(roots), set()
    while waiting:
        module = waiting.pop()
        if module in seen or module in DECIDES_NOTHING:
            continue
        seen.add(module)
        waiting += _source(module).imports
    return sorted(seen)


def _is_docstring(node: ast.AST) -> bool:
    """Return whether a statement is a lone string, which no result can depend on."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _canonical(value: Any) -> str:
    """Write a syntax tree so that every version of Python writes the same: no positions, nothing empty."""
    if isinstance(value, ast.AST):
        fields = [
            f"{name}={_canonical(field)}"
            for name, field in ast.iter_fields(value)
            if name not in ("type_comment", "kind", "ctx") and field is not None and field != []
        ]
        return f"{type(value).__name__}({','.join(fields)})"
    if isinstance(value, list):
        return "[" + ",".join(_canonical(item) for item in value if not _is_docstring(item)) + "]"
    return repr(value)


@dataclass(frozen=True)
class _Source:
    """What is read of a module: the modules that it imports, the digest of its code, patterns of its data files."""

    imports: tuple[str, ...]
    digest: str
    patterns: tuple[str, ...]


@functools.lru_cache(maxsize=1024)
def _read(module: str, path: Path, size: int, changed: int) -> _Source:  # noqa: ARG001  a changed file is another key
    tree = ast.parse(path.read_bytes(), str(path))
    digest = hashlib.sha256(_canonical(tree).encode()).hexdigest()
    return _Source(_imports(tree, module), digest, tuple(_data_patterns(tree)))


def _source(module: str) -> _Source:
    """Return what a module's file says now. Raises ValueError for what is no module of this package."""
    path = _file(module)
    if path is None:
        raise ValueError(f"{module} is no module of ilt")
    status = path.stat()
    return _read(module, path, status.st_size, status.st_mtime_ns)


def _module_digest(module: str) -> str:
    source, path = _source(module), _file(module)
    assert path is not None
    digest = hashlib.sha256(source.digest.encode())
    for pattern in source.patterns:
        for data in sorted(path.parent.glob(pattern)):
            digest.update(data.relative_to(path.parent).as_posix().encode() + b"\0")
            digest.update(hashlib.sha256(data.read_bytes()).digest())
    return digest.hexdigest()


def _data_patterns(tree: ast.Module) -> list[str]:
    return [
        node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Constant)
        and any(isinstance(target, ast.Name) and target.id == DATA_FILES for target in node.targets)
        and isinstance(node.value.value, str)
    ]


def code_digest(*roots: str) -> str:
    """Return the SHA-256 over the closure of `roots`: module names, their code, and the data files they declare."""
    digest = hashlib.sha256()
    for module in closure(roots):
        digest.update(f"{module} {_module_digest(module)}\n".encode())
    return digest.hexdigest()
