"""Blocks of docs/tour.md: what is typed, and what comes out.

    python docs/build/tour.py demo [--folder FOLDER]
    python docs/build/tour.py own --model FOLDER --manifest FILE [--pool-reference FILE] [--folder FOLDER]

`demo` walks through a fresh clone of this repository; `own` makes a project with `ilt init`, for a real model and
people's speech. The folder is kept where it is named, and a second run goes on there.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ilt.paths import replacing
from ilt.tools.machine import machine
from pages import ROOT, put

__all__ = ["Step", "Walk", "demo_steps", "own_steps"]

PAGE = ROOT / "docs" / "tour.md"


@dataclass(frozen=True)
class Step:
    """One command. tail: how many lines of its output are shown; status: the exit status to expect."""

    says: str
    command: str
    tail: int = 30
    status: int = 0


def demo_steps() -> tuple[Step, ...]:
    """Return the steps in a clone of this repository."""
    return (
        Step("Set up and run everything: three iterations on the demo corpus.", "time make repro", tail=31),
        Step(
            "Keep what it wrote: the lock file and the metrics are in git, tables and adapters in DVC's cache.",
            "git add -A && git commit --quiet --message 'three iterations' && dvc repro | tail -3",
        ),
        Step(
            "What did the third iteration change in the labels? Most moved first; did they become truer?",
            "ilt diff it2 it3 --limit 4",
            tail=40,
            status=1,
        ),
        Step(
            "Why was an utterance used? Its whole history (of those that are, this one's label has moved most).",
            "ilt diff it1 it3 --only reworded --where \"split = 'pool' and selected_after\" --limit 1 "
            "--format json --output out/moved.json; ilt explain "
            '$(python -c \'import json; print(json.load(open("out/moved.json"))["rows"][0]["id"])\')',
            tail=60,
        ),
        Step(
            "A variant: keep fewer labels in the third iteration. Only what depends on it runs again.",
            "dvc exp run --name strict --set-param iterations.it3.select.keep=0.3",
            tail=12,
        ),
        Step(
            "Both beside one another: only what differs, without the hashes of files.",
            "dvc exp show --only-changed --drop '^data/|Created' --md",
        ),
        Step(
            "The labels of the experiment against those of the commit; neither needs a checkout.",
            "ilt diff it3:selected --rev HEAD --rev strict --limit 3",
            tail=40,
            status=1,
        ),
        Step("The metrics of both.", "dvc metrics diff HEAD strict"),
        Step(
            "Which one to keep? One training says little ([what chance does](ablation.md#what-chance-does)): try both "
            "with other values of `train.seed` first. Here the commit stays; `dvc exp apply strict` would take the "
            "other.",
            "git checkout --quiet . && dvc checkout --quiet",
        ),
        Step(
            "Spend a person's half hour where it helps most.",
            "ilt review export --iteration it3 --budget 20 --strategy improve --format html --output out/review.html",
        ),
    )


def own_steps(model: str, manifest: str, reference: str | None) -> tuple[Step, ...]:
    """Return the steps in a project of one's own, which starts in an empty folder."""
    known = f" --pool-reference {shlex.quote(reference)}" if reference else ""
    return (
        Step(
            "Make a project. `ilt init` reads model and manifest, and says what it chose and why.",
            f"ilt init mine --model {shlex.quote(model)} --manifest {shlex.quote(manifest)}{known}",
        ),
        Step("Can this machine run it?", "cd mine && ilt doctor", tail=40),
        Step("Is the corpus sound?", "cd mine && ilt validate"),
        Step("Run one iteration.", "cd mine && time dvc repro", tail=12),
        Step("What came of it?", "cd mine && ilt summary --languages"),
        Step(
            "What did `correct` change in the labels that `select` chose?",
            "cd mine && ilt diff it1:selected it1:corrected --limit 3",
            tail=40,
            status=1,
        ),
        Step(
            "Keep it, and take the model out, checked on dev.",
            "cd mine && git add --all && git commit --quiet --message 'The first iteration' && "
            "ilt export it1 --to merged --output out/it1",
        ),
    )


