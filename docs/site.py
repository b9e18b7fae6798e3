"""What mkdocs does differently for this site: pages from outside of docs/, and links between them.

Every page is written for a git host, where links run between files of the repository. The pages of `OUTSIDE`
lie elsewhere in it; here they become pages at the same path below the site, and each link from or to them is
turned into one within the site. A link to anything else stays as it is, and fails the strict build.
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
    "data/models/demo-whisper/README.md",
    "data/models/demo-qwen2-audio/README.md",
)
"""Pages that do not lie in docs/, by their path in the repository. The first is the landing page."""

_CODE = re.compile(r"(^```.*?^```|`[^`\n]*`)", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"(\]\()([^)\s:#][^)\s:]*)(\))")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages from outside."""
    for path in OUTSIDE:
        files.append(File.generated(config, path, abs_src_path=str(ROOT / path)))
    return files


def relinked(markdown: str, page: str) -> str:
    """The text of a page, with links as the site has them. `page`: its path below the site."""
    here = page if page in OUTSIDE else f"docs/{page}"

    def target(match: re.Match[str]) -> str:
        path, hash_, anchor = match[2].partition("#")
        there = posixpath.normpath(posixpath.join(posixpath.dirname(here), path))
        if there not in OUTSIDE and not there.startswith("docs/"):
            return match[0]
        inside = posixpath.relpath(there.removeprefix("docs/"), posixpath.dirname(page) or ".")
        return f"{match[1]}{inside}{hash_}{anchor}{match[3]}"

    parts = _CODE.split(markdown)
    return "".join(part if number % 2 else _LINK.sub(target, part) for number, part in enumerate(parts))


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    return relinked(markdown, page.file.src_uri)
