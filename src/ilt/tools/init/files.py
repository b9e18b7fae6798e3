"""Files of a project, and writing them: all or nothing, and nothing is overwritten."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ilt import paths
from ilt.errors import IltError

__all__ = ["IGNORED", "Target", "commit", "in_the_way", "prepare", "render", "write_files"]

IGNORED = {
    ".gitignore": ("/data/corpus/", "/data/iterations/", "/data/plan/", "/data/report/", "/.ilt/", "/out/"),
    ".dvcignore": (".ilt", ".venv", "__pycache__", ".gitignore"),
}
"""Lines that a project's ignore files have: what the stages make (DVC keeps it), and what nobody keeps."""

DVC_CONFIG = "[core]\n    analytics = false\n    autostage = true\n"


def _yaml(value: Any) -> str:
    """Write a value as one line of YAML."""
    import yaml

    text: str = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10_000, sort_keys=False)
    return text.removesuffix("\n").removesuffix("\n...")


def render(template: str, **values: Any) -> str:
    """Return a template of this package filled in. Raises jinja2's UndefinedError for a value that is missing."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("ilt.tools.init", "."), undefined=StrictUndefined, keep_trailing_newline=True
    )
    environment.filters["yaml"] = _yaml
    return environment.get_template(template).render(**values)


@dataclass(frozen=True)
class Target:
    """The folder of a project. root: of the git repository that it lies in, None where there is none yet."""

    folder: Path
    root: Path | None

    @property
    def has_dvc(self) -> bool:
        """Whether DVC is set up here already."""
        return (self.folder / ".dvc").is_dir()


def _run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)


def prepare(folder: Path) -> Target:
    """Look at where a project is to be; nothing is written. Raises IltError for a file, or a missing git."""
    paths.check_output(folder, folder=True)
    above = folder.resolve()
    while not above.is_dir():
        above = above.parent
    try:
        top = _run(above, "git", "rev-parse", "--show-toplevel")
    except FileNotFoundError:
        raise IltError("git is not installed; a project is a git and DVC repository") from None
    return Target(folder.resolve(), Path(top.stdout.strip()) if top.returncode == 0 else None)


def in_the_way(target: Target, files: dict[str, bytes]) -> list[str]:
    """Return the files that are there already and say something else."""
    return [
        name
        for name, content in files.items()
        if (path := target.folder / name).exists() and (path.is_dir() or path.read_bytes() != content)
    ]


def _missing_lines(path: Path, lines: tuple[str, ...]) -> bytes:
    """Return a file's text with the lines that it lacks added at its end."""
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    missing = [line for line in lines if line not in text.splitlines()]
    if text and not text.endswith("\n"):
        text += "\n"
    return (text + "".join(f"{line}\n" for line in missing)).encode()


def write_files(target: Target, files: dict[str, bytes]) -> list[Path]:
    """Write the files of a project, set up git and DVC where they are missing. Returns what was written."""
    from ilt.labels.table import CORRECTIONS_TABLE

    folder = target.folder
    folder.mkdir(parents=True, exist_ok=True)
    if target.root is None and _run(folder, "git", "init", "--quiet").returncode:
        raise IltError(f"git init failed in {folder}")
    written = []
    if not target.has_dvc:
        own = target.root is None or target.root == folder
        done = _run(folder, "dvc", "init", "--quiet", *([] if own else ["--subdir"]))
        if done.returncode:
            raise IltError(f"dvc init failed in {folder}: {done.stderr.strip()}")
        (folder / ".dvc" / "config").write_text(DVC_CONFIG, encoding="utf-8")
        written += [folder / ".dvc" / "config", folder / ".dvc" / ".gitignore"]
    contents = files | {name: _missing_lines(folder / name, lines) for name, lines in IGNORED.items()}
    for name, content in contents.items():
        path = folder / name
        if not path.is_file() or path.read_bytes() != content:
            with paths.replacing(path) as temporary:
                temporary.write_bytes(content)
            written.append(path)
    corrections = folder / paths.CORRECTIONS
    if not corrections.is_file():
        CORRECTIONS_TABLE.write(CORRECTIONS_TABLE.empty(), corrections)
        written.append(corrections)
    return written


def commit(target: Target, written: list[Path], message: str) -> str | None:
    """Commit what was written, and nothing else. Returns why that was not possible, None where it was."""
    names = [str(path.relative_to(target.folder)) for path in written if path.exists()]
    added = _run(target.folder, "git", "add", "--", *names)
    done = added if added.returncode else _run(target.folder, "git", "commit", "--quiet", "-m", message, "--", *names)
    if done.returncode == 0:
        return None
    lines = (done.stderr or done.stdout).strip().splitlines()
    return lines[-1] if lines else "git commit failed"
