"""Recipe of the demo base: a small Whisper, trained from scratch on synthetic source-domain speech alone.

`python -m ilt.demo.recipes.whisper` trains it and writes data/models/demo-whisper. The encoder has an auxiliary
CTC loss (Watanabe et al. 2017, arXiv 1609.06773), without which attention takes much longer to align; its head is
thrown away. Variety grows from clean to hard.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional
from transformers import WhisperForConditionalGeneration

from ilt.asr.context import audio_context
from ilt.demo.recipes.speech import Example, training_examples
from ilt.demo.recipes.whisper_batches import Collator, shuffled_batches
from ilt.demo.recipes.whisper_model import BaseRecipe, build_model, build_processor, save_base
from ilt.paths import WORK, replacing
from ilt.training.adam import pack_adam, unpack_adam

__all__ = ["BaseRecipe", "train_base"]

CHECKPOINT_EVERY = 500
"""Steps."""

LOG_EVERY = 100
"""Steps."""


def _rate(step: int, recipe: BaseRecipe) -> float:
    """Return the share of the peak learning rate: a linear warm-up, then a cosine to 0."""
    warm = recipe.warmup * recipe.steps
    if step < warm:
        return step / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / (recipe.steps - warm)))


def _fingerprint(recipe: BaseRecipe, examples: list[Example]) -> str:
    """Return a hash of all that a checkpoint rests on."""
    digest = hashlib.sha256(json.dumps(asdict(recipe)).encode())
    for example in examples:
        digest.update(f"{example.language} {example.text}".encode())
        digest.update(example.log_mel.tobytes())
    return digest.hexdigest()


class _Checkpoint:
    """The state of a training in one safetensors file, with that of the random generators as its metadata."""

    def __init__(self, path: Path, fingerprint: str) -> None:
        self.path, self.fingerprint = path, fingerprint

    def save(self, step: int, names: list[str], optimiser: Any, generators: dict[str, Any]) -> None:
        state = {"step": step, "fingerprint": self.fingerprint, "generators": generators}
        with replacing(self.path) as temporary:
            save_file(pack_adam(names, optimiser), temporary, {"state": json.dumps(state)})

    def load(self, names: list[str], optimiser: Any) -> tuple[int, dict[str, Any]]:
        """Return the step reached, 0 where no checkpoint is of this recipe and speech, and the generators' states."""
        if not self.path.is_file():
            return 0, {}
        with safe_open(self.path, "pt") as file:
            state = json.loads(file.metadata()["state"])
        if state["fingerprint"] != self.fingerprint:
            return 0, {}
        unpack_adam(load_file(self.path), names, optimiser, state["step"])
        return state["step"], state["generators"]


def _losses(
    model: WhisperForConditionalGeneration, head: nn.Linear, batch: dict[str, torch.Tensor], recipe: BaseRecipe
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the cross-entropy of the decoder and the CTC loss of the encoder's states under `head`."""
    with audio_context(model, batch["features"].shape[-1]), torch.autocast("cpu", torch.bfloat16):
        encoded = model.model.encoder(batch["features"]).last_hidden_state
        output = model(encoder_outputs=(encoded,), decoder_input_ids=batch["inputs"], use_cache=False)
        ctc_logits = head(encoded)
    attention = functional.cross_entropy(
        output.logits.float().flatten(0, 1),
        batch["labels"].flatten(),
        label_smoothing=recipe.label_smoothing,
    )
    ctc = functional.ctc_loss(
        ctc_logits.float().log_softmax(-1).transpose(0, 1),
        batch["ctc_targets"],
        batch["frames"].clamp_max(encoded.shape[1]),
        batch["ctc_lengths"],
        blank=model.config.eos_token_id,
        zero_infinity=True,
    )
    return attention, ctc


class _Order:
    """Batches without end, and the state of what draws them."""

    def __init__(self, examples: list[Example], collate: Collator, recipe: BaseRecipe) -> None:
        self._examples, self._collate, self._recipe = examples, collate, recipe
        self._rng = random.Random(recipe.seed)
        self._queue: list[list[int]] = []

    def batch(self, step: int) -> tuple[dict[str, torch.Tensor], float]:
        """Return the batch of a step, from 1 on, and the strength of its augmentation, 0 to 1."""
        if not self._queue:
            self._queue = shuffled_batches(self._examples, self._recipe, self._rng)
        recipe, share = self._recipe, step / self._recipe.steps
        strength = min(1.0, max(0.0, (share - recipe.clean_until) / (recipe.hard_from - recipe.clean_until)))
        return self._collate(self._queue.pop(), strength), strength

    def state(self) -> dict[str, Any]:
        """Return what `restore` takes."""
        augmentation = self._collate.rng.bit_generator.state
        return {"order": self._rng.getstate(), "augmentation": augmentation, "queue": self._queue}

    def restore(self, state: dict[str, Any]) -> None:
        version, internal, gauss = state["order"]
        self._rng.setstate((version, tuple(internal), gauss))
        self._collate.rng.bit_generator.state = state["augmentation"]
        self._queue = state["queue"]


def train_base(folder: Path, recipe: BaseRecipe, processes: int = 2) -> None:
    """Train, and write the model folder.

    Training that was stopped goes on from its last checkpoint, which is made every `CHECKPOINT_EVERY` steps.
    """
    processor = build_processor(recipe)
    examples = list(
        training_examples(recipe.utterances, recipe.seed, processor.feature_extractor, recipe.flite_share, processes)
    )
    print(f"{len(examples)} utterances", flush=True)
    model = build_model(recipe, processor.tokenizer)
    head = nn.Linear(recipe.d_model, len(processor.tokenizer))
    print(f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters", flush=True)
    named = [*model.named_parameters(), *((f"ctc.{name}", p) for name, p in head.named_parameters())]
    names, parameters = map(list, zip(*((name, p) for name, p in named if p.requires_grad), strict=True))
    optimiser = torch.optim.AdamW(
        parameters, lr=recipe.peak_lr, betas=(0.9, 0.98), weight_decay=recipe.weight_decay, fused=True
    )
    order = _Order(examples, Collator(examples, processor.tokenizer, recipe), recipe)
    checkpoint = _Checkpoint(WORK / "base" / "state.safetensors", _fingerprint(recipe, examples))
    done, state = checkpoint.load(names, optimiser)
    if state:
        order.restore(state)
        print(f"going on after step {done}", flush=True)
    begun, sums = time.monotonic(), [0.0, 0.0]
    model.train()
    for step in range(done + 1, recipe.steps + 1):
        batch, strength = order.batch(step)
        attention, ctc = _losses(model, head, batch, recipe)
        optimiser.zero_grad()
        ((1 - recipe.ctc_weight) * attention + recipe.ctc_weight * ctc).backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        for group in optimiser.param_groups:
            group["lr"] = recipe.peak_lr * _rate(step, recipe)
        optimiser.step()
        sums = [sums[0] + attention.item(), sums[1] + ctc.item()]
        if step % LOG_EVERY == 0:
            means = f"attention {sums[0] / LOG_EVERY:.3f} ctc {sums[1] / LOG_EVERY:.3f}"
            pace = (time.monotonic() - begun) / (step - done)
            print(f"step {step} {means} strength {strength:.2f} {pace:.3f} s/step", flush=True)
            sums = [0.0, 0.0]
        if step % CHECKPOINT_EVERY == 0:
            checkpoint.save(step, names, optimiser, order.state())
    save_base(folder, model, processor, recipe)


if __name__ == "__main__":
    train_base(Path("data/models/demo-whisper"), BaseRecipe())