def _clean(text: str) -> list[str]:
    """Return the lines as a terminal leaves them: what a carriage return overwrote is gone, and so are colours."""
    bare = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    lines = [line.rsplit("\r", 1)[-1].rstrip() for line in bare.splitlines()]
    return [line for line in lines if line]


def _tail(lines: Sequence[str], count: int) -> list[str]:
    cut = len(lines) - count
    return list(lines) if cut <= 0 else [f"[... {cut} lines ...]", *lines[-count:]]


@dataclass
class Walk:
    """Steps that run one after the other in a folder, each once: what is finished is kept there.

    shown: text of this machine and what stands in its place on the page, as a folder's path.
    """

    folder: Path
    shown: dict[str, str] = field(default_factory=dict)

    @property
    def _record(self) -> Path:
        return self.folder / ".ilt" / "tour.json"

    def _mask(self, text: str) -> str:
        """Return a text without paths of this machine; cells of tables keep their width."""
        for old, new in {str(self.folder): ".", **self.shown}.items():
            padded = new + " " * max(0, len(old) - len(new))
            text = re.sub(rf"{re.escape(old)}(?= *[│┃])", padded, text).replace(old, new)
        return text

    def run(self, steps: Sequence[Step]) -> list[str]:
        """Return the lines of the block. Raises CalledProcessError where a step does not end as it should."""
        here = machine()
        lines = [f"On {here['processor']}, {here['cores']} cores."]
        for step in steps:
            finished = json.loads(self._record.read_text(encoding="utf-8")) if self._record.is_file() else {}
            if step.command not in finished:
                finished[step.command] = self._run(step)
                self._record.parent.mkdir(exist_ok=True)
                with replacing(self._record) as temporary:
                    temporary.write_text(json.dumps(finished, ensure_ascii=False, indent=1), encoding="utf-8")
            typed = self._mask(step.command.removeprefix("cd mine && "))
            lines += ["", step.says, "", "```", f"$ {typed}", *finished[step.command], "```"]
        return lines

    def _run(self, step: Step) -> list[str]:
        environment = os.environ | {
            "PATH": os.pathsep.join(
                [str(self.folder / ".venv" / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]]
            ),
            "COLUMNS": "130",
            **{f"GIT_{who}_NAME": "you" for who in ("AUTHOR", "COMMITTER")},
            **{f"GIT_{who}_EMAIL": "you@example.org" for who in ("AUTHOR", "COMMITTER")},
        }
        print(f"$ {step.command}", flush=True)
        done = subprocess.run(
            ["/bin/bash", "-o", "pipefail", "-c", step.command], cwd=self.folder, env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
        lines = _clean(self._mask(done.stdout))
        print("\n".join(lines[-20:]), flush=True)
        if done.returncode != step.status:
            raise subprocess.CalledProcessError(done.returncode, step.command)
        return _tail(lines, step.tail)


def _demo(folder: Path) -> list[str]:
    if not (folder / ".git").is_dir():
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
    return Walk(folder).run(demo_steps())


def _own(options: argparse.Namespace) -> Callable[[Path], list[str]]:
    model, manifest = options.model.resolve(), options.manifest.resolve()
    reference = options.pool_reference and str(options.pool_reference.resolve())
    shown = {str(manifest.parent): f"/data/{manifest.parent.name}", str(model): f"/models/{model.name}"}

    def walk(folder: Path) -> list[str]:
        folder.mkdir(parents=True, exist_ok=True)
        return Walk(folder, shown).run(own_steps(str(model), str(manifest), reference))

    return walk


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["demo", "own"])
    parser.add_argument("--folder", type=Path, help="kept, so that a walk can be resumed")
    parser.add_argument("--model", type=Path, help="of own: a folder")
    parser.add_argument("--manifest", type=Path, help="of own")
    parser.add_argument("--pool-reference", type=Path, help="of own: true texts of the pool, for audits alone")
    options = parser.parse_args()
    if options.part == "own" and not (options.model and options.manifest):
        parser.error("own needs --model and --manifest")
    walk = _demo if options.part == "demo" else _own(options)
    if options.folder:
        lines = walk(options.folder.resolve())
    else:
        with tempfile.TemporaryDirectory() as folder:
            lines = walk(Path(folder) / "ilt")
    put(PAGE, options.part, lines)


if __name__ == "__main__":
    main()
