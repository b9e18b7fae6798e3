"""A training stage in which each language trains an adapter of its own, over its own chain."""

from __future__ import annotations

import re
import shutil
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from ilt.asr.device import pick_workers
from ilt.asr.families import load_recogniser
from ilt.asr.features import FeatureStore
from ilt.asr.lineage import Lineage
from ilt.asr.recogniser import Recogniser
from ilt.errors import IltError
from ilt.evaluation.scoring import frame_errors
from ilt.params import MixtureParams, RecogniserParams, TrainParams
from ilt.training.batches import Example
from ilt.training.log import csv_log
from ilt.training.mixture import allocate_steps
from ilt.training.trainer import Errors, TrainResult, total_steps, train_adapter

__all__ = ["Material", "train_language_adapters"]


@dataclass(frozen=True)
class Material:
    """What a stage trains on, of all languages.

    dev: the rows that adapters are judged by. heard_gold: rows of gold that are measured too; none if empty.
    """

    gold: Sequence[Example]
    pseudo: Sequence[Example]
    replay: Sequence[Example]
    dev: pl.DataFrame
    heard_gold: pl.DataFrame

    @property
    def languages(self) -> list[str]:
        """Those that are adapted to: all that have gold."""
        return sorted({example.language for example in self.gold})

    def of(self, language: str) -> Material:
        """What there is of one language. Raises IltError where nothing could judge its adapter."""
        groups = (self.gold, self.pseudo, self.replay)
        gold, pseudo, replay = ([e for e in group if e.language == language] for group in groups)
        dev, heard = (rows.filter(pl.col("language") == language) for rows in (self.dev, self.heard_gold))
        one = Material(gold, pseudo, replay, dev, heard)
        if not len(one.dev):
            raise IltError(
                f"{language} has no dev utterances to choose its adapter by; give it some (or raise "
                "evaluation_rows), or say adapter.scope: shared"
            )
        if not re.fullmatch(r"[\w-]+", language):
            raise IltError(f"the language code {language!r} cannot name a folder, which adapter.scope needs")
        return one


def _units(rows: pl.DataFrame, normaliser: str) -> int:
    """What the error rate of rows is a rate of."""
    return int(frame_errors(rows, "text", "text", normaliser)[1].sum())


def _pooled(
    results: dict[str, TrainResult], parts: Mapping[str, Material], units: dict[str, int], normaliser: str
) -> list[dict[str, float]]:
    """One history of all languages: the micro errors after each of its evaluations. units: of dev."""

    def mean(values: dict[str, float], weights: dict[str, int]) -> float:
        total = sum(weights[name] for name in values)
        return round(sum(values[name] * weights[name] for name in values) / max(1, total), 6)

    steps = {name: result.steps for name, result in results.items()}
    gold_units = {name: _units(parts[name].heard_gold, normaliser) for name in results}
    entries = []
    for number in range(max(len(result.history) for result in results.values())):
        at = {name: result.history[min(number, len(result.history) - 1)] for name, result in results.items()}
        entry = {
            "step": sum(int(one["step"]) for one in at.values()),
            "dev_error": mean({name: one["dev_error"] for name, one in at.items()}, units),
        }
        heard = {name: one["train_error"] for name, one in at.items() if "train_error" in one}
        if heard:
            entry["train_error"] = mean(heard, gold_units)
        if all("loss" in one for one in at.values()):
            entry["loss"] = mean({name: one["loss"] for name, one in at.items()}, steps)
        entries.append(entry)
    return entries


def train_language_adapters(
    lineage: Lineage,
    material: Material,
    store: FeatureStore,
    params: TrainParams,
    model: RecogniserParams,
    mixture: MixtureParams,
    scale: float,
    seed: int,
    judge: Callable[[pl.DataFrame, str], Callable[[Recogniser], Errors]],
    folder: Path,
    work: Path,
    live: Path,
    normaliser: str,
) -> tuple[Lineage, dict[str, Any]]:
    """Train one adapter for each language that has gold, and save it to `folder`/LANGUAGE.

    The steps of the stage are split over languages by their rows (`allocate_steps`), so that they are as many
    as with one adapter. judge: from rows and what they are called, what measures a recogniser on them.
    work, live: where checkpoints lie and where a training can be watched, a folder for each language, so that
    a killed stage goes on in the language that it was in.
    Returns the lineage with the new adapters, and what the stage tells of itself.
    """
    parts = {language: material.of(language) for language in material.languages}
    shutil.rmtree(folder, ignore_errors=True)  # of an adapter that was shared, or of a language that is gone
    rows = {name: len(part.gold) + len(part.pseudo) for name, part in parts.items()}
    frame = store.extractor.hop_length / store.extractor.sampling_rate
    seconds = frame * sum(store.frames[example.id] for example in material.gold)
    share = mixture.replay_share if material.replay else 0.0
    steps = allocate_steps(total_steps(params, len(material.gold), seconds, share), rows, mixture.temperature)
    results: dict[str, TrainResult] = {}
    after = lineage
    for language, part in parts.items():
        print(f"  {language}: {steps[language]} steps on {rows[language]} utterances")
        results[language] = train_adapter(
            load_recogniser(lineage.of_language(language), model), part.gold, part.pseudo, store,
            params.model_copy(update={"steps": steps[language], "epochs": None}),
            seed ^ zlib.crc32(language.encode()), judge(part.dev, "dev"), folder / language, work / language,
            workers=pick_workers(), replay=part.replay, mixture=mixture, scale=scale,
            train_error=judge(part.heard_gold, "gold") if len(part.heard_gold) else None,
            log=csv_log(live.with_name(f"{live.stem}.{language}.csv")),
        )  # fmt: skip
        after = after.with_adapter(folder / language, language, scale)
    units = {name: _units(part.dev, normaliser) for name, part in parts.items()}
    history = _pooled(results, parts, units, normaliser)
    kept = sum(results[name].kept_error * units[name] for name in results) / max(1, sum(units.values()))
    told = {
        "steps": sum(result.steps for result in results.values()),
        "kept_step": sum(result.kept_step for result in results.values()),
        "kept_dev_error": round(kept, 6),
        "history": history,
        "trainable_parameters": sum(result.trainable for result in results.values()),
        "languages": {
            name: {
                "steps": result.steps, "kept_step": result.kept_step, "kept_dev_error": result.kept_error,
                "history": result.history, "gold": len(parts[name].gold), "pseudo": len(parts[name].pseudo),
            }
            for name, result in results.items()
        },
    }  # fmt: skip
    return after, told
