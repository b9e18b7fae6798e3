"""Walk through README's tour in a fresh clone; what was typed and what came out goes to docs/tour.md.

python benchmarks/tour.py [--folder FOLDER]   where to clone to; it is kept, and a second run goes on there
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ilt.paths import replacing
from ilt.tools.machine import machine

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "docs" / "tour.md"


@dataclass(frozen=True)
class Step:
    """One command. head, tail: how many lines of its output are shown; status: the exit status to expect."""

    says: str
    command: str
    head: int = 0
    tail: int = 30
    status: int = 0


STEPS = (
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
        "$(python -c 'import json; print(json.load(open(\"out/moved.json\"))[\"rows\"][0][\"id\"])')",
        tail=60,
    ),
    Step(
        "A variant: keep fewer labels in the third iteration. Only what depends on it runs again.",
        "dvc exp run --name strict --set-param iterations.it3.select.keep=0.3",
        tail=12,
    ),
    Step(
        "Both beside one another: only what differs, without the hashes of files.",
        "dvc exp show --only-changed --drop '^(data|src)/|Created' --md",
    ),
    Step(
        "The labels of the experiment against those of the commit; neither needs a checkout.",
        "ilt diff it3:selected --rev HEAD --rev strict --limit 3",
        tail=40,
        status=1,
    ),
    Step("The metrics of both.", "dvc metrics diff HEAD strict"),
    Step(
        "Which one to keep? One training says little: with other seeds of the last trainings the variant is "
        "ahead on dev each time, by about a point, and on test now ahead and now behind "
        "([what chance does](ablation.md#what-chance-does)). So it is worth a trial with more seeds, and its "
        "lead on test is mostly luck. Here the commit stays; `dvc exp apply strict` would take the other.",
        "git checkout --quiet . && dvc checkout --quiet",
    ),
    Step(
        "Spend a person's half hour where it helps most.",
        "ilt review export --iteration it3 --budget 20 --strategy improve --format html "
        "--output out/review.html",
    ),
)  # fmt: skip


def _clean(text: str) -> list[str]:
    """Lines as a terminal leaves them: what a carriage return overwrote is gone, and so are colours."""
    bare = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    lines = [line.rsplit("\r", 1)[-1].rstrip() for line in bare.splitlines()]
    return [line for line in lines if line]


def _shown(step: Step, lines: list[str]) -> list[str]:
    if len(lines) <= step.head + step.tail:
        return lines
    skipped = len(lines) - step.head - step.tail
    return [*lines[: step.head], f"[... {skipped} lines ...]", *lines[-step.tail :]]


def walk(folder: Path) -> str:
    """Run the steps in a clone; raises CalledProcessError where one does not end as it should."""
    if not (folder / ".git").is_dir():
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
    environment = os.environ | {
        "PATH": f"{folder / '.venv' / 'bin'}:{os.environ['PATH']}",
        "COLUMNS": "130",
        "GIT_AUTHOR_NAME": "you", "GIT_AUTHOR_EMAIL": "you@example.org",
        "GIT_COMMITTER_NAME": "you", "GIT_COMMITTER_EMAIL": "you@example.org",
    }  # fmt: skip
    here = machine()
    parts = [
        "# A tour",
        "",
        "Commands and their output, written by `python benchmarks/tour.py` in a fresh clone "
        f"({here['processor']}, {here['cores']} cores).",
    ]
    record = folder / ".ilt" / "tour.json"
    finished = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {}
    for step in STEPS:
        if step.command in finished:
            parts += ["", step.says, "", "```", f"$ {step.command}", *finished[step.command], "```"]
            continue
        print(f"$ {step.command}", flush=True)
        done = subprocess.run(
            ["/bin/bash", "-o", "pipefail", "-c", step.command], cwd=folder, env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
        lines = _clean(done.stdout.replace(str(folder), "."))
        print("\n".join(lines[-20:]), flush=True)
        if done.returncode != step.status:
            raise subprocess.CalledProcessError(done.returncode, step.command)
        finished[step.command] = _shown(step, lines)
        record.parent.mkdir(exist_ok=True)
        with replacing(record) as temporary:
            temporary.write_text(json.dumps(finished, ensure_ascii=False, indent=1), encoding="utf-8")
        parts += ["", step.says, "", "```", f"$ {step.command}", *finished[step.command], "```"]
    return "\n".join(parts) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    if options.folder:
        text = walk(options.folder.resolve())
    else:
        with tempfile.TemporaryDirectory() as folder:
            text = walk(Path(folder) / "ilt")
    with replacing(TARGET) as temporary:
        temporary.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
