"""What the training stages focus, feedback and fix share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl

from ilt import paths
from ilt.asr.batching import Batching, workers_of
from ilt.asr.features import FeatureStore
from ilt.asr.lineage import Lineage, read_lineage
from ilt.asr.recogniser import Recogniser, load_recogniser
from ilt.asr.transcribe import transcribe_table
from ilt.corpus.table import UTTERANCE_TABLE
from ilt.errors import IltError
from ilt.evaluation.scoring import frame_errors, rate
from ilt.labels.table import LABEL_TABLE
from ilt.params import ModelParams, TrainParams
from ilt.stages._left_out import pass_model, why_left_out
from ilt.stages._stage import Stage
from ilt.training.batches import Example
from ilt.training.live import live_log
from ilt.training.trainer import total_steps, train_adapter

__all__ = ["train_stage"]


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


def _error_on(
    what: str, rows: pl.DataFrame, store: FeatureStore, batch: Batching, normaliser: str
) -> Callable[[Recogniser], float]:
    """The error of generated text on some rows, as heard: without what training does to features."""

    def evaluate(recogniser: Recogniser) -> float:
        heard = transcribe_table(recogniser, rows, store, batch, what=what)
        paired = rows.with_columns(hypothesis=heard["text"])
        return round(rate(*frame_errors(paired, "text", "hypothesis", normaliser)), 6)

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


def train_stage(stage: Stage, start: Path, labels: Path | None) -> None:
    """Train the adapter of a stage over the lineage in `start`, on gold and the selected rows of `labels`.

    Writes the adapter, the lineage with it, and the history of the training.
    """
    params, mode = stage.section("train", TrainParams), stage.values["mode"]
    if why := why_left_out(stage):
        pass_model(stage, start, why)
        return
    lineage = read_lineage(start)
    folder = paths.adapter(stage.iteration, stage.name)
    under, start_from = lineage, None
    if mode == "continue" and lineage.adapters:
        start_from = Path(lineage.adapters[-1].path)
        under = Lineage(lineage.id, lineage.revision, lineage.content, lineage.adapters[:-1])
    table = UTTERANCE_TABLE.read(paths.UTTERANCES)
    gold = _examples(table.filter(pl.col("split") == "gold"))
    pseudo = _selected(labels, params.gold_share) if labels else []
    if stage.values.get("stages"):
        seconds = float(table.filter(pl.col("split") == "gold")["duration"].sum())
        replaced = [TrainParams.model_validate(section) for section in stage.values["stages"]]
        params = params.model_copy(
            update={
                "steps": sum(total_steps(each, len(gold), seconds) for each in replaced),
                "epochs": None,
                "evaluations": sum(each.evaluations for each in replaced),
            }
        )
    model = stage.section("model", ModelParams)
    recogniser = load_recogniser(under, model)
    long = [example.id for example in pseudo if not recogniser.fits(example.text)]
    if long:
        pseudo = [example for example in pseudo if recogniser.fits(example.text)]
        print(
            f"  {len(long)} labels of the pool are longer than the {recogniser.max_tokens} tokens that the "
            f"model can write and are not trained on, for example {', '.join(long[:5])}"
        )
    store = FeatureStore(table, recogniser.extractor, model.feature_cache_mb)
    errors = {
        split: _error_on(split, _spread(table.filter(pl.col("split") == split), count), store,
                         Batching.of(model), stage.values["normaliser"])
        for split, count in (("dev", params.evaluation_rows), ("gold", params.train_evaluation_rows))
        if count
    }  # fmt: skip
    work = stage.work(start, paths.UTTERANCES, *([labels] if labels else []))
    result = train_adapter(
        recogniser, gold, pseudo, store, params, stage.seed,
        errors["dev"], folder, work, start_from, workers_of(model), errors.get("gold"),
        live_log(paths.live(stage.iteration, stage.name)), full=mode == "full",
    )  # fmt: skip
    after = under.with_adapter(folder)
    after.write(paths.lineage(stage.iteration, stage.name))
    size = sum(path.stat().st_size for path in folder.iterdir())
    stage.notes |= {"trainable_parameters": result.trainable, "adapter_bytes": size}
    paths.write_json(
        paths.metrics(stage.iteration, stage.name),
        {
            "steps": result.steps,
            "best_step": result.best_step,
            "best_dev_error": result.best_error,
            "history": result.history,
            "gold": len(gold),
            "pseudo": len(pseudo),
            **({"too_long": long} if long else {}),
            "trainable_parameters": result.trainable,
            "adapter_bytes": size,
        },
    )
    print(f"  dev error {result.best_error:.1%} at step {result.best_step} of {result.steps}")
