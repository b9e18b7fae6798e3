"""`ilt export`: write a form of a model, check it on dev, and put a card beside it."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

from ilt import paths
from ilt.params import load_params
from ilt.tools.export.card import Card
from ilt.tools.export.options import RECORD, ExportOptions, check
from ilt.tools.export.parity import Parity, ParityError, measure
from ilt.tools.export.source import Source, read_source

__all__ = ["run_export"]


def _snippet(options: ExportOptions, source: Source, folder: Path) -> str:
    """Return the code of the card."""
    from ilt.asr.model_files import read_config
    from ilt.tools.export import decoding, snippets

    lineage, model, name = source.lineage, source.model, options.output.resolve().name
    settings = read_config(lineage.id, lineage.revision, "generation_config.json")
    language = model.languages.get(source.languages[0], source.languages[0]) if settings.get("lang_to_id") else None
    if options.form == "merged":
        return snippets.merged_snippet(name, source.family, source.model_class, language)
    if options.form == "adapter":
        return snippets.adapter_snippet(name, source.family, source.model_class, language, lineage)
    short = decoding.needs_short_context(folder, model.audio_context)
    margin = decoding.margin(folder, model.audio_context) if short else False
    return snippets.faster_snippet(name, language, margin, decoding.suppressed(folder))


def _parity(options: ExportOptions, source: Source, folder: Path, normaliser: str) -> Parity:
    """Decode dev with the exported form and with the pipeline, and print how they compare."""
    from ilt.tools.export.decoding import decode_exported, decode_with_pipeline

    pipeline = decode_with_pipeline(source.lineage, source.dev, source.model, "pipeline")
    parity = measure(source.dev, pipeline, decode_exported(options.form, folder, source), normaliser)
    print(f"parity: {parity}")
    return parity


def _share(folder: Path) -> None:
    """Give all files the mode that new files have here; safetensors writes for the owner alone."""
    mode = (folder / RECORD).stat().st_mode
    for path in folder.iterdir():
        path.chmod(mode)


def _hint(options: ExportOptions, source: Source, exact: bool) -> str:
    """Return what a difference may come from."""
    if options.form == "merged" and source.model.audio_context == "batch":
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
        " It decodes one utterance at a time, and the pipeline batches of them, whose padding a small model "
        "notices; --tolerance says how much of that is acceptable."
    )


def _advice(options: ExportOptions, source: Source) -> str:
    """Return what the card says below its code."""
    alias, advice = source.model.languages, []
    if mapped := [f"{code} is decoded as {alias[code]}" for code in source.languages if code in alias]:
        advice.append(f"The model does not know all of the languages: {', '.join(mapped)}; name that one to it.")
    if options.form == "adapter" and source.family == "whisper" and source.model.audio_context == "batch":
        advice.append(
            "The model was adapted with `model.audio_context: batch`, where the encoder gets the utterance "
            "and a little silence; the code above gives it the whole context, so that some texts differ from "
            "those that were measured. A model that is to be used so is better trained with "
            "`model.audio_context: full`."
        )
    return "\n\n".join(advice)


def run_export(iteration: str, options: ExportOptions) -> int:
    """Export the model of an iteration. Returns 1, and writes nothing, if it does not do what it should."""
    check(options)
    params = load_params()
    source = read_source(params, iteration, options)
    from ilt.tools.export.write import note_of, write_form

    warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*")  # PEFT asks the old name
    try:
        with paths.replacing(options.output) as folder:
            facts = write_form(options, source, folder)
            note = note_of(options.form, facts)
            print(f"{options.form}: {note}".rstrip(" ."))
            parity = _parity(options, source, folder, params.evaluate.normaliser)
            parity.check(options.tolerance, _hint(options, source, exact=not facts.get("error")))
            card = Card(
                options.output.resolve().name, options.form, source, options.licence, params.evaluate.normaliser,
                parity, note, _snippet(options, source, folder), _advice(options, source),
            )  # fmt: skip
            (folder / "README.md").write_text(card.text(), encoding="utf-8")
            record = {
                **facts, "form": options.form, "iteration": iteration,
                "audio_context": source.model.audio_context,
                "lineage": source.lineage.to_dict() | {"hash": source.lineage.hash}, "data": source.data,
                "parity": parity.to_dict(), **({"language": options.language} if options.language else {}),
            }  # fmt: skip
            paths.write_json(folder / RECORD, record)
            _share(folder)
    except ParityError as error:
        print(f"ERROR: {error}", file=sys.stderr)
        return 1
    print(f"written: {options.output}")
    return 0
