"""The figures of docs/course/1-lora.md, in a project whose first iteration has been run.

    python docs/build/course.py scale       # the finished adapter of it1's focus, weaker and stronger
    python docs/build/course.py rank        # fresh adapters of several ranks, trained alike on gold

Each writes NAME.json (figures in fractions, and the machine) and NAME.svg to `.ilt/course`, or to `--output`
(what is committed was written with `--output docs/course`). The corpus, the base and all that is not varied
are those of the project: `data/plan/it1/focus.json`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import altair
import polars as pl
import vl_convert
from rich.console import Console
from rich.table import Table

from ilt import paths
from ilt.asr.batching import Batching
from ilt.asr.families import load_recogniser
from ilt.asr.features import FeatureStore
from ilt.asr.lineage import Lineage, merge_adapters, read_lineage
from ilt.asr.recogniser import Recogniser
from ilt.asr.transcribe import Decoding, transcribe_table
from ilt.corpus.table import UTTERANCE_TABLE
from ilt.evaluation.scoring import frame_errors, rate
from ilt.params import LoraParams, RecogniserParams, TrainParams
from ilt.paths import replacing, write_json
from ilt.report.draw import COLOURS, specification
from ilt.tools.machine import machine
from ilt.training.data import Example, TrainingData
from ilt.training.jobs import TrainJob
from ilt.training.selection import Errors
from ilt.training.trainer import Trainer

SPLITS = ("gold", "dev", "retention")
"""Trained on; the same domain; the domain that the base comes from."""

SCALES = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)

PALETTE = [COLOURS[name] for name in ("blue", "orange", "green", "plum", "quiet", "amber")]
DASHES = [[1, 0], [6, 3], [2, 2], [8, 2, 2, 2], [4, 1], [1, 3]]
SHAPES = ["circle", "square", "triangle-up", "diamond", "cross", "triangle-down"]


class Project:
    """The corpus, the base and the parameters of it1's focus."""

    def __init__(self) -> None:
        plan = paths.read_json(paths.plan("focus", "it1"))["parameters"]
        self.model = RecogniserParams.model_validate(plan["model"])
        self.train = TrainParams.model_validate(plan["train"])
        self.normaliser, self.seed = plan["normaliser"], self.train.seed
        self.base = read_lineage(paths.lineage("base"))
        table = UTTERANCE_TABLE.read(paths.UTTERANCES)
        self.rows = table.filter(pl.col("split").is_in(SPLITS)).sort("id")
        self.store = FeatureStore(table, self.recogniser(self.base).extractor)

    def recogniser(self, lineage: Lineage) -> Recogniser:
        return load_recogniser(lineage, self.model)

    def gold(self) -> list[Example]:
        chosen = self.rows.filter(pl.col("split") == "gold")
        return [Example(*row) for row in chosen.select("id", "language", "text").iter_rows()]

    def errors(self, recogniser: Recogniser, what: str) -> dict[str, float]:
        """Micro error rate on each split."""
        return rates_of(self.counts(recogniser, what))

    def counts(self, recogniser: Recogniser, what: str) -> dict[str, Errors]:
        """Errors and reference units of each utterance, by split."""
        heard = transcribe_table(recogniser, self.rows, self.store, Decoding(Batching.of(self.model)), what=what)
        paired = self.rows.with_columns(hypothesis=heard["text"])
        parts = {split: paired.filter(pl.col("split") == split) for split in SPLITS}
        return {
            split: frame_errors(rows, "text", "hypothesis", self.normaliser)
            for split, rows in parts.items()
            if len(rows)
        }


def joined(specifications: list[dict[str, Any]], columns: int) -> dict[str, Any]:
    """Join several charts in one picture. On dictionaries, since Altair copies all that it joins many times."""
    shared = ("$schema", "config")
    parts = [{k: v for k, v in one.items() if k not in (*shared, "datasets")} for one in specifications]
    datasets = {name: rows for one in specifications for name, rows in one["datasets"].items()}
    return {**{k: specifications[0][k] for k in shared}, "datasets": datasets, "columns": columns, "concat": parts}


def rates_of(counts: dict[str, Errors]) -> dict[str, float]:
    return {split: round(rate(*errors), 6) for split, errors in counts.items()}


def scaled(project: Project, adapter: Path) -> list[dict[str, Any]]:
    """Errors of base + scale x adapter: a copy of the adapter with another `lora_alpha`, merged."""
    found = []
    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(shutil.copytree(adapter, Path(temporary) / "adapter"))
        config = json.loads((copy / "adapter_config.json").read_text(encoding="utf-8"))
        for scale in SCALES:
            recogniser = project.recogniser(project.base)
            changed = {**config, "lora_alpha": config["lora_alpha"] * scale}
            (copy / "adapter_config.json").write_text(json.dumps(changed), encoding="utf-8")
            merge_adapters(recogniser.model, [copy])
            errors = project.errors(recogniser, f"scale {scale}")
            found.append({"scale": scale, "r": config["r"], "lora_alpha": changed["lora_alpha"], **errors})
    return found


