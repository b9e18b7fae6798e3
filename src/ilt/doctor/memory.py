"""How much memory a model takes, from its shape alone: for labelling, and for training an adapter.

Sources: activations of a transformer layer, Korthikanti et al. 2022 (arXiv 2205.05198), equations 1 and 2,
less the dropout masks, which Whisper does not need; Adam's two moments in float32, Rajbhandari et al. 2020
(arXiv 1910.02054), section 3.1. `benchmarks/memory.py` holds the estimates against what is measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ilt.params import TrainParams

__all__ = ["RELEASED", "Estimate", "Shape", "estimate_labelling", "estimate_training", "shape_of"]


MOMENTARY = 1.5
"""What a training step takes at its peak over what it keeps for the way back: gradients of activations and
what an allocator does not give back at once. Measured by `benchmarks/memory.py`."""

RUNTIME = 100 * 2**20
"""What torch itself takes for the first optimiser step; measured in the same way."""


@dataclass(frozen=True)
class Shape:
    """What of a model decides over memory. Positions are of its full context."""

    width: int
    encoder_layers: int
    decoder_layers: int
    heads: int
    feed_forward: int
    vocabulary: int
    encoder_positions: int
    decoder_positions: int
    mels: int = 80

    @property
    def parameters(self) -> int:
        """All weights, the output layer being the embedding (Vaswani et al. 2017, as Whisper has it)."""
        d, f = self.width, self.feed_forward
        attention = 4 * d * d + 3 * d  # the key projection has no bias
        encoder = attention + 2 * d * f + f + d + 4 * d
        decoder = 2 * attention + 2 * d * f + f + d + 6 * d
        front = 3 * self.mels * d + d + 3 * d * d + d
        tables = (self.vocabulary + self.encoder_positions + self.decoder_positions) * d
        return front + tables + self.encoder_layers * encoder + self.decoder_layers * decoder + 4 * d

    def adapter_parameters(self, rank: int, modules: Sequence[str]) -> int:
        """Weights of a LoRA of `rank`, by the names of the linear layers that it is on."""
        attentions = self.encoder_layers + 2 * self.decoder_layers
        layers = self.encoder_layers + self.decoder_layers
        of = dict.fromkeys(("q_proj", "k_proj", "v_proj", "out_proj"), attentions * 2 * self.width)
        of |= dict.fromkeys(("fc1", "fc2"), layers * (self.width + self.feed_forward))
        return rank * sum(of.get(name, 0) for name in modules)


def _whisper(width: int, layers: tuple[int, int], mels: int = 80, vocabulary: int = 51865) -> Shape:
    return Shape(width, *layers, width // 64, 4 * width, vocabulary, 1500, 448, mels)


RELEASED = {
    "openai/whisper-tiny": _whisper(384, (4, 4)),
    "openai/whisper-tiny.en": _whisper(384, (4, 4), vocabulary=51864),
    "openai/whisper-base": _whisper(512, (6, 6)),
    "openai/whisper-base.en": _whisper(512, (6, 6), vocabulary=51864),
    "openai/whisper-small": _whisper(768, (12, 12)),
    "openai/whisper-small.en": _whisper(768, (12, 12), vocabulary=51864),
    "openai/whisper-medium": _whisper(1024, (24, 24)),
    "openai/whisper-medium.en": _whisper(1024, (24, 24), vocabulary=51864),
    "openai/whisper-large-v2": _whisper(1280, (32, 32)),
    "openai/whisper-large-v3": _whisper(1280, (32, 32), 128, 51866),
    "openai/whisper-large-v3-turbo": _whisper(1280, (32, 4), 128, 51866),
    "distil-whisper/distil-small.en": _whisper(768, (12, 4), vocabulary=51864),
    "distil-whisper/distil-medium.en": _whisper(1024, (24, 2), vocabulary=51864),
    "distil-whisper/distil-large-v3": _whisper(1280, (32, 2), 128, 51866),
}
"""Shapes of the released checkpoints, so that they can be judged where no hub can be reached."""


def shape_of(config: dict[str, Any]) -> Shape | None:
    """The shape that a config.json says, or None for an architecture that is not estimated."""
    if config.get("model_type") != "whisper":
        return None
    return Shape(
        config["d_model"], config["encoder_layers"], config["decoder_layers"],
        config["encoder_attention_heads"], config["encoder_ffn_dim"], config["vocab_size"],
        config.get("max_source_positions", 1500), config.get("max_target_positions", 448),
        config.get("num_mel_bins", 80),
    )  # fmt: skip


@dataclass(frozen=True)
class Estimate:
    """Bytes of a stage, by what takes them. All of `weights` goes through main memory in float32 first."""

    weights: int
    adapter: int = 0
    activations: int = 0
    cache: int = 0
    logits: int = 0
    runtime: int = 0

    @property
    def total(self) -> int:
        """Bytes altogether."""
        return self.weights + self.adapter + self.activations + self.cache + self.logits + self.runtime


def _scores(shape: Shape, queries: int, keys: int, batch: int, size: int, eager: bool) -> int:
    """Attention weights of one layer: SDPA never writes them out."""
    return shape.heads * queries * keys * batch * size if eager else 0


def estimate_labelling(
    shape: Shape, batch: int, positions: int, tokens: int, size: int, eager: bool
) -> Estimate:
    """Decoding `batch` utterances of `positions` encoder positions to `tokens` tokens.

    size: bytes of a number. The encoder keeps one layer's working set: input, what the wide layer makes of it
    before and after its activation, attention weights twice (before and after softmax). The cache holds keys
    and values of the decoder's own tokens and of the encoder states.
    """
    d = shape.width
    states = batch * positions * d * size
    layer = batch * positions * (2 * d + 2 * shape.feed_forward) * size
    scores = 2 * _scores(shape, positions, positions, batch, size, eager)
    attention = 4 * states + scores
    cache = 2 * shape.decoder_layers * batch * (tokens + positions) * d * size
    # In float32: the masked logits, their logarithms and their exponentials, of one step.
    logits = batch * shape.vocabulary * (size + 4 * 4)
    return Estimate(
        shape.parameters * size, activations=max(layer, attention) + states, cache=cache, logits=logits
    )


def estimate_training(
    shape: Shape, params: TrainParams, batch: int, positions: int, tokens: int, size: int, eager: bool
) -> Estimate:
    """Training an adapter on `batch` utterances of `positions` encoder positions and `tokens` target tokens.

    A layer keeps (8 d + 2 f) numbers a position for the way back (equation 1 of Korthikanti et al. without
    masks, 16 d for f = 4 d) and its attention weights; with gradient checkpointing only its input, and one
    layer whole. LoRA on a 16-bit model keeps float32 copies of the inputs of the layers that it is on.
    """
    d, f = shape.width, shape.feed_forward
    modules = params.lora.target_modules
    copied = 0
    if size < 4:
        copied = 4 * (sum(d for name in modules if name != "fc2") + (f if "fc2" in modules else 0))
    per = (8 * d + 2 * f) * size + copied
    cross = 6 * d * size + copied // 2
    encoder = batch * positions * per + _scores(shape, positions, positions, batch, size, eager)
    decoder = (
        batch * tokens * (per + cross)
        + batch * positions * 2 * d * size
        + _scores(shape, tokens, tokens + positions, batch, size, eager)
    )
    if params.gradient_checkpointing:
        kept = batch * d * size * (shape.encoder_layers * positions + shape.decoder_layers * tokens)
        activations = kept + max(encoder, decoder)
    else:
        activations = shape.encoder_layers * encoder + shape.decoder_layers * decoder
    # Value, gradient and two moments in float32.
    adapter = 16 * shape.adapter_parameters(params.lora.r, modules)
    # The logits, their float32 form and its logarithms, and the gradient of each.
    logits = batch * tokens * shape.vocabulary * (2 * size + 12)
    held = Estimate(shape.parameters * size, adapter, round(MOMENTARY * activations), runtime=RUNTIME)
    return replace(held, logits=round(MOMENTARY * logits))
