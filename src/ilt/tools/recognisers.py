"""Models as the tools load them: parameters of an iteration's recogniser, classes of families in transformers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ilt.params import Params, RecogniserParams
from ilt.stages.plan import resolve

__all__ = ["CLASSES", "iteration_model", "recogniser_params", "transformers_class"]

CLASSES = {"whisper": "Whisper", "qwen2_audio": "Qwen2Audio"}
"""Prefix of the names of a family's classes in transformers, since a model's files may name any class."""


def recogniser_params(params: Params, changes: Mapping[str, Any]) -> RecogniserParams:
    """Return what the model of a project runs with, all languages included. changes: to its section `model`.

    Raises IltError where there is no such model, or one that is not supported.
    """
    resolved = resolve(params.model_copy(update={"model": params.model.model_copy(update=changes)}))
    return resolved.recogniser(resolved.order[-1])


def transformers_class(family: str, what: str) -> Any:
    """Return a class of a family in transformers: its `ForConditionalGeneration` or its `Processor`."""
    import transformers

    return getattr(transformers, CLASSES[family] + what)


def iteration_model(params: Params, iteration: str) -> RecogniserParams:
    """Return what the model of an iteration runs with; `base` has the audio context of its own section."""
    return recogniser_params(params, {"audio_context": params.baseline.audio_context} if iteration == "base" else {})
