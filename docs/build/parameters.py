"""docs/parameters.md: all parameters, as `ilt params` lists them, and the stages that each one reruns.

python docs/build/parameters.py
"""

from __future__ import annotations

from ilt.params import Params
from ilt.paths import replacing
from ilt.tools.parameters import describe
from pages import ROOT

__all__ = ["PAGE", "page"]

PAGE = ROOT / "docs" / "parameters.md"
RERUNS = ROOT / "tests" / "unit" / "snapshots" / "reruns.txt"
"""The stages that each parameter reruns; a test holds it equal to what the plans say."""

HEAD = """\
# Which parameters are there?

`ilt params` lists this in a terminal, `ilt params train` one section of it. Written by `docs/build/parameters.py`
from the schema of `params.yaml`.

- `params.yaml` says only what differs from these defaults.
- `dvc exp run -S train.learning_rate=1e-4` tries a value. `++` adds a key that the file does not have yet:
  `-S '++select.keep_by_language={ko: 0.7}'`.
- A stage of one iteration can differ: `-S iterations.it2.fix.lora.r=4`.
- A training is `train`, overlaid with its stage's section, overlaid with what the iteration says of that stage.
- A key that does not exist, or a value that cannot be, is an error that names it.

How many work at once is no parameter, since no result depends on it: `ILT_DEVICE`, `ILT_WORKERS` and
`ILT_FEATURE_CACHE_MB` in the environment.
"""

STAGES_HEAD = """\
## Which stages rerun?

A stage reruns when a parameter in its plan changes. What comes after it reruns only where its output changed.

With the demo, in each of three iterations:
"""


def _section(name: str) -> list[str]:
    return [f"## {name}", "", "```yaml", describe(name).rstrip("\n"), "```", ""]


def _reruns() -> list[str]:
    """Return the snapshot as tables; a comment in it that ends with a colon begins another one."""
    rows = ["| parameter | stages |", "|---|---|"]
    for line in RERUNS.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            if line.endswith(":"):
                rows += ["", line.removeprefix("# "), "", "| parameter | stages |", "|---|---|"]
            continue
        if line:
            name, _, stages = line.rpartition(": ")
            rows.append(f"| {name} | {stages} |")
    return rows


def page() -> str:
    """Return the text of the page."""
    sections = [line for name in Params.model_fields for line in _section(name)]
    return "\n".join([HEAD, *sections, STAGES_HEAD, *_reruns()]) + "\n"


if __name__ == "__main__":
    with replacing(PAGE) as temporary:
        temporary.write_text(page(), encoding="utf-8")
