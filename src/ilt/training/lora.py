"""LoRA adapters: put on a model with PEFT, weakened for a while, and saved."""

from __future__ import annotations

import json
import re
from collections import Counter
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch

from ilt.asr.recogniser import Recogniser
from ilt.errors import IltError
from ilt.params import LoraParams
from ilt.paths import replacing

__all__ = ["add_lora", "load_lora", "lora_targets", "save_adapter", "scaled"]


def lora_targets(model: torch.nn.Module, lora: LoraParams, encoder_prefix: str, model_id: str) -> list[str]:
    """Return the last names of the linear layers that `lora` adapts.

    Raises IltError where the model has none of them, and for one whose weight another module has too.
    """
    uses = Counter(id(weight) for module in model.modules() for weight in module._parameters.values())
    linear = {name: module for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    own = {name for name, module in linear.items() if uses[id(module.weight)] == 1}
    tied = {name.rpartition(".")[2] for name in linear.keys() - own}
    if refused := sorted(set(lora.target_modules) & tied):
        raise IltError(
            f"lora.target_modules: {', '.join(refused)} of {model_id} shares its weight with "
            "another module (an output layer with the embedding), which merging changes too: leave it out"
        )
    if not lora.encoder:
        own = {name for name in own if not name.startswith(encoder_prefix)}
    layers = {name.rpartition(".")[2] for name in own}
    targets = sorted(set(lora.target_modules) & layers)
    if not targets:
        raise IltError(
            f"lora.target_modules {lora.target_modules}: {model_id} has no linear layer of such a name; it has "
            f"{', '.join(sorted(layers))}"
        )
    return targets


def add_lora(recogniser: Recogniser, lora: LoraParams, seed: int) -> Any:
    """Return the model with a fresh LoRA, which changes nothing yet. Raises IltError as `lora_targets` does."""
    from peft import LoraConfig, get_peft_model

    targets = lora_targets(recogniser.model, lora, recogniser.encoder_prefix, recogniser.lineage.id)
    config = LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha or 2 * lora.r,  # type: ignore[arg-type]
        lora_dropout=lora.dropout,
        target_modules=targets,
        exclude_modules=None if lora.encoder else rf"{re.escape(recogniser.encoder_prefix)}.*",
        # task_type stays unset: SEQ_2_SEQ_LM would pass input_ids, which Whisper does not take.
    )
    torch.manual_seed(seed)
    return get_peft_model(recogniser.model, config)  # type: ignore[arg-type]


def load_lora(recogniser: Recogniser, folder: Path) -> Any:
    """Return the model with a saved LoRA, to train it on."""
    from peft import PeftModel

    return PeftModel.from_pretrained(recogniser.model, str(folder), is_trainable=True)  # type: ignore[arg-type]


def scaled(model: torch.nn.Module, scale: float) -> AbstractContextManager[None]:
    """Return a context in which so much of the LoRA counts."""
    from peft.helpers import rescale_adapter_scale

    return nullcontext() if scale == 1.0 else rescale_adapter_scale(model, scale)


def save_adapter(model: Any, folder: Path, base: str) -> None:
    """Save an adapter in PEFT's layout; equal weights give equal bytes. base: id of the model it is for."""
    with replacing(folder) as temporary:
        model.save_pretrained(str(temporary), safe_serialization=True)
        (temporary / "README.md").unlink(missing_ok=True)
        path = temporary / "adapter_config.json"
        config = json.loads(path.read_text(encoding="utf-8"))
        config["base_model_name_or_path"] = base
        config["target_modules"] = sorted(config["target_modules"])
        path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
