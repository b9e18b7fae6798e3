"""`ilt diff` beside what people use otherwise, on two synthetic label tables of any size.

python benchmarks/diff_scale.py --rows 10000000 --output benchmarks/results/diff-scale.json
`--others PYTHON` names an interpreter that has datacompy and pandas (they want another polars than ours):
python -m venv others && others/bin/pip install datacompy pandas pyarrow.
Each tool runs in a process of its own, on the same files, one after the other; wall time and peak memory
(resident) are those of the process, from start to end.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl

from ilt.paths import write_json
from ilt.tools.machine import machine

VOCABULARY = 20_000
LANGUAGES = ("ar", "bn", "de", "en", "es", "fr", "it", "ko", "pt", "ru")
STEP = 1_000_000

TOOLS = {
    "ilt diff": """
import sys
from ilt.cli import app
app(["diff", sys.argv[1], sys.argv[2], "--format", "json", "--limit", "20", "--output", sys.argv[3]])
""",
    "datacompy (polars)": """
import sys
import datacompy
import polars as pl
old, new = pl.read_parquet(sys.argv[1]), pl.read_parquet(sys.argv[2])
found = datacompy.PolarsCompare(old, new, join_columns="id", df1_name="before", df2_name="after")
open(sys.argv[3], "w").write(found.report())
""",
    "pandas merge": """
import sys
import pandas as pd
old, new = pd.read_parquet(sys.argv[1]), pd.read_parquet(sys.argv[2])
both = old.merge(new, on="id", how="outer", suffixes=("_before", "_after"), indicator=True)
common = both["_merge"] == "both"
both["added"], both["missing"] = both["_merge"] == "right_only", both["_merge"] == "left_only"
for kind, name in (("reworded", "text"), ("redecided", "selected"), ("resourced", "source")):
    both[kind] = common & (both[name + "_before"] != both[name + "_after"])
both["language"] = both["language_after"].fillna(both["language_before"])
kinds = ["added", "missing", "reworded", "redecided", "resourced"]
both.groupby("language")[kinds].sum().to_csv(sys.argv[3])
""",
}


def _part(first: int, count: int, seed: int, after: bool) -> pl.DataFrame:
    """Rows `first` to `first + count`; the table after differs in about a fifth of them."""
    rng = np.random.default_rng([seed, first])
    words = np.array([f"word{number}" for number in range(VOCABULARY)])
    picked = rng.integers(0, VOCABULARY, (count, 7))
    languages = rng.integers(0, len(LANGUAGES), count)
    error, limit = rng.random(count), 0.5
    dice = rng.random(count)
    if after:
        picked[dice < 0.15, 3] = 0  # one word is another
        error = np.where(dice > 0.9, rng.random(count), error)
    text = pl.DataFrame({str(n): words[picked[:, n]] for n in range(7)}).select(pl.concat_str("*", separator=" "))
    frame = pl.DataFrame(
        {
            "id": pl.Series(np.arange(first, first + count)).cast(pl.String).str.zfill(10),
            "language": np.array(LANGUAGES)[languages],
            "split": np.full(count, "pool"),
            "text": text.to_series(),
            "source": np.where(after & (dice < 0.05), "corrected", "pseudo"),
            "selected": error <= limit,
            "expected_error": error.round(6),
        }
    ).with_columns(
        reason=pl.when("selected")
        .then(pl.format("kept: expected error {}", pl.col("expected_error").round(3)))
        .otherwise(pl.format("dropped: expected error {} is above 0.5", pl.col("expected_error").round(3)))
    )
    gone = 0.5 + (0.001 if after else 0.0)
    return frame.filter(~((pl.Series(dice) > gone) & (pl.Series(dice) < gone + 0.001)))


def make(folder: Path, rows: int) -> list[Path]:
    """Two tables of `rows` rows, written once."""
    import pyarrow.parquet as pq

    found = []
    for name, after in (("before", False), ("after", True)):
        path = folder / f"{name}-{rows}.parquet"
        found.append(path)
        if path.is_file():
            continue
        temporary, writer = path.with_suffix(".tmp"), None
        for first in range(0, rows, STEP):
            part = _part(first, min(STEP, rows - first), 1, after).to_arrow()
            writer = writer or pq.ParquetWriter(temporary, part.schema, compression="zstd")
            writer.write_table(part, row_group_size=65_536)
        if writer:
            writer.close()
        temporary.rename(path)
    return found


def measure(python: str, code: str, tables: list[Path], output: Path) -> dict[str, float | str]:
    """Wall seconds and peak memory of one tool."""
    started = time.monotonic()
    process = subprocess.Popen([python, "-c", code, *map(str, tables), str(output)], stderr=subprocess.PIPE, text=True)
    said = process.stderr.read() if process.stderr else ""
    _, status, usage = os.wait4(process.pid, 0)
    seconds = round(time.monotonic() - started, 2)
    code_ = os.waitstatus_to_exitcode(status)
    result: dict[str, float | str] = {
        "seconds": seconds,
        "peak_memory_gb": round(usage.ru_maxrss / 1024**2, 2),
    }
    if code_ not in (0, 1) or not output.is_file():
        result["failed"] = f"exit {code_}: {said.strip().splitlines()[-1] if said.strip() else 'killed'}"
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, default=Path(".ilt/diff-scale"), help="where the tables lie")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--others", default=sys.executable, help="python with datacompy and pandas")
    parser.add_argument("--tools", nargs="*", default=list(TOOLS))
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    tables = make(options.folder, options.rows)
    found = {}
    for tool in options.tools:
        output = options.folder / "output"
        output.unlink(missing_ok=True)
        found[tool] = measure(sys.executable if tool == "ilt diff" else options.others, TOOLS[tool], tables, output)
        print(f"{tool}: {found[tool]}", flush=True)
    ours = found.get("ilt diff", {}).get("seconds")
    ratios = {
        tool: round(float(value["seconds"]) / float(ours), 1)
        for tool, value in found.items()
        if ours and tool != "ilt diff" and "failed" not in value
    }
    told = {
        "machine": machine(),
        "rows": options.rows,
        "bytes": [path.stat().st_size for path in tables],
        "tools": found,
        "times_the_seconds_of_ilt_diff": ratios,
    }
    print(json.dumps(told, indent=2))
    if options.output:
        write_json(options.output, told, sort_keys=False)


if __name__ == "__main__":
    main()
