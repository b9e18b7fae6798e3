"""What the training stages focus, feedback and fix share: gather data, run jobs, write lineage and details."""

from __future__ import annotations

import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from ilt import paths
from ilt.asr.batching import Batching
from ilt.asr.device import pick_workers
from ilt.asr.families import load_recogniser
from ilt.asr.features import FeatureStore
from ilt.asr.lineage import Lineage, read_lineage
from ilt.asr.recogniser import Recogniser
from ilt.corpus.intake import read_intake
from ilt.errors import IltError
from ilt.labels.table import LABEL_TABLE
from ilt.params import RecogniserParams, TrainParams, per_language_stages
from ilt.stages._stage import Run
from ilt.stages._train_plan import TrainPlan
from ilt.training.data import Example, TrainingData, even_rows, examples_of
from ilt.training.jobs import TrainJob, split_by_language
from ilt.training.results import report
from ilt.training.schedule import total_steps
from ilt.training.selection import make_scorer
from ilt.training.trainer import Trainer

__all__ = ["train_stage"]

GOLD_SAMPLE = 60
"""Rows of gold that are measured beside dev, to see what is learnt by heart; no decision depends on it."""


def _split(table: pl.DataFrame, split: str) -> pl.DataFrame:
    return table.filter(pl.col("split") == split)


def _selected(labels: Path | None, gold_share: float) -> list[Example]:
    """Return the selected labels of the pool. Raises IltError if they are wanted and there are none."""
    if labels is None or gold_share == 1:
        return []
    chosen = LABEL_TABLE.scan(labels).filter(pl.col("selected"), pl.col("split") == "pool").collect()
    if not len(chosen):
        raise IltError(
            f"{labels} has no selected labels, so there is nothing to train on but gold: raise select.keep "
            "or select.max_expected_error, or say gold_share: 1.0 to train on gold alone"
        )
    return examples_of(chosen)


def _replay(table: pl.DataFrame, share: float) -> list[Example]:
    """Return labelled speech of the source domain, where it is wanted. Raises IltError if there is none."""
    if not share:
        return []
    rows = _split(table, "replay")
    if not len(rows):
        raise IltError(
            "mixture.replay_share is set, but the corpus has no utterances of the split `replay`; "
            "give some, or say mixture.replay_share: 0"
        )
    return examples_of(rows)


def _gather(plan: TrainPlan, table: pl.DataFrame, labels: Path | None) -> TrainingData:
    """Return the data of a stage, of all languages."""
    gold = _split(table, "gold")
    return TrainingData(
        gold=examples_of(gold),
        pseudo=_selected(labels, plan.train.gold_share),
        replay=_replay(table, plan.mixture.replay_share),
        dev=even_rows(_split(table, "dev"), plan.train.evaluation_rows),
        gold_sample=even_rows(gold, GOLD_SAMPLE),
    )


def _writable(data: TrainingData, recogniser: Recogniser) -> tuple[TrainingData, list[str]]:
    """Return the data without pseudo-labels that the model cannot write, and their ids."""
    too_long = [example.id for example in data.pseudo if not recogniser.fits(example.text, example.language)]
    if not too_long:
        return data, []
    print(
        f"  {len(too_long)} labels of the pool are longer than the {recogniser.max_tokens} tokens that the "
        f"model can write and are not trained on, for example {', '.join(too_long[:5])}"
    )
    fitting = [example for example in data.pseudo if recogniser.fits(example.text, example.language)]
    return replace(data, pseudo=fitting), too_long


def _params(plan: TrainPlan, gold: pl.DataFrame) -> TrainParams:
    """Return the parameters of the training; one that replaces others is as long as they are together."""
    if not plan.replaces:
        return plan.train
    seconds, replay_share = float(gold["duration"].sum()), plan.mixture.replay_share
    steps = sum(total_steps(each, len(gold), seconds, replay_share) for each in plan.replaces)
    evaluations = sum(each.evaluations for each in plan.replaces)
    return plan.train.model_copy(update={"steps": steps, "epochs": None, "evaluations": evaluations})


