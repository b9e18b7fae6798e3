"""Loading the weights of a lineage, the same way for every architecture."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import torch
from transformers import AutoConfig, PreTrainedModel
from transformers.utils.logging import disable_progress_bar

from ilt.asr.device import pick_attention, pick_device, pick_dtype
from ilt.asr.language_adapters import LanguageAdapters
from ilt.asr.lineage import Lineage, merge_adapters
from ilt.asr.model_files import context_seconds
from ilt.params import RecogniserParams

__all__ = ["load_weights", "revision_of", "stored_dtype"]

M = TypeVar("M", bound=PreTrainedModel)


def revision_of(lineage: Lineage) -> dict[str, Any]:
    """Return the revision of a hub model as an argument of `from_pretrained`; no argument for a folder."""
    return {"revision": lineage.revision} if lineage.revision else {}


def stored_dtype(config: Any) -> torch.dtype | None:
    """Return the dtype that a config.json states for its weights, or None.

    The released Qwen2-Audio state it in the config of their language model alone.
    """
    dtype: torch.dtype | None = config.dtype or config.get_text_config().dtype
    return dtype


def load_weights(kind: type[M], lineage: Lineage, params: RecogniserParams) -> tuple[M, LanguageAdapters | None]:
    """Return the base with the shared adapters of its lineage merged, cast and on its device, for inference.

    Weights are loaded in float32 and cast after the last adapter. A checkpoint that is stored in the final dtype is
    loaded in it, which comes to the same (`merge_adapters`) with half of the memory. The second value holds the
    language adapters of the lineage, None where it has none; with them, weights are loaded in float32 in any case, so
    that shared and own updates are summed before they are rounded.
    """
    disable_progress_bar()
    device = pick_device()
    dtype = pick_dtype(params.dtype, device)
    load = revision_of(lineage)
    stored = stored_dtype(AutoConfig.from_pretrained(lineage.id, trust_remote_code=False, **load))
    as_stored = stored == dtype and not lineage.adapter_languages
    read_as = dtype if as_stored else torch.float32
    model = kind.from_pretrained(lineage.id, use_safetensors=True, dtype=read_as, trust_remote_code=False, **load)
    shared = lineage.shared.adapters
    merge_adapters(model, [Path(link.path) for link in shared], [link.scale for link in shared])
    language_adapters = LanguageAdapters(model, lineage) if lineage.adapter_languages else None
    model.set_attn_implementation(
        pick_attention(params.attention, device, context_seconds(lineage.id, lineage.revision))
    )
    moved: M = model.to(device, dtype).eval()  # type: ignore[arg-type]
    return moved, language_adapters
