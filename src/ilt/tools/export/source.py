"""The model that is exported, and what is known of it: lineage, family, dev rows, measured figures, data."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from ilt import paths
from ilt.asr.families import model_info
from ilt.asr.lineage import Lineage, read_lineage
from ilt.corpus.intake import INTAKE_TABLE, read_intake
from ilt.corpus.languages import suggested_code
from ilt.errors import IltError
from ilt.params import ModelParams, Params, RecogniserParams
from ilt.tools.export.merged import require_converter
from ilt.tools.export.options import ExportOptions
from ilt.tools.recognisers import CLASSES, iteration_model

__all__ = ["Source", "base_config", "read_source"]

CONVERTED_FAMILIES = ("whisper",)

Fingerprint = dict[str, str]


@dataclass(frozen=True)
class Source:
    """The model of an iteration.

    family:     `model_type` of the base; config: its config.
    model:      parameters that it runs with in the pipeline.
    dev:        rows of the utterance table that exported forms are checked on.
    languages:  codes that it was adapted to.
    figures:    what the pipeline measured, as in summary.json; data: hashes of the tables that it was trained on.
    """

    iteration: str
    lineage: Lineage
    family: str
    config: Any
    model: RecogniserParams
    dev: pl.DataFrame
    languages: list[str]
    figures: dict[str, Any] = field(default_factory=dict)
    data: Fingerprint = field(default_factory=dict)

    @property
    def model_class(self) -> str:
        """The name of the model's class in transformers."""
        return f"{CLASSES[self.family]}ForConditionalGeneration"


def base_config(lineage: Lineage) -> tuple[str, Any]:
    """Return family and config of a lineage's base. Raises IltError for a family that is not supported."""
    from transformers import AutoConfig

    family = model_info(ModelParams(id=lineage.id, revision=lineage.revision)).family
    return family, AutoConfig.from_pretrained(lineage.id, revision=lineage.revision, trust_remote_code=False)


def read_source(params: Params, iteration: str, options: ExportOptions) -> Source:
    """Read the model of an iteration, or that of one of its language adapters.

    Raises IltError where something is missing, and for a form that the model's family does not have.
    """
    language = options.language
    lineage = _of_language(_lineage(iteration), language)
    family, config = base_config(lineage)
    if options.form == "ctranslate2":
        if family not in CONVERTED_FAMILIES:
            raise IltError(
                f"--to ctranslate2: there is no such form of a {family} model (faster-whisper has Whisper alone); "
                "--to merged and --to adapter work for it"
            )
        require_converter()
    figures, data = _measured(iteration, language), _fingerprint(lineage)
    known = INTAKE_TABLE.scan(paths.intake(iteration)).select(pl.col("language").unique().sort()).collect()
    languages = [language] if language else [str(code) for code in known["language"]]
    model = iteration_model(params, iteration)
    dev = _dev(iteration, options)
    return Source(iteration, lineage, family, config, model, dev, languages, figures, data)


def _lineage(iteration: str) -> Lineage:
    path = paths.lineage(iteration)
    if not path.is_file():
        others = sorted(other.parent.name for other in paths.ITERATIONS.glob(f"*/{path.name}"))
        raise IltError(
            f"there is no model of {iteration!r} ({path} is missing); there are: {', '.join(others) or 'none'}; "
            "run `dvc repro`, `dvc pull` or `dvc checkout`"
        )
    return read_lineage(path)


def _of_language(lineage: Lineage, language: str | None) -> Lineage:
    """Return the lineage of one model: where languages have adapters of their own, that of one of them."""
    known = lineage.adapter_languages
    if known and language is None:
        raise IltError(
            f"this model has adapters for each of {', '.join(known)}, which cannot be one model: "
            f"say --language {known[0]}, and export one after another"
        )
    if language is None:
        return lineage
    if language not in known:
        models = f"adapters for {', '.join(known)}" if known else "one model for all languages"
        other = suggested_code(language, frozenset(known))
        raise IltError(f"--language {language!r}: this lineage has {models}" + (f"; write {other!r}" if other else ""))
    return lineage.of_language(language)


def _dev(iteration: str, options: ExportOptions) -> pl.DataFrame:
    """Return at most `options.rows` dev rows, evenly over the languages that take part in an iteration, or of one."""
    language, rows = options.language, options.rows
    dev = read_intake(iteration).filter(pl.col("split") == "dev")
    if language is not None:
        dev = dev.filter(pl.col("language") == language)
    if not len(dev):
        of = "" if language is None else f" of {language}"
        raise IltError(f"{paths.intake(iteration)} has no dev utterances{of} to check the exported model with")
    if rows is None or rows >= len(dev):
        return dev
    at = pl.int_range(pl.len())
    return dev.sort("language", "id").filter(at * rows // len(dev) != (at - 1) * rows // len(dev)).sort("id")


def _fingerprint(lineage: Lineage) -> Fingerprint:
    """Return the SHA-256 of each table that a model was trained on, by path, and of them all together under `data`.

    These are the utterance table, and the label tables of each iteration that the adapters belong to. Raises
    IltError if one is missing.
    """
    iterations = dict.fromkeys(link.iteration for link in lineage.adapters)
    labels = [paths.labels(name, table) for name in iterations for table in ("selected", "corrected")]
    hashes = {path.as_posix(): _file_hash(path) for path in (paths.UTTERANCES, *labels)}
    whole = hashlib.sha256("\n".join(f"{name} {value}" for name, value in hashes.items()).encode())
    return {"data": whole.hexdigest(), **hashes}


def _file_hash(path: Path) -> str:
    if not path.is_file():
        raise IltError(
            f"{path} is missing, which the model card names by its hash; run `dvc pull`, `dvc checkout` or `dvc repro`"
        )
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _measured(iteration: str, language: str | None = None) -> dict[str, Any]:
    """Return what the pipeline measured of an iteration's model; of one language, error rates alone.

    Read from the iteration's evaluation, else from data/metrics. Raises IltError where neither has it.
    """
    path = paths.evaluation(iteration)
    figures: dict[str, Any]
    if path.is_file():
        figures = paths.read_json(path)
    else:
        summary = paths.read_json(paths.SUMMARY) if paths.SUMMARY.is_file() else {}
        if iteration not in summary:
            stage = "evaluate_base" if iteration == "base" else f"evaluate@{iteration}"
            raise IltError(
                f"nothing was measured of {iteration} ({path} is missing and {paths.SUMMARY} does not have it); "
                f"run `dvc repro {stage}`"
            )
        figures = summary[iteration]
    if language is None:
        return figures
    rates = {split: figures[split]["by_language"].get(language) for split in ("test", "dev", "retention")}
    return {split: {"micro": rate, "macro": rate} for split, rate in rates.items()}
