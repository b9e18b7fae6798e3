"""The worksheet of docs/course/4-plan.md: what a proof of concept costs, and what it may bring.

    python docs/build/worksheet.py             # print it, with the figures of the run in this folder
    python docs/build/worksheet.py --write     # into docs/course/worksheet.csv and the table of the page

Formulas stand in one place (`LINES`): they are evaluated for the example and become a spreadsheet's
formulas in the column to fill in. Measured values come from `data/metrics` and, for the single LoRA, from
`benchmarks/results/demo.json`.
"""

from __future__ import annotations

import argparse
import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from rich.console import Console
from rich.table import Table

from ilt import paths
from ilt.paths import replacing
from pages import ROOT, put

PAGE, SHEET = Path("docs/course/4-plan.md"), Path("docs/course/worksheet.csv")
HEADER = ("", "unit", "example: the demo", "yours", "where it comes from")


@dataclass(frozen=True)
class Line:
    """A line of the sheet. `formula` computes it from lines above; otherwise it is a given or a heading."""

    key: str
    says: str
    unit: str = ""
    where: str = ""
    formula: str = ""


LINES = (
    Line("", "Speech"),
    Line("pool_hours", "unlabelled audio", "hours", "your archive"),
    Line("gold_minutes", "labelled audio to train on", "minutes", "measured"),
    Line("held_minutes", "labelled audio held out: dev, test, retention", "minutes", "measured"),
    Line("", "People"),
    Line("write_factor", "minutes of work to write down one of audio", "", "time yourself; 6 is a guess"),
    Line("review_minutes", "audio of labels to review", "minutes", "rows x length; 60 rows were 3.5 minutes"),
    Line("review_factor", "minutes of work to review one of audio", "", "time yourself; 4 is a guess"),
    Line(
        "people_hours", "work of people", "hours", "",
        "((gold_minutes + held_minutes) * write_factor + review_minutes * review_factor) / 60",
    ),
    Line("", "Machine"),
    Line("iterations", "iterations", "", "params.yaml"),
    Line(
        "decode_minutes", "decoding for an hour of pool, one iteration", "minutes",
        "label and correct in data/metrics/costs.json, over pool hours",
    ),
    Line(
        "train_minutes", "training and scoring, one iteration", "minutes",
        "the other stages there; grows with steps, not with the pool",
    ),
    Line(
        "machine_hours", "computing", "hours", "",
        "iterations * (decode_minutes * pool_hours + train_minutes) / 60",
    ),
    Line("", "Money"),
    Line("person_price", "an hour of a person", "money", "yours; 50 is a guess"),
    Line("machine_price", "an hour of the machine", "money", "yours; 1 is a guess"),
    Line(
        "cost", "the proof of concept", "money", "",
        "people_hours * person_price + machine_hours * machine_price",
    ),
    Line("", "Gain"),
    Line("base_error", "error of the base on test", "%", "data/metrics/summary.json"),
    Line("plain_error", "error of one LoRA on gold", "%", "a run with adapter.mode=single"),
    Line("relative", "what ILT takes off that", "%", "of the demo; see below"),
    Line("ilt_error", "error to expect", "%", "", "plain_error * (1 - relative / 100)"),
    Line("price_of_point", "cost of a point over the base", "money", "", "cost / (base_error - ilt_error)"),
    Line(
        "pool_cost", "what of the cost is the pool's", "money", "what one LoRA on gold does not need",
        "review_minutes * review_factor / 60 * person_price + machine_hours * machine_price",
    ),
    Line("over_plain", "points that the pool adds to one LoRA", "points", "", "plain_error - ilt_error"),
    Line("price_over_plain", "cost of such a point", "money", "", "pool_cost / over_plain"),
    Line("", "When to stop, and can it be seen?"),
    Line("wanted_error", "error that is good enough", "%", "the product; 15 is a guess"),
    Line("missing", "points that ILT is expected to leave over it", "points", "", "ilt_error - wanted_error"),
    Line("test_rows", "test utterances", "", "measured"),
    Line("half_width", "half of the interval of the last iteration's gain", "points", "ilt summary"),
    Line("smallest", "smallest gain worth having", "points", "yours; 0.3 is a guess"),
    Line(
        "rows_needed", "test utterances to see it, four times in five", "",
        "intervals narrow as 1 / square root of the rows; 1.43 is (1.96 + 0.84) / 1.96",
        "test_rows * (1.43 * half_width / smallest) ** 2",
    ),
)  # fmt: skip

