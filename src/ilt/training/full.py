"""Full fine-tuning, for comparison with LoRA (`adapter.mode: full`)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file

from ilt.asr.lineage import FULL

__all__ = ["AllWeights"]


class AllWeights:
    """All weights of a model in training, with the methods of PEFT's model that the trainer uses."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.model = model
        # What the model's authors froze (Whisper's sinusoids) stays frozen.
        self._start = {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}

    def train(self) -> None:
        self.model.train()

    def eval(self) -> None:
        self.model.eval()

    def named_parameters(self) -> Iterator[tuple[str, torch.nn.Parameter]]:
        return self.model.named_parameters()

    def save_pretrained(self, folder: str, safe_serialization: bool = True) -> None:  # noqa: ARG002
        """Save the differences to where the training started, as safetensors, and a config that says so."""
        path = Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        weights = dict(self.model.named_parameters())
        differences = {name: (weights[name].detach() - old).contiguous() for name, old in self._start.items()}
        save_file(differences, path / "adapter_model.safetensors")
        config = {"peft_type": FULL, "target_modules": []}
        (path / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
