"""Decoding of the dev split by an exported form, loaded as its model card says, and by the pipeline."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from ilt.asr.batching import Batching
from ilt.asr.context import silence_frames
from ilt.asr.device import pick_device
from ilt.asr.families import load_recogniser
from ilt.asr.features import FeatureStore
from ilt.asr.lineage import Lineage, base_lineage
from ilt.asr.transcribe import Decoding, transcribe_table
from ilt.corpus.audio import RATE, decode_flac
from ilt.params import RecogniserParams
from ilt.paths import read_json
from ilt.progress import progress
from ilt.tools.export.source import Source

__all__ = [
    "FASTER_OPTIONS",
    "decode_exported",
    "decode_with_pipeline",
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
"""Options of `WhisperModel.transcribe` to decode as the pipeline does: greedily, one by one, without time stamps,
which adapted models were not trained on."""

FULL_CONTEXT = 30.0
"""Seconds that transformers' and faster-whisper's defaults are made for."""


def decode_with_pipeline(lineage: Lineage, rows: pl.DataFrame, model: RecogniserParams, what: str) -> list[str]:
    """Return the texts of rows of the utterance table by the pipeline's own recogniser, in the order of `rows`."""
    return _decode(load_recogniser(lineage, model), rows, model, what)


def _decode(recogniser: Any, rows: pl.DataFrame, model: RecogniserParams, what: str) -> list[str]:
    store = FeatureStore(rows, recogniser.extractor)
    hypotheses = transcribe_table(recogniser, rows, store, Decoding(Batching(model.decode_batch)), what=what)
    return rows.select("id").join(hypotheses, on="id", how="left", maintain_order="left")["text"].to_list()


def needs_short_context(folder: Path, audio_context: str) -> bool:
    """Return whether faster-whisper has to be told not to give the encoder 30 s."""
    seconds = read_json(folder / "preprocessor_config.json")["chunk_length"]
    return audio_context == "batch" or seconds != FULL_CONTEXT


def suppressed(folder: Path) -> list[int]:
    """Return the tokens that a CTranslate2 model must not write, as its own generation config says.

    faster-whisper's default looks them up by their spelling, and finds the space in a small vocabulary. An
    empty list would let it write special tokens, so that there is always one.
    """
    import tokenizers

    ids = read_json(folder / "config.json").get("suppress_ids") or []
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    known: dict[str, int] = tokenizer.get_vocab()
    return [int(index) for index in ids] or [known["<|notimestamps|>"]]


def margin(folder: Path, audio_context: str) -> int | None:
    """Return the mel frames of silence that the encoder gets behind speech; None: up to its context."""
    frames = 100 * read_json(folder / "preprocessor_config.json")["chunk_length"]
    return silence_frames(frames) if audio_context == "batch" else None


def _one_by_one(source: Source, what: str, transcribe: Callable[[np.ndarray, str], str]) -> list[str]:
    """Return the texts of dev by a function of samples and language, which knows nothing of `languages.X.as`."""
    texts = []
    languages = source.dev["language"].replace(source.model.languages)
    with progress(what, len(source.dev)) as advance:
        for audio, language in zip(source.dev["audio"].struct.field("bytes"), languages, strict=True):
            texts.append(" ".join(transcribe(decode_flac(audio), language).split()))
            advance("")
    return texts


def _by_transformers(folder: Path, source: Source) -> list[str]:
    from transformers import pipeline
    from transformers.utils.logging import set_verbosity_error

    set_verbosity_error()  # pipelines warn about what they themselves pass on
    recognise = pipeline(
        "automatic-speech-recognition", model=str(folder), device=pick_device(), trust_remote_code=False
    )
    multilingual = getattr(recognise.model.generation_config, "lang_to_id", None)

    def transcribe(samples: np.ndarray, language: str) -> str:
        options = {"language": language, "task": "transcribe"} if multilingual else {}
        return str(recognise({"raw": samples, "sampling_rate": RATE}, generate_kwargs=options)["text"])

    return _one_by_one(source, "merged", transcribe)


def _by_faster_whisper(folder: Path, source: Source) -> list[str]:
    from faster_whisper import WhisperModel

    from ilt.tools.export.short_context import ShortContext

    device = pick_device()
    kind = ShortContext if needs_short_context(folder, source.model.audio_context) else WhisperModel
    loaded = kind(str(folder), device=device.type, device_index=device.index or 0)
    loaded.margin = margin(folder, source.model.audio_context)
    banned = suppressed(folder)

    def transcribe(samples: np.ndarray, language: str) -> str:
        segments, _ = loaded.transcribe(samples, language, suppress_tokens=banned, **FASTER_OPTIONS)
        return "".join(segment.text for segment in segments)

    return _one_by_one(source, "ctranslate2", transcribe)


def _by_peft(folder: Path, source: Source) -> list[str]:
    from peft import PeftModel

    base = load_recogniser(source.lineage.base, source.model)
    # PEFT puts its layers into the model that the recogniser holds.
    PeftModel.from_pretrained(base.model, str(folder)).eval()  # type: ignore[arg-type]
    return _decode(base, source.dev, source.model, "adapter")


def decode_exported(form: str, folder: Path, source: Source) -> list[str]:
    """Return the texts of dev by an exported form: `merged`, `adapter` or `ctranslate2`.

    A merged Whisper decodes in `transformers.pipeline`; another family, which has no such pipeline, in the
    recogniser, loaded from the exported folder alone.
    """
    if form == "ctranslate2":
        return _by_faster_whisper(folder, source)
    if form == "adapter":
        return _by_peft(folder, source)
    if source.family == "whisper":
        return _by_transformers(folder, source)
    return decode_with_pipeline(base_lineage(str(folder), None), source.dev, source.model, "merged")