GUESSES = {
    "write_factor": 6.0, "review_minutes": 3.5, "review_factor": 4.0,
    "person_price": 50.0, "machine_price": 1.0, "wanted_error": 15.0, "smallest": 0.3,
}  # fmt: skip
"""What the example assumes; the sheet says so of each."""


def measured() -> dict[str, float]:
    """Figures of the finished run in this folder, and of the single LoRA beside the demo."""
    minutes = {
        split: seconds / 60
        for split, seconds in pl.read_parquet(paths.UTTERANCES)
        .group_by("split")
        .agg(pl.col("duration").sum())
        .iter_rows()
    }
    summary, costs = paths.read_json(paths.SUMMARY), paths.read_json(paths.METRICS / "costs.json")
    names = [name for name in summary if name != "base"]
    last = summary[names[-1]]
    decoding = sum(costs[name][stage]["seconds"] for name in names for stage in ("label", "correct")) / 60
    everything = sum(cost["seconds"] for name in names for cost in costs[name].values()) / 60
    demo = paths.read_json(ROOT / "benchmarks/results/demo.json")
    plain = 100 * demo["arms"]["single"]["test"]["micro"]
    gain = last["gain_over_previous"]
    test = pl.scan_parquet(paths.UTTERANCES).filter(split="test").select(pl.len()).collect().item()
    return {
        "pool_hours": minutes["pool"] / 60,
        "gold_minutes": minutes["gold"],
        "held_minutes": sum(minutes.get(split, 0.0) for split in ("dev", "test", "retention")),
        "iterations": len(names),
        "decode_minutes": decoding / len(names) / (minutes["pool"] / 60),
        "train_minutes": (everything - decoding) / len(names),
        "base_error": 100 * summary["base"]["test"]["micro"],
        "plain_error": plain,
        "relative": 100 * (1 - demo["it3"]["test"]["micro"] * 100 / plain),
        "test_rows": test,
        "half_width": 100 * (gain["high"] - gain["low"]) / 2,
    }


def example() -> dict[str, float]:
    """Every value of the example column."""
    values = measured() | GUESSES
    for line in LINES:
        if line.formula:
            values[line.key] = eval(line.formula, {"__builtins__": {}}, values)  # formulas of LINES alone
    return values


def shown(value: float) -> str:
    return f"{value:.0f}" if value >= 100 or value == int(value) else f"{value:.2g}" if value < 1 else f"{value:.1f}"


def cells(values: dict[str, float]) -> list[tuple[str, ...]]:
    """The rows below the header; formulas of the column `yours` as a spreadsheet writes them."""
    at = {line.key: f"D{number}" for number, line in enumerate(LINES, start=2) if line.key}

    def formula(text: str) -> str:
        return "=" + re.sub(r"[a-z_]+", lambda name: at[name[0]], text).replace("**", "^").replace(" ", "")

    return [
        (
            line.says,
            line.unit,
            shown(values[line.key]) if line.key else "",
            formula(line.formula) if line.formula else "",
            line.where or line.formula,
        )
        for line in LINES
    ]


def as_csv(rows: list[tuple[str, ...]]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([HEADER, *rows])
    return text.getvalue()


def as_markdown(rows: list[tuple[str, ...]]) -> list[str]:
    """The table of the page; formulas are in words, to be read without a spreadsheet."""
    lines = ["| | unit | example: the demo | where it comes from |", "|---|---|--:|---|"]
    for line, (says, unit, value, _, _) in zip(LINES, rows, strict=True):
        head = f"**{says}**" if not line.key else f"{says} (`{line.key}`)"
        where = "; ".join(part for part in (line.formula and f"= `{line.formula}`", line.where) if part)
        lines.append(f"| {head} | {unit} | {value} | {where} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="to the page and the CSV")
    args = parser.parse_args()
    rows = cells(example())
    if args.write:
        with replacing(SHEET) as temporary:
            temporary.write_text(as_csv(rows), encoding="utf-8")
        put(PAGE, "worksheet", as_markdown(rows))
        return
    table = Table(*(name for name in HEADER if name != "yours"))
    for says, unit, value, _, where in rows:
        table.add_row(says, unit, value, where)
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
