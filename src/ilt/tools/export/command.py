"""`ilt export`: write a form of a model, check it on dev, and put a card beside it."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import polars as pl

from ilt import paths
from ilt.asr.lineage import Lineage, read_lineage
from ilt.asr.model_files import require_model
from ilt.corpus.intake import INTAKE_TABLE, read_intake
from ilt.errors import IltError
from ilt.params import RecogniserParams, load_params
from ilt.tools.export.card import Card
from ilt.tools.export.merged import require_converter
from ilt.tools.export.options import RECORD, ExportOptions, check
from ilt.tools.export.parity import Parity, ParityError, measure
from ilt.tools.export.provenance import fingerprint, measured

__all__ = ["run_export"]

CONVERTED_FAMILIES = ("whisper",)


def _family(lineage: Lineage) -> tuple[str, Any]:
    from transformers import AutoConfig

    require_model(lineage.id, lineage.revision)
    config = AutoConfig.from_pretrained(lineage.id, revision=lineage.revision)
    return str(config.model_type).replace("_", "-"), config


def _dev(iteration: str, rows: int | None, language: str | None) -> pl.DataFrame:
    """Dev rows of what takes part: a language that begins later is unknown to this model."""
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


def _of_language(lineage: Lineage, language: str | None) -> Lineage:
    """The model that is to be exported: one expert, where languages have adapters of their own."""
    if lineage.adapter_languages and language is None:
        raise IltError(
            f"this model has adapters for each of {', '.join(lineage.adapter_languages)}, which cannot be one model: "
            f"say --language {lineage.adapter_languages[0]}, and export one after another"
        )
    if language is None:
        return lineage
    if language not in lineage.adapter_languages:
        there = (
            f"experts for {', '.join(lineage.adapter_languages)}"
            if lineage.adapter_languages
            else "one model for all languages"
        )
        raise IltError(f"--language {language!r}: this lineage has {there}")
    return lineage.of_language(language)


def _measured(iteration: str, language: str | None) -> dict[str, Any]:
    """What was measured of the iteration: of one language, without its gains, or of all."""
    found = measured(iteration)
    if language is None:
        return found
    splits = ("test", "dev", "retention")
    rates = {split: found[split]["by_language"].get(language) for split in splits}
    return {split: {"micro": rate, "macro": rate} for split, rate in rates.items()}


def _lineage(iteration: str) -> Lineage:
    if not paths.lineage(iteration).is_file():
        there = sorted(path.stem for path in (paths.DATA / "lineage").glob("*.json") if "." not in path.stem)
        raise IltError(
            f"there is no model of {iteration!r} ({paths.lineage(iteration)} is missing); there are: "
            f"{', '.join(there) or 'none'}; run `dvc repro`, `dvc pull` or `dvc checkout`"
        )
    return read_lineage(paths.lineage(iteration))


def _snippet(
    options: ExportOptions, lineage: Lineage, family: str, config: Any, folder: Path, language: str,
    model: RecogniserParams,
) -> str:  # fmt: skip
    from ilt.asr.model_files import read_config
    from ilt.tools.export import heard, snippets

    name, kind = options.output.resolve().name, config.architectures[0]
    settings = read_config(lineage.id, lineage.revision, "generation_config.json")
    told = model.languages.get(language, language)
    code = told if settings.get("lang_to_id") else None
    if options.form == "merged":
        return snippets.merged_snippet(name, family, kind, code)
    if options.form == "adapter":
        return snippets.adapter_snippet(name, family, kind, code, lineage)
    short = heard.needs_short_context(folder, model.audio_context)
    return snippets.faster_snippet(name, code, short, heard.margin(model), heard.suppressed(folder))


def _parity(
    form: str, dev: pl.DataFrame, lineage: Lineage, family: str, folder: Path, model: RecogniserParams,
    normaliser: str,
) -> Parity:  # fmt: skip
    from ilt.tools.export.heard import heard_by, heard_by_recogniser

    ours = heard_by_recogniser(lineage, dev, model, "pipeline")
    theirs = heard_by(form, family, folder, dev, model, lineage)
    found = measure(dev, ours, theirs, normaliser)
    print(f"parity: {found}")
    return found


def _share(folder: Path) -> None:
    """Give all files the mode that new files have here; safetensors writes for the owner alone."""
    mode = (folder / RECORD).stat().st_mode
    for path in folder.iterdir():
        path.chmod(mode)


def _hint(options: ExportOptions, model: RecogniserParams, exact: bool) -> str:
    """What the difference may come from."""
    if options.form == "merged" and model.audio_context == "batch":
        return (
            " The pipeline cuts the encoder's context to what a batch needs (model.audio_context: batch); "
            "transformers' pipeline always pads to the whole: a model that is to be used there is better "
            "trained with model.audio_context: full."
        )
    if not exact:
        return " A higher --rank keeps more."
    if options.form != "ctranslate2":
        return ""
    if options.quantization not in (None, "float16", "float32"):
        return " Try --quantization float16 or float32."
    return (
        " It hears one utterance at a time, and the pipeline batches of them, whose padding a small model "
        "notices; --tolerance says how much of that is acceptable."
    )


def _advice(options: ExportOptions, family: str, model: RecogniserParams, codes: list[str]) -> str:
    """What the card says below its code."""
    taken = [f"{code} is taken for {model.languages[code]}" for code in codes if code in model.languages]
    advice = [f"The model has not all of the languages: {', '.join(taken)}; tell it so."] if taken else []
    if options.form == "adapter" and family == "whisper" and model.audio_context == "batch":
        advice.append(
            "The model was adapted with `model.audio_context: batch`, where the encoder hears what was said "
            "and a little silence; the code above gives it the whole context, so that some texts differ from "
            "those that were measured. A model that is to be used so is better trained with "
            "`model.audio_context: full`."
        )
    return "\n\n".join(advice)


def run_export(iteration: str, options: ExportOptions) -> int:
    """Export the model of an iteration. Returns 1, and writes nothing, if it does not do what it should."""
    check(options)
    params, lineage = load_params(), _of_language(_lineage(iteration), options.language)
    family, config = _family(lineage)
    if options.form == "ctranslate2":
        if family not in CONVERTED_FAMILIES:
            raise IltError(
                f"--to ctranslate2: there is no such form of a {family} model (faster-whisper has Whisper "
                "alone); --to merged and --to adapter work for it"
            )
        require_converter()
    from ilt.tools.export.write import note_of, write_form

    warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*")  # PEFT asks the old name
    numbers, data = _measured(iteration, options.language), fingerprint(lineage)
    dev = _dev(iteration, options.rows, options.language)
    model = params.recogniser_model
    known = INTAKE_TABLE.scan(paths.intake(iteration)).select(pl.col("language").unique().sort()).collect()
    codes = [options.language] if options.language else [str(code) for code in known["language"]]
    normaliser = params.evaluate.normaliser
    try:
        with paths.replacing(options.output) as folder:
            facts = write_form(
                options.form, lineage, model, config, folder,
                options.dtype or "float32", options.quantization or "float16", options.rank,
            )  # fmt: skip
            note = note_of(options.form, facts)
            print(f"{options.form}: {note}".rstrip(" ."))
            parity = _parity(options.form, dev, lineage, family, folder, model, normaliser)
            parity.check(options.tolerance, _hint(options, model, exact=not facts.get("error")))
            card = Card(
                options.output.resolve().name, options.form, family, iteration, lineage, codes,
                options.licence, data, numbers, normaliser, parity, note,
                _snippet(options, lineage, family, config, folder, codes[0], model),
                _advice(options, family, model, codes),
            )  # fmt: skip
            (folder / "README.md").write_text(card.text(), encoding="utf-8")
            record = {
                **facts, "form": options.form, "iteration": iteration, "audio_context": model.audio_context,
                "lineage": lineage.to_dict() | {"hash": lineage.hash}, "data": data,
                "parity": parity.to_dict(), **({"language": options.language} if options.language else {}),
            }  # fmt: skip
            paths.write_json(folder / RECORD, record)
            _share(folder)
    except ParityError as error:
        print(f"ERROR: {error}", file=sys.stderr)
        return 1
    print(f"written: {options.output}")
    return 0
