"""Hooks of mkdocs for this site: pages from outside of docs/, links between them, and the API reference.

Pages are written for a git host, where links run between files of the repository. Those of `OUTSIDE` lie elsewhere
in it. Here they become pages at the same path below the site, and each link from or to them is turned into one within
the site. A link to anything else stays as it is, and fails the strict build.

The API reference is made of docstrings by mkdocstrings, a page for each room of the package.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]

OUTSIDE = (
    "README.md",
    "README.ja.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "data/models/demo-whisper/README.md",
    "data/models/demo-qwen2-audio/README.md",
)
"""Pages that do not lie in docs/, by their path in the repository. The first is the landing page."""

ROOMS = {
    "ground": "Errors, paths, tables, progress, digests and registries: what all rooms use.",
    "params": "The schema of params.yaml, loading it, and what it comes to for each stage.",
    "evaluation": "Normalising, scoring, comparing tables, early stopping.",
    "corpus": "Rows and audio in, checks, the utterance table.",
    "asr": "Recognisers, decoding with evidence, lineage; a folder for each model family.",
    "labels": "Label tables, calibration, rules of selection, voting.",
    "training": "Training of LoRAs over a merged lineage.",
    "demo": "The demo corpus, and the recipes of the demo models.",
    "report": "The report page.",
    "stages": "What `dvc repro` runs, a module for each stage.",
    "tools": "What people run on results.",
}
"""Rooms of the package from the ground up, and what each is for. `ground` is the package's own modules."""

_CODE = re.compile(r"(^```.*?^```|`[^`\n]*`)", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"(\]\()([^)\s:#][^)\s:]*)(\))")


def _modules(room: str) -> list[str]:
    """Return the public modules of a room, with what stages are declared with."""
    package = ROOT / "src" / "ilt"
    files = package.glob("*.py") if room == "ground" else (package / room).rglob("*.py")
    names = []
    for file in files:
        parts = ("ilt", *file.relative_to(package).with_suffix("").parts)
        name = ".".join(parts).removesuffix(".__init__")
        private = any(part.startswith("_") for part in name.split("."))
        says_something = "__all__" in file.read_text(encoding="utf-8")
        if says_something and (not private or name == "ilt.stages._stage"):
            names.append(name)
    return sorted(names)


def _api(room: str) -> str:
    """Return the page of a room: its modules, each with what mkdocstrings makes of its docstrings."""
    title = "The ground" if room == "ground" else f"ilt.{room}"
    return "\n\n".join([f"# {title}", ROOMS[room], *(f"::: {name}" for name in _modules(room))]) + "\n"


def on_config(config: Any) -> Any:
    """Add the pages of the API reference to the navigation."""
    config.nav.append({"API reference": [{room: f"api/{room}.md"} for room in ROOMS]})
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the pages from outside, and those of the API reference."""
    for path in OUTSIDE:
        files.append(File.generated(config, path, abs_src_path=str(ROOT / path)))
    for room in ROOMS:
        files.append(File.generated(config, f"api/{room}.md", content=_api(room)))
    return files


def relinked(markdown: str, page: str) -> str:
    """Return the text of a page, with links as the site has them. page: its path below the site."""
    here = page if page in OUTSIDE else f"docs/{page}"

    def target(match: re.Match[str]) -> str:
        path, hash_, anchor = match[2].partition("#")
        linked = posixpath.normpath(posixpath.join(posixpath.dirname(here), path))
        if linked not in OUTSIDE and not linked.startswith("docs/"):
            return match[0]
        inside = posixpath.relpath(linked.removeprefix("docs/"), posixpath.dirname(page) or ".")
        return f"{match[1]}{inside}{hash_}{anchor}{match[3]}"

    parts = _CODE.split(markdown)
    return "".join(part if number % 2 else _LINK.sub(target, part) for number, part in enumerate(parts))


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Return a page's text with its links turned into those of the site."""
    return relinked(markdown, page.file.src_uri)