def trained(project: Project, ranks: list[int], steps: int, evaluations: int) -> list[dict[str, Any]]:
    """Errors at `evaluations` steps of a fresh LoRA of each rank on gold, otherwise as it1's focus."""
    before = project.counts(project.recogniser(project.base), "the base")
    found = []
    for rank in ranks:
        lora = LoraParams.model_validate({**project.train.lora.model_dump(), "r": rank, "alpha": None})
        update = {"lora": lora, "steps": steps, "epochs": None, "evaluations": evaluations, "gold_share": 1.0}
        measured: list[dict[str, Errors]] = []

        def evaluate(recogniser: Recogniser, rank: int = rank, into: list[dict[str, Errors]] = measured) -> Errors:
            into.append(project.counts(recogniser, f"r={rank}") if into else before)  # fresh: changes nothing
            return into[-1]["dev"]

        with tempfile.TemporaryDirectory() as temporary:
            adapter = Path(temporary) / "adapter"
            params = project.train.model_copy(update={**update, "seed": project.seed})
            job = TrainJob(
                partial(project.recogniser, project.base), TrainingData(project.gold()), params, adapter,
                Path(temporary) / "work",
            )  # fmt: skip
            result = Trainer(project.store, lambda *_, scorer=evaluate: scorer).train(job)
            size = sum(path.stat().st_size for path in adapter.iterdir())
        history = [{**entry, **rates_of(counts)} for entry, counts in zip(result.history, measured, strict=True)]
        for entry in history:
            entry.pop("dev_error")
        found.append(
            {"r": rank, "trainable_parameters": result.trainable_parameters, "adapter_bytes": size, "history": history}
        )
    return found


def _lines(rows: list[dict[str, Any]], x: altair.X, series: str, order: list[str]) -> Any:
    """One line a series, over errors in percent; series differ by shape and dash as well as by colour."""

    def told(kind: Any, values: list[Any]) -> Any:
        """Colour, dash and shape with one domain, so that they share a legend."""
        return kind(f"{series}:N", title=None, scale=altair.Scale(domain=order, range=values[: len(order)]))

    base = altair.Chart(pl.DataFrame(rows)).encode(
        x=x,
        y=altair.Y("error:Q", title="error rate in %"),
        color=told(altair.Color, PALETTE),
    )
    line = base.mark_line(strokeWidth=2).encode(strokeDash=told(altair.StrokeDash, DASHES))
    return line + base.mark_point(filled=True, size=45, opacity=1).encode(shape=told(altair.Shape, SHAPES))


def _by_split(row: dict[str, Any]) -> list[dict[str, Any]]:
    return [{**row, "split": split, "error": 100 * row[split]} for split in SPLITS if split in row]


def draw_scale(found: list[dict[str, Any]]) -> dict[str, Any]:
    rows = [point for row in found for point in _by_split(row)]
    x = altair.X("scale:Q", title="alpha over the alpha that it was trained with", axis=altair.Axis(labelFlush=False))
    chart = _lines(rows, x, "split", list(SPLITS))
    return specification(chart.properties(width=430, height=240))


def draw_rank(found: list[dict[str, Any]]) -> dict[str, Any]:
    ranks = [row["r"] for row in found]
    last = [point for row in found for point in _by_split({"r": row["r"], **row["history"][-1]})]
    x = altair.X(
        "r:Q",
        title="rank r",
        scale=altair.Scale(type="log", base=2),
        axis=altair.Axis(values=ranks, labelFlush=False),
    )
    left = _lines(last, x, "split", list(SPLITS))
    steps = [
        {"step": entry["step"], "rank": f"r = {row['r']}", "error": 100 * entry["dev"]}
        for row in found
        for entry in row["history"]
    ]
    names = [f"r = {rank}" for rank in ranks]
    right = _lines(
        steps,
        altair.X(
            "step:Q",
            title="step",
            axis=altair.Axis(values=[entry["step"] for entry in found[0]["history"]], labelFlush=False),
        ),
        "rank",
        names,
    )
    steps_run = found[0]["history"][-1]["step"]
    return {
        **joined(
            [
                specification(left.properties(width=300, height=240), f"after {steps_run} steps"),
                specification(right.properties(width=300, height=240), "dev, while training"),
            ],
            2,
        ),
        "resolve": {"scale": {"color": "independent", "shape": "independent", "strokeDash": "independent"}},
    }


def show(name: str, found: list[dict[str, Any]]) -> None:
    """The figures as a table, in percent."""
    table = Table(title="error rates in %")
    for column in ("scale" if name == "scale" else "r", *SPLITS):
        table.add_column(column, justify="right")
    for row in found:
        errors = row if name == "scale" else row["history"][-1]
        key = row["scale"] if name == "scale" else row["r"]
        table.add_row(str(key), *(f"{100 * errors[split]:.1f}" if split in errors else "" for split in SPLITS))
    Console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("figure", choices=["scale", "rank"])
    parser.add_argument("--adapter", type=Path, default=paths.adapter("it1", "focus"), help="for scale")
    parser.add_argument("--ranks", default="1,4,16,64", help="for rank")
    parser.add_argument("--steps", type=int, default=160, help="for rank")
    parser.add_argument("--evaluations", type=int, default=4, help="for rank: how often errors are measured")
    parser.add_argument("--output", type=Path, default=paths.WORK / "course", help="a folder")
    args = parser.parse_args()
    project = Project()
    settings: dict[str, Any] = {"utterances": dict(project.rows["split"].value_counts().sort("split").iter_rows())}
    if args.figure == "scale":
        found, draw = scaled(project, args.adapter), draw_scale
        settings["adapter"] = args.adapter.as_posix()
    else:
        ranks = [int(rank) for rank in args.ranks.split(",")]
        found, draw = trained(project, ranks, args.steps, args.evaluations), draw_rank
        settings |= {"batch_size": project.train.batch_size, "learning_rate": project.train.learning_rate}
    show(args.figure, found)
    write_json(
        args.output / f"{args.figure}.json",
        {"machine": machine(), "settings": settings, "measured": found},
        sort_keys=False,
    )
    with replacing(args.output / f"{args.figure}.svg") as temporary:
        picture = vl_convert.vegalite_to_svg({**draw(found), "background": "white"})
        temporary.write_text(picture, encoding="utf-8")
    print(f"wrote {args.output / args.figure}.json and .svg")


if __name__ == "__main__":
    main()
