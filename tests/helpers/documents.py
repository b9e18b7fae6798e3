"""Pages as the tests read them: fenced blocks, inline code, the commands in both."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from conftest import ROOT

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PAGES = (
    "README.md",
    "README.ja.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    *(str(p.relative_to(ROOT)) for p in sorted((ROOT / "docs").rglob("*.md"))),
)
COURSE = [name for name in PAGES if name.startswith("docs/course/")]


@dataclass(frozen=True)
class Block:
    """A fenced block, and the page and line where it starts."""

    page: str
    line: int
    language: str
    text: str

    @property
    def where(self) -> str:
        return f"{self.page}:{self.line}"


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str) -> list[Block]:
    text = read(page)
    return [Block(page, text.count("\n", 0, match.start()) + 1, match[1], match[2]) for match in FENCE.finditer(text)]


def without_blocks(page: str) -> str:
    return FENCE.sub("", read(page))


def commands(page: str) -> list[tuple[str, list[str]]]:
    """Where each command of `ilt`, `dvc` and `make` stands on a page, and its words, the program first.

    From blocks that are shell (```bash, or without a language) and from inline code.
    """
    lines = []
    for block in blocks(page):
        if block.language in ("", "bash"):
            joined = block.text.replace("\\\n", " ")
            lines += [(block.where, line.removeprefix("$ ")) for line in joined.splitlines()]
    for match in re.finditer(r"`([^`\n]+)`", without_blocks(page)):
        lines.append((page, match[1]))
    found = []
    for where, line in lines:
        # Only a line that starts with the program: output and prose do not.
        if re.match(r"(cd \S+ && )?(time )?(ilt|dvc|make) ", line + " "):
            found += [(where, words) for words in _split(line)]
    return found


def _split(line: str) -> list[list[str]]:
    """The commands of a line: comments are gone, `&&`, `|` and `$(...)` separate."""
    line = re.sub(r'"?\$\(.*\)"?', "SUBSTITUTED", line)
    lexer = shlex.shlex(line, posix=True, punctuation_chars="&|;")
    lexer.whitespace_split = True
    lexer.commenters = "#"
    parts: list[list[str]] = [[]]
    for word in lexer:
        if set(word) <= set("&|;"):
            parts.append([])
        else:
            parts[-1].append(word)
    bare = [words[1:] if words[:1] == ["time"] else words for words in parts]
    return [words for words in bare if words and words[0] in ("ilt", "dvc", "make")]
