"""How much memory a model takes, from its shape alone: for loading, labelling, and training an adapter.

Sources: activations of a transformer layer, Korthikanti et al. 2022 (arXiv 2205.05198), equations 1 and 2,
less the dropout masks, which these models do not need; the same count for a layer with SwiGLU (Shazeer 2020,
arXiv 2002.05202); Adam's two moments in float32, Rajbhandari et al. 2020 (arXiv 1910.02054), section 3.1.
`benchmarks/memory.py` holds the estimates against what is measured.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ilt.params import TrainParams
from ilt.tools.doctor.shapes import Linear, Shape, Stack

__all__ = [
    "Batch",
    "Estimate",
    "estimate_labelling",
    "estimate_loading",
    "estimate_training",
    "trained_bytes",
]


MOMENTARY = 1.5
"""What a training step takes at its peak over what it keeps for the way back: gradients of activations and
what an allocator does not give back at once. Measured by `benchmarks/memory.py`."""

RUNTIME = 100 * 2**20
"""What torch itself takes for the first optimiser step; measured in the same way."""


@dataclass(frozen=True)
class Batch:
    """What goes through a model at once.

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
    """Bytes of main memory while the weights are loaded (`ilt.asr.loading`): float32, unless stored as used.

    dtype, size: name and bytes of the type that the model runs in.
    """
    return shape.parameters * (size if shape.stored == dtype else 4)


def _scores(stack: Stack, queries: int, keys: int, size: int, eager: bool) -> int:
    """Attention weights of one layer and utterance: SDPA never writes them out."""
    return stack.heads * queries * keys * size if eager else 0


def _copied(linears: Iterable[Linear], names: set[str], size: int) -> int:
    """Bytes a position of the float32 copies that a LoRA keeps of its inputs, on a 16-bit model."""
    return 4 * sum(linear.taken for linear in linears if linear.name in names) if size < 4 else 0


def _wide(stack: Stack) -> int:
    """Numbers that a feed-forward block makes of a position: before and after the activation, and, gated,
    what it is multiplied by and the product."""
    return (4 if stack.gated else 2) * stack.feed_forward


def _kept(stack: Stack, names: set[str], size: int) -> int:
    """Bytes a position that one layer keeps for the way back, without attention weights.

    8 numbers of the width: inputs of both norms and both blocks, queries, keys, values (of all heads: those
    that heads share are repeated), what attention gives. RMS norms compute in float32.
    """
    norms = 2 * 4 * stack.width if stack.gated and size < 4 else 0
    return (8 * stack.width + _wide(stack)) * size + norms + _copied(stack.linears, names, size)


def _working(stack: Stack, positions: int, size: int, eager: bool) -> int:
    """Bytes of one layer for one utterance with no way back: its input and its widest moment.

    That is in the feed-forward block, or in attention: weights before and after softmax.
    """
    wide = positions * (2 * stack.width + _wide(stack)) * size
    attention = 4 * positions * stack.width * size + 2 * _scores(stack, positions, positions, size, eager)
    return max(wide, attention)


def estimate_labelling(shape: Shape, batch: Batch, size: int, eager: bool, beams: int = 1) -> Estimate:
    """Decoding a batch to `batch.tokens` tokens. size: bytes of a number. Each beam has a cache of its own.

    What is heard and, for a prompted model, the prompt go through a layer at a time. The cache holds keys and
    values of all that was read and written; of a decoder, also of the encoder states.
    """
    count, before = batch.utterances, batch.prompt
    hears, writes = shape.hears, shape.writes
    states = batch.positions * hears.width * size
    heard = _working(hears, batch.positions, size, eager) + states
    read = _working(writes, before, size, eager) + before * writes.width * size
    seen = batch.tokens + (before if shape.prompted else batch.positions)
    cache = 2 * writes.layers * seen * writes.key_width * size
    # In float32: the masked logits, their logarithms and their exponentials, of one step.
    logits = shape.vocabulary * (size + 4 * 4)
    return Estimate(
        shape.parameters * size, activations=count * max(heard, read), cache=count * beams * cache,
        logits=count * beams * logits,
    )  # fmt: skip


def _training_layers(shape: Shape, batch: Batch, names: set[str], size: int, eager: bool) -> tuple[int, int, int]:
    """Bytes that one layer keeps for one utterance: encoder, decoder or language model; positions of that."""
    hears, writes = shape.hears, shape.writes
    positions, length = batch.positions, batch.prompt + batch.tokens
    heard = positions * _kept(hears, names, size) + _scores(hears, positions, positions, size, eager)
    written = length * _kept(writes, names, size) + _scores(writes, length, length, size, eager)
    if writes.cross:
        d = writes.width
        ours = [one for one in writes.crossed if one.name not in ("k_proj", "v_proj")]
        theirs = [one for one in writes.crossed if one.name in ("k_proj", "v_proj")]
        written += length * (6 * d * size + _copied(ours, names, size))
        written += positions * (2 * d * size + _copied(theirs, names, size))
        written += _scores(writes, length, positions, size, eager)
    return heard, written, length


def trained_bytes(shape: Shape, params: TrainParams, size: int, full: bool = False) -> int:
    """Bytes of what is trained, beside the weights that the model has anyway.

    Of a LoRA value, gradient and two moments, in float32; of all weights (`full`) where they began, gradient
    and two moments, as the weights are.
    """
    return 4 * size * shape.parameters if full else 16 * shape.adapter_parameters(params.lora)


def estimate_training(
    shape: Shape, params: TrainParams, batch: Batch, size: int, eager: bool, full: bool = False
) -> Estimate:
    """Training an adapter, or all weights (`full`), on a batch with texts of `batch.tokens` tokens.

    Every layer keeps activations for the way back; with gradient checkpointing only its input, and one layer
    whole. An encoder without an adapter keeps nothing. Logits are those of the texts, not of a prompt.
    """
    hears, writes = shape.hears, shape.writes
    names = set() if full else set(params.lora.target_modules)  # whose inputs a LoRA copies
    heard, written, length = _training_layers(shape, batch, names, size, eager)
    adapted = full or (params.lora.encoder and not names.isdisjoint(one.name for one in hears.linears))
    if not adapted:
        first = _working(hears, batch.positions, size, eager)
        kept = 0
    elif params.gradient_checkpointing:
        first, kept = heard, hears.layers * batch.positions * hears.width * size
    else:
        first, kept = 0, hears.layers * heard
    if params.gradient_checkpointing:
        kept += writes.layers * length * writes.width * size
        activations = kept + max(first, written)
    else:
        activations = max(first, kept + writes.layers * written)
    activations *= batch.utterances
    adapter = trained_bytes(shape, params, size, full)
    # The logits, their float32 form and its logarithms, and the gradient of each.
    logits = batch.utterances * batch.tokens * shape.vocabulary * (2 * size + 12)
    return Estimate(
        shape.parameters * size, adapter, round(MOMENTARY * activations), logits=round(MOMENTARY * logits),
        runtime=RUNTIME,
    )  # fmt: skip
