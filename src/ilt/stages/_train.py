"""What the training stages focus, feedback and fix share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl

from ilt import paths
from ilt.asr.batching import Batching
from ilt.asr.device import pick_workers
from ilt.asr.families import load_recogniser
from ilt.asr.features import FeatureStore
from ilt.asr.lineage import Lineage, read_lineage
from ilt.asr.recogniser import Recogniser
from ilt.asr.transcribe import transcribe_table
from ilt.corpus.intake import read_intake
from ilt.errors import IltError
from ilt.evaluation.scoring import frame_errors
from ilt.labels.table import LABEL_TABLE
from ilt.params import per_language_stages
from ilt.stages._by_language import Material, train_language_adapters
from ilt.stages._stage import Run
from ilt.stages._train_plan import TrainPlan
from ilt.training.batches import Example
from ilt.training.log import csv_log
from ilt.training.trainer import Errors, total_steps, train_adapter

__all__ = ["train_stage"]


TRAIN_EVALUATION_ROWS = 60
"""Rows of gold that are measured beside dev, to see what is learnt by heart; no decision depends on it."""


def _examples(frame: pl.DataFrame) -> list[Example]:
    return [Example(*row) for row in frame.sort("id").select("id", "language", "text").iter_rows()]


def _selected(labels: Path, gold_share: float) -> list[Example]:
    """The selected labels of the pool. Raises IltError if they are wanted and there are none."""
    chosen = LABEL_TABLE.scan(labels).filter(pl.col("selected"), pl.col("split") == "pool").collect()
    if not len(chosen) and gold_share < 1:
        raise IltError(
            f"{labels} has no selected labels, so there is nothing to train on but gold: raise select.keep "
            "or select.max_expected_error, or say gold_share: 1.0 to train on gold alone"
        )
    return _examples(chosen) if gold_share < 1 else []


def _replay(table: pl.DataFrame, share: float) -> list[Example]:
    """Labelled speech of the source domain, where it is wanted. Raises IltError if there is none."""
    if not share:
        return []
    found = _examples(table.filter(pl.col("split") == "replay"))
    if not found:
        raise IltError(
            "mixture.replay_share is set, but the corpus has no utterances of the split `replay`; "
            "give some, or say mixture.replay_share: 0"
        )
    return found


def _errors_on(
    what: str, rows: pl.DataFrame, store: FeatureStore, batch: Batching, normaliser: str
) -> Callable[[Recogniser], Errors]:
    """The errors of generated text on some rows, as heard: without what training does to features."""

    def evaluate(recogniser: Recogniser) -> Errors:
        heard = transcribe_table(recogniser, rows, store, batch, what=what)
        paired = rows.with_columns(hypothesis=heard["text"])
        return frame_errors(paired, "text", "hypothesis", normaliser)

    return evaluate


def _spread(rows: pl.DataFrame, count: int) -> pl.DataFrame:
    """At most `count` rows, evenly over languages and ids."""
    if len(rows) <= count:
        return rows.sort("id")
    every = rows.sort("language", "id").with_row_index("_at")
    kept = every.filter(
        (pl.col("_at") * count) // len(rows) != ((pl.col("_at") - 1).cast(pl.Int64) * count) // len(rows)
    )
    return kept.drop("_at").sort("id")


def train_stage(run: Run[TrainPlan], start: Path, labels: Path | None) -> None:
    """Train the adapter of a stage over the lineage in `start`, on gold and the selected rows of `labels`.

    Writes the adapter, the lineage with it, and the history of the training.
    """
    plan = run.plan
    params, mode, scope = plan.train, plan.adapter.mode, plan.adapter.scope
    lineage = read_lineage(start).start_of(run.name, scope)
    folder = paths.adapter(run.iteration, run.name)
    under, start_from = lineage, None
    if mode == "continue" and lineage.adapters:
        start_from = Path(lineage.adapters[-1].path)
        under = Lineage(lineage.id, lineage.revision, lineage.content, lineage.adapters[:-1])
    inputs = paths.intake(run.iteration)
    table = read_intake(run.iteration)
    gold = _examples(table.filter(pl.col("split") == "gold"))
    pseudo = _selected(labels, params.gold_share) if labels else []
    mixture, scale = plan.mixture, plan.adapter.scale
    if plan.replaces:
        seconds = float(table.filter(pl.col("split") == "gold")["duration"].sum())
        replaced = plan.replaces
        params = params.model_copy(
            update={
                "steps": sum(total_steps(each, len(gold), seconds, mixture.replay_share) for each in replaced),
                "epochs": None,
                "evaluations": sum(each.evaluations for each in replaced),
            }
        )
    model = plan.model
    if mode == "full" and model.dtype == "auto":
        # A step is smaller than what bfloat16 tells apart: most weights would stay where they are.
        model = model.model_copy(update={"dtype": "float32"})
    replay = _replay(table, mixture.replay_share)
    experts = run.name in per_language_stages(scope)
    recogniser = load_recogniser(under.shared if experts else under, model)
    long = [example.id for example in pseudo if not recogniser.fits(example.text)]
    if long:
        pseudo = [example for example in pseudo if recogniser.fits(example.text)]
        print(
            f"  {len(long)} labels of the pool are longer than the {recogniser.max_tokens} tokens that the "
            f"model can write and are not trained on, for example {', '.join(long[:5])}"
        )
    store = FeatureStore(table, recogniser.extractor)
    dev = _spread(table.filter(pl.col("split") == "dev"), params.evaluation_rows)
    work = run.work(start, inputs, *([labels] if labels else []))

    def judge(rows: pl.DataFrame, what: str) -> Callable[[Recogniser], Errors]:
        return _errors_on(what, rows, store, Batching.of(model), plan.normaliser)

    heard_gold = _spread(table.filter(pl.col("split") == "gold"), TRAIN_EVALUATION_ROWS)
    live = paths.training_log(run.iteration, run.name)
    if experts:
        del recogniser
        after, told = train_language_adapters(
            under, Material(gold, pseudo, replay, dev, heard_gold), store, params, model, mixture, scale,
            params.seed, judge, folder, work, live, plan.normaliser,
        )  # fmt: skip
    else:
        result = train_adapter(
            recogniser, gold, pseudo, store, params, params.seed, judge(dev, "dev"), folder, work, start_from,
            pick_workers(), judge(heard_gold, "gold") if len(heard_gold) else None, csv_log(live),
            mode == "full", replay, mixture, scale, keep_best=bool(plan.replaces),
        )  # fmt: skip
        after = under.with_adapter(folder, scale=scale)
        told = {
            "steps": result.steps,
            "kept_step": result.kept_step,
            "kept_dev_error": result.kept_error,
            "history": result.history,
            "trainable_parameters": result.trainable,
        }
    after.write(paths.lineage(run.iteration, run.name))
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    run.notes |= {"trainable_parameters": told["trainable_parameters"], "adapter_bytes": size}
    paths.write_json(
        paths.details(run.iteration, run.name),
        {
            **told,
            "gold": len(gold),
            "pseudo": len(pseudo),
            **({"replay": len(replay)} if replay else {}),
            **({"too_long": long} if long else {}),
            "adapter_bytes": size,
        },
    )
    print(f"  dev error {told['kept_dev_error']:.1%} at step {told['kept_step']} of {told['steps']}")
