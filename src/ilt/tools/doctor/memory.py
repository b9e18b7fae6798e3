"""Memory estimates from a model's shape: for loading, labelling, and training an adapter.

Sources: activations of a transformer layer, Korthikanti et al. 2022 (arXiv 2205.05198), equations 1 and 2,
less the dropout masks, which these models do not need; the same count for a layer with SwiGLU (Shazeer 2020,
arXiv 2002.05202); Adam's two moments in float32, Rajbhandari et al. 2020 (arXiv 1910.02054), section 3.1.
`benchmarks/memory.py` holds the estimates against what is measured.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from ilt.params import TrainParams
from ilt.tools.doctor.shape import Shape, Stack

__all__ = [
    "Batch",
    "Estimate",
    "estimate_labelling",
    "estimate_loading",
    "estimate_training",
    "trained_bytes",
]


MOMENTARY = 1.5
"""Peak of a training step over what it keeps for the way back: gradients of activations, and what an allocator
does not give back at once. Measured by `benchmarks/memory.py`."""

RUNTIME = 100 * 2**20
"""Bytes that torch itself takes for the first optimiser step; measured in the same way."""


@dataclass(frozen=True)
class Batch:
    """One batch.

    positions: of the encoder, for each utterance. tokens: of each text; for Whisper with its prompt.
    prompt:    tokens before the text of a prompted model (`Shape.prompted`): instruction and audio.
    """

    utterances: int
    positions: int
    tokens: int
    prompt: int = 0


@dataclass(frozen=True)
class Estimate:
    """Bytes of a stage on the device, by what takes them; `weights` in the type that the model runs in."""

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


def estimate_loading(shape: Shape, dtype: str, size: int) -> int:
    """Return bytes of main memory while the weights are loaded (`ilt.asr.loading`): float32, unless stored as used.

    dtype, size: name and bytes of the type that the model runs in.
    """
    return shape.parameters * (size if shape.stored == dtype else 4)


def _scores(stack: Stack, queries: int, keys: int, size: int, eager: bool) -> int:
    """Return bytes of the attention weights of one layer and utterance: SDPA never writes them out."""
    return stack.heads * queries * keys * size if eager else 0


def _copied(stack: Stack, adapted: Collection[str], size: int) -> tuple[int, int, int]:
    """Return bytes of the float32 copies that a LoRA on a 16-bit model keeps of its inputs, of one layer.

    For each position: of the layer itself; of what attends to an encoder; and for each encoder position.
    """
    copies = [0, 0, 0]
    for name, linear in stack.linears.items():
        if size < 4 and f"{stack.name}.0.{name}" in adapted:
            part, _, last = name.partition(".")
            at = (2 if last in ("k_proj", "v_proj") else 1) if part == "encoder_attn" else 0
            copies[at] += 4 * linear.in_features
    return copies[0], copies[1], copies[2]


def _wide(stack: Stack) -> int:
    """Return how many numbers a feed-forward block makes of a position: before and after the activation, and, gated,
    what it is multiplied by and the product."""
    return (4 if stack.gated else 2) * stack.feed_forward


def _kept(stack: Stack, size: int) -> int:
    """Return bytes a position that one layer keeps for the way back, without attention weights and copies.

    8 numbers of the width: inputs of both norms and both blocks, queries, keys, values (of all heads: those
    that heads share are repeated), what attention gives. RMS norms compute in float32.
    """
    norms = 2 * 4 * stack.width if stack.gated and size < 4 else 0
    return (8 * stack.width + _wide(stack)) * size + norms


def _working(stack: Stack, positions: int, size: int, eager: bool) -> int:
    """Return bytes of one layer for one utterance without a way back: its input and its widest moment.

    That is in the feed-forward block, or in attention: weights before and after softmax.
    """
    wide = positions * (2 * stack.width + _wide(stack)) * size
    attention = 4 * positions * stack.width * size + 2 * _scores(stack, positions, positions, size, eager)
    return max(wide, attention)


def estimate_labelling(shape: Shape, batch: Batch, size: int, eager: bool, beams: int = 1) -> Estimate:
    """Estimate the decoding of a batch to `batch.tokens` tokens. size: bytes of a number.

    Each beam has a cache of its own.
    Audio and, for a prompted model, the prompt go through a layer at a time. The cache holds keys and values
    of prompt and text; of a decoder, also of the encoder states.
    """
    count, encoder, decoder = batch.utterances, shape.encoder, shape.decoder
    encoding = _working(encoder, batch.positions, size, eager) + batch.positions * encoder.width * size
    reading = _working(decoder, batch.prompt, size, eager) + batch.prompt * decoder.width * size
    cached = batch.tokens + (batch.prompt if shape.prompted else batch.positions)
    cache = 2 * decoder.layers * cached * decoder.key_width * size
    # In float32: the masked logits, their logarithms and their exponentials, of one step.
    logits = shape.vocabulary * (size + 4 * 4)
    return Estimate(
        shape.parameters * size, activations=count * max(encoding, reading), cache=count * beams * cache,
        logits=count * beams * logits,
    )  # fmt: skip


def _layer_bytes(shape: Shape, batch: Batch, adapted: Collection[str], size: int, eager: bool) -> tuple[int, int]:
    """Return bytes that one layer of the encoder and one of the decoder keep for one utterance."""
    encoder, decoder = shape.encoder, shape.decoder
    positions, length = batch.positions, batch.prompt + batch.tokens
    encoding = positions * (_kept(encoder, size) + _copied(encoder, adapted, size)[0])
    encoding += _scores(encoder, positions, positions, size, eager)
    own, attending, attended = _copied(decoder, adapted, size)
    decoding = length * (_kept(decoder, size) + own) + _scores(decoder, length, length, size, eager)
    if decoder.cross:
        decoding += length * (6 * decoder.width * size + attending)
        decoding += positions * (2 * decoder.width * size + attended)
        decoding += _scores(decoder, length, positions, size, eager)
    return encoding, decoding


def trained_bytes(shape: Shape, params: TrainParams, size: int, full: bool = False) -> int:
    """Return bytes of what is trained, beside the weights that the model has anyway.

    For a LoRA, value, gradient and two moments, in float32; for all weights (`full`), their start, gradient
    and two moments, in the type of the weights.
    """
    return 4 * size * shape.parameters if full else 16 * shape.adapter_parameters(params.lora)


def estimate_training(
    shape: Shape, params: TrainParams, batch: Batch, size: int, eager: bool, full: bool = False
) -> Estimate:
    """Estimate the training of an adapter, or of all weights (`full`), on a batch with texts of `batch.tokens` tokens.

    Every layer keeps activations for the way back; with gradient checkpointing only its input, and one layer
    whole. An encoder without an adapter keeps nothing. Logits are those of the texts, not of a prompt.
    """
    encoder, decoder = shape.encoder, shape.decoder
    adapted = () if full else shape.lora_layers(params.lora)
    encoding, decoding = _layer_bytes(shape, batch, adapted, size, eager)
    kept, first = encoder.layers * encoding, 0
    if not full and not any(name.startswith(encoder.name) for name in adapted):
        kept, first = 0, _working(encoder, batch.positions, size, eager)
    elif params.gradient_checkpointing:
        kept, first = encoder.layers * batch.positions * encoder.width * size, encoding
    if params.gradient_checkpointing:
        kept += decoder.layers * (batch.prompt + batch.tokens) * decoder.width * size
        activations = kept + max(first, decoding)
    else:
        activations = max(first, kept + decoder.layers * decoding)
    activations *= batch.utterances
    adapter = trained_bytes(shape, params, size, full)
    # The logits, their float32 form and its logarithms, and the gradient of each.
    logits = batch.utterances * batch.tokens * shape.vocabulary * (2 * size + 12)
    return Estimate(
        shape.parameters * size, adapter, round(MOMENTARY * activations), logits=round(MOMENTARY * logits),
        runtime=RUNTIME,
    )  # fmt: skip
