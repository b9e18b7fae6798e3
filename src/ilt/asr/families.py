"""Registry of model families, each a folder here; detection and loading of a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from ilt.asr.model_files import read_config, require_model
from ilt.errors import IltError
from ilt.params import ModelInfo
from ilt.registry import Registry

if TYPE_CHECKING:
    from ilt.asr.lineage import Lineage
    from ilt.asr.recogniser import Recogniser
    from ilt.params import ModelParams, RecogniserParams

__all__ = ["FAMILIES", "TEXTS", "length_check", "load_recogniser", "model_info"]

FAMILIES = Registry(
    "model family",
    {
        "whisper": "ilt.asr.whisper.recogniser:WhisperRecogniser",
        "qwen2_audio": "ilt.asr.qwen2_audio.recogniser:Qwen2AudioRecogniser",
    },
)
"""Families by `model_type` of config.json."""

TEXTS = Registry(
    "model family",
    {
        "whisper": "ilt.asr.whisper.texts:load_texts",
        "qwen2_audio": "ilt.asr.qwen2_audio.texts:load_texts",
    },
)
"""By family, the function that loads `ilt.asr.tokens.Texts`: what the import of a corpus needs of a model."""


def _family(model_id: str, config: dict[str, Any], given: str | None) -> str:
    """Return the name of a model's family. Raises IltError for one that is not supported."""
    family = given or config.get("model_type")
    if family is None:
        raise IltError(f"model.id: {model_id} has no config.json that says its model_type; is this a model's folder?")
    if family not in FAMILIES:
        code = "; it brings code of its own (auto_map), which is never run" if config.get("auto_map") else ""
        raise IltError(f"model.id: {model_id} is a {family!r} model; supported: {', '.join(FAMILIES)}{code}")
    return str(family)


def model_info(params: ModelParams) -> ModelInfo:
    """Return family and width of a model from its config.json, without loading it.

    Raises IltError where there is no such model, and for a family that is not supported.
    """
    config = {} if params.family else require_model(params.id, params.revision)
    config = config or read_config(params.id, params.revision, "config.json")
    text = config.get("text_config", {})
    width = config.get("d_model", text.get("hidden_size"))
    return ModelInfo(_family(params.id, config, params.family), None if width is None else int(width))


def length_check(
    model_id: str, revision: str | None, family: str, language_alias: Mapping[str, str]
) -> Callable[[str, str], str | None]:
    """Return a function that says of a text and its language why the model cannot write it, or None where it can.

    The tokenizer alone is loaded. Raises IltError where it cannot be read.
    """
    from ilt.asr.tokens import length_problem

    return partial(length_problem, TEXTS.load(family)(model_id, revision, language_alias))


def load_recogniser(lineage: Lineage, params: RecogniserParams) -> Recogniser:
    """Load a model: the base, every adapter merged in order in float32, then the cast.

    Language adapters are switched batch by batch; see `ilt.asr.language_adapters`.
    Raises IltError where there is no such model, or one of an architecture that is not supported.
    """
    family = _family(lineage.id, require_model(lineage.id, lineage.revision), None)
    recogniser: Recogniser = FAMILIES.load(family)(lineage, params)
    return recogniser
