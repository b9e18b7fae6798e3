"""A merged model as a Hugging Face folder, and that folder converted for CTranslate2."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ilt.asr.lineage import Lineage, merge_adapters
from ilt.errors import IltError
from ilt.tools.recognisers import transformers_class

__all__ = ["QUANTIZATIONS", "convert", "require_converter", "write_merged"]

QUANTIZATIONS = ("float32", "float16", "int8", "int8_float16", "int8_float32", "bfloat16")

FASTER_WHISPER_TOKENS = 448
"""The decoder positions that faster-whisper takes for granted."""

_COPIED = ("tokenizer.json", "preprocessor_config.json")


def write_merged(lineage: Lineage, family: str, folder: Path, dtype: str) -> None:
    """Merge all adapters of a lineage in float32 on the CPU; write weights (safetensors), processor and settings.

    An empty text is a possible answer, as in the pipeline: the end token may come first.
    """
    import torch
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    load = {"revision": lineage.revision} if lineage.revision else {}
    model: Any = transformers_class(family, "ForConditionalGeneration").from_pretrained(
        lineage.id, use_safetensors=True, dtype=torch.float32, trust_remote_code=False, **load
    )
    merge_adapters(model, [Path(link.path) for link in lineage.adapters], [link.scale for link in lineage.adapters])
    model.to(getattr(torch, dtype))
    model.config.dtype = getattr(torch, dtype)
    settings = model.generation_config
    ends = settings.eos_token_id if isinstance(settings.eos_token_id, list) else [settings.eos_token_id]
    if first := getattr(settings, "begin_suppress_tokens", None):
        settings.begin_suppress_tokens = [index for index in first if index not in ends]
    model.save_pretrained(str(folder))
    processor = transformers_class(family, "Processor").from_pretrained(lineage.id, trust_remote_code=False, **load)
    processor.save_pretrained(str(folder))
    # Read by faster-whisper, and by transformers before processor_config.json was.
    processor.feature_extractor.save_pretrained(str(folder))


def require_converter() -> None:
    """Raise IltError if the extra `export` is not installed."""
    try:
        import ctranslate2  # noqa: F401
        import faster_whisper  # noqa: F401
    except ImportError as error:
        raise IltError(
            f"--to ctranslate2 needs {error.name}, which is not installed; in the clone, "
            ".venv/bin/python -m pip install -c constraints.txt -e '.[export]'"
        ) from None


def convert(merged: Path, folder: Path, quantization: str) -> None:
    """Convert a merged Whisper folder to one that faster-whisper loads.

    Two things that faster-whisper and CTranslate2 take for granted are added where a model lacks them:
    CTranslate2 takes a Whisper for multilingual only if its vocabulary has the empty token, as OpenAI's has
    (without it, languages are ignored), and faster-whisper writes on up to 448 tokens, so that positions
    behind the model's last are given as copies of that.
    """
    import ctranslate2
    import torch
    from ctranslate2.converters import TransformersConverter
    from transformers import GenerationConfig

    class Converter(TransformersConverter):  # type: ignore[misc]
        def _load(self) -> Any:
            spec = super()._load()
            decoder = spec.decoder
            positions = decoder.position_encodings.encodings.detach()
            lacking = FASTER_WHISPER_TOKENS - len(positions)
            if lacking > 0:
                more = positions[-1:].expand(lacking, -1)
                decoder.position_encodings.encodings = torch.cat([positions, more])
            if languages and "" not in spec._vocabulary:
                weight = decoder.embeddings.weight.detach()
                weight = torch.cat([weight, torch.zeros_like(weight[:1])])
                bias = torch.zeros(len(weight), dtype=weight.dtype)
                bias[-1] = -1e4  # so that it is never written
                decoder.embeddings.weight, decoder.projection.weight = weight, weight.clone()
                decoder.projection.bias = bias
                spec.register_vocabulary([*spec._vocabulary, ""])
            return spec

    languages = getattr(GenerationConfig.from_pretrained(str(merged)), "lang_to_id", None)
    converter = Converter(str(merged), copy_files=list(_COPIED), trust_remote_code=False)
    converter.convert(str(folder), quantization=quantization)
    converted = ctranslate2.models.Whisper(str(folder), device="cpu", compute_type="float32")
    if converted.is_multilingual != bool(languages):
        raise IltError(
            f"ctranslate2 {ctranslate2.__version__} takes this model for "
            f"{'multilingual' if converted.is_multilingual else 'English-only'}, and it is not; "
            "install the version that constraints.txt names"
        )