def _model(plan: TrainPlan) -> RecogniserParams:
    """Return the model to load: all of its weights are trained in float32, unless a dtype was chosen.

    A step is smaller than what bfloat16 tells apart: most weights would stay where they are.
    """
    full = plan.adapter.mode == "full" and plan.model.dtype == "auto"
    return plan.model.model_copy(update={"dtype": "float32"}) if full else plan.model


def _start(run: Run[TrainPlan], start: Path) -> tuple[Lineage, Path | None]:
    """Return the lineage that the stage adapts, and the LoRA that it trains on with, if it does (`continue`)."""
    lineage = read_lineage(start).start_of(run.name, run.plan.adapter.scope)
    if run.plan.adapter.mode != "continue" or not lineage.adapters:
        return lineage, None
    *before, last = lineage.adapters
    return Lineage(lineage.id, lineage.revision, lineage.content, tuple(before)), Path(last.path)


def train_stage(run: Run[TrainPlan], start: Path, labels: Path | None) -> None:
    """Train the adapters of a stage over the lineage in `start`, on gold and the selected rows of `labels`.

    Writes the adapters, the lineage with them, and the history of the training.
    """
    plan, scale = run.plan, run.plan.adapter.scale
    lineage, start_from = _start(run, start)
    model, by_language = _model(plan), run.name in per_language_stages(plan.adapter.scope)
    table = read_intake(run.iteration)
    data = _gather(plan, table, labels)
    recogniser = load_recogniser(lineage.shared if by_language else lineage, model)
    data, too_long = _writable(data, recogniser)
    store = FeatureStore(table, recogniser.extractor)
    scorers = partial(make_scorer, store=store, batching=Batching.of(model), normaliser=plan.normaliser)
    trainer = Trainer(store, scorers, plan.mixture, scale, plan.adapter.mode == "full", pick_workers())
    job = TrainJob(
        load=lambda: recogniser,
        data=data,
        params=_params(plan, _split(table, "gold")),
        folder=paths.adapter(run.iteration, run.name),
        work=run.work(start, paths.intake(run.iteration), *([labels] if labels else [])),
        log=paths.training_log(run.iteration, run.name),
        start_from=start_from,
        keep_best=bool(plan.replaces),
    )
    jobs = [job]
    if by_language:

        def load(language: str) -> Recogniser:
            return load_recogniser(lineage.of_language(language), model)

        jobs = split_by_language(job, trainer.steps(job), plan.mixture.temperature, load)
        shutil.rmtree(job.folder, ignore_errors=True)  # of a shared adapter, or of a language that is gone
        del recogniser  # each language loads its own
    results, after = [], lineage
    for each in jobs:
        if each.language:
            utterances = len(each.data.gold) + len(each.data.pseudo)
            print(f"  {each.language}: {each.params.steps} steps on {utterances} utterances")
        results.append(trainer.train(each))
        after = after.with_adapter(each.folder, each.language, scale)
    after.write(paths.lineage(run.iteration, run.name))
    _write_details(run, job, report(jobs, results), too_long)


def _write_details(run: Run[TrainPlan], job: TrainJob, figures: dict[str, Any], too_long: list[str]) -> None:
    """Write what the stage says of itself, and note its size."""
    size = sum(path.stat().st_size for path in job.folder.rglob("*") if path.is_file())
    run.notes |= {"trainable_parameters": figures["trainable_parameters"], "adapter_bytes": size}
    counts = {"gold": len(job.data.gold), "pseudo": len(job.data.pseudo), "adapter_bytes": size}
    if job.data.replay:
        counts["replay"] = len(job.data.replay)
    details = {**figures, **counts, **({"too_long": too_long} if too_long else {})}
    paths.write_json(paths.details(run.iteration, run.name), details)
    print(f"  dev error {figures['kept_dev_error']:.1%} at step {figures['kept_step']} of {figures['steps']}")
