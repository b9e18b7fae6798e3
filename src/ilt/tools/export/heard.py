"""The dev split as an exported form hears it, loaded as its model card says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from ilt.asr.batching import Batching
from ilt.asr.decoding import MARGIN
from ilt.asr.families import load_recogniser
from ilt.asr.features import FeatureStore
from ilt.asr.lineage import Lineage, base_lineage
from ilt.asr.transcribe import Decoding, transcribe_table
from ilt.corpus.audio import RATE, decode_flac
from ilt.paths import read_json
from ilt.progress import progress

if TYPE_CHECKING:
    from ilt.params import RecogniserParams

__all__ = [
    "FASTER_OPTIONS",
    "faster_model",
    "heard_by",
    "heard_by_recogniser",
    "margin",
    "needs_short_context",
    "suppressed",
]

FASTER_OPTIONS: dict[str, Any] = {
    "beam_size": 1,
    "temperature": 0.0,
    "without_timestamps": True,
    "condition_on_previous_text": False,
    "no_speech_threshold": None,
}
"""What `WhisperModel.transcribe` is given, to decode as the pipeline does: greedily, one by one, without
time stamps, which adapted models were not trained on."""

FULL_CONTEXT = 30.0
"""Seconds that transformers' and faster-whisper's defaults are made for."""


def heard_by_recogniser(lineage: Lineage, rows: pl.DataFrame, model: RecogniserParams, what: str) -> list[str]:
    """Texts of rows of the utterance table, by the pipeline's own recogniser, in the order of `rows`."""
    return _decode(load_recogniser(lineage, model), rows, model, what)


def _decode(recogniser: Any, rows: pl.DataFrame, model: RecogniserParams, what: str) -> list[str]:
    store = FeatureStore(rows, recogniser.extractor, model.feature_cache_mb)
    heard = transcribe_table(recogniser, rows, store, Decoding(Batching(model.decode_batch)), what=what)
    return rows.select("id").join(heard, on="id", how="left", maintain_order="left")["text"].to_list()


def needs_short_context(folder: Path, audio_context: str) -> bool:
    """Whether faster-whisper has to be told not to give the encoder 30 s."""
    seconds = read_json(folder / "preprocessor_config.json")["chunk_length"]
    return audio_context == "batch" or seconds != FULL_CONTEXT


def suppressed(folder: Path) -> list[int]:
    """The tokens that the model must not write, as its own generation config says.

    faster-whisper's default looks them up by their spelling, and finds the space in a small vocabulary. An
    empty list would let it write special tokens, so that there is always one.
    """
    import tokenizers

    found = read_json(folder / "config.json").get("suppress_ids") or []
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    known: dict[str, int] = tokenizer.get_vocab()
    return [int(index) for index in found] or [known["<|notimestamps|>"]]


def margin(model: RecogniserParams) -> int | None:
    """Mel frames of silence that the encoder gets behind speech; None: up to its context."""
    return MARGIN if model.audio_context == "batch" else None


def faster_model(folder: Path, model: RecogniserParams) -> Any:
    """An exported CTranslate2 folder in faster-whisper."""
    from faster_whisper import WhisperModel

    from ilt.tools.export.short_context import ShortContext

    device = model.device.split(":")[0]
    if not needs_short_context(folder, model.audio_context):
        return WhisperModel(str(folder), device=device)
    found = ShortContext(str(folder), device=device)
    found.margin = margin(model)
    return found


def _one_by_one(
    rows: pl.DataFrame, model: RecogniserParams, what: str, say: Callable[[np.ndarray, str], str]
) -> list[str]:
    texts = []
    # Foreign decoders know nothing of languages that are taken for others.
    languages = rows["language"].replace(model.languages)
    with progress(what, len(rows)) as advance:
        for audio, language in zip(rows["audio"].struct.field("bytes"), languages, strict=True):
            texts.append(" ".join(say(decode_flac(audio), language).split()))
            advance("")
    return texts


def _by_pipeline(folder: Path, rows: pl.DataFrame, model: RecogniserParams) -> list[str]:
    import torch
    from transformers import pipeline
    from transformers.utils.logging import set_verbosity_error

    set_verbosity_error()  # pipelines warn about what they themselves pass on
    device = model.device if model.device != "auto" else ("cuda" if torch.cuda.is_available() else "cpu")
    recognise = pipeline("automatic-speech-recognition", model=str(folder), device=device)
    multilingual = getattr(recognise.model.generation_config, "lang_to_id", None)

    def say(samples: np.ndarray, language: str) -> str:
        options = {"language": language, "task": "transcribe"} if multilingual else {}
        heard = recognise({"raw": samples, "sampling_rate": RATE}, generate_kwargs=options)
        return str(heard["text"])

    return _one_by_one(rows, model, "merged", say)


def _by_faster_whisper(folder: Path, rows: pl.DataFrame, model: RecogniserParams) -> list[str]:
    loaded, banned = faster_model(folder, model), suppressed(folder)

    def say(samples: np.ndarray, language: str) -> str:
        segments, _ = loaded.transcribe(samples, language, suppress_tokens=banned, **FASTER_OPTIONS)
        return "".join(segment.text for segment in segments)

    return _one_by_one(rows, model, "ctranslate2", say)


def _by_peft(folder: Path, rows: pl.DataFrame, model: RecogniserParams, lineage: Lineage) -> list[str]:
    from peft import PeftModel

    base = load_recogniser(Lineage(lineage.id, lineage.revision, lineage.content), model)
    # PEFT puts its layers into the model that the recogniser holds.
    PeftModel.from_pretrained(base.model, str(folder)).eval()  # type: ignore[arg-type]
    return _decode(base, rows, model, "adapter")


def heard_by(
    form: str, family: str, folder: Path, rows: pl.DataFrame, model: RecogniserParams, lineage: Lineage
) -> list[str]:
    """Texts of rows of the utterance table, by an exported form: `merged`, `adapter` or `ctranslate2`.

    A merged Whisper is heard through `transformers.pipeline`; another family, for which there is no such
    pipeline, through the recogniser, loaded from the exported folder alone.
    """
    if form == "ctranslate2":
        return _by_faster_whisper(folder, rows, model)
    if form == "adapter":
        return _by_peft(folder, rows, model, lineage)
    if family == "whisper":
        return _by_pipeline(folder, rows, model)
    return heard_by_recogniser(base_lineage(str(folder), None), rows, model, "merged")
