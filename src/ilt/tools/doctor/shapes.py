"""What of a speech model decides over memory: layers, widths, tables. Whisper and Qwen2-Audio."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from ilt.params import LoraParams

__all__ = ["RELEASED", "Linear", "Shape", "Stack", "shape_of"]


class Linear(NamedTuple):
    """A linear layer, named as a LoRA's `target_modules` name it."""

    name: str
    taken: int
    given: int
    bias: bool

    @property
    def parameters(self) -> int:
        """Weights, and biases if any."""
        return (self.taken + self.bias) * self.given


@dataclass(frozen=True)
class Stack:
    """Equal transformer layers.

    key_width: of all keys of a position together: less than `width` with grouped-query attention.
    gated:     SwiGLU, RMS norms and no bias behind the attention, as Qwen2 has it; else as Whisper.
    cross:     each layer attends to an encoder too.
    """

    layers: int
    width: int
    heads: int
    feed_forward: int
    key_width: int
    gated: bool = False
    cross: bool = False

    @property
    def linears(self) -> tuple[Linear, ...]:
        """The linear layers of one layer, without `crossed`."""
        d, f, k = self.width, self.feed_forward, self.key_width
        if self.gated:
            return (
                Linear("q_proj", d, d, True), Linear("k_proj", d, k, True), Linear("v_proj", d, k, True),
                Linear("o_proj", d, d, False), Linear("gate_proj", d, f, False),
                Linear("up_proj", d, f, False), Linear("down_proj", f, d, False),
            )  # fmt: skip
        return (*self._attention, Linear("fc1", d, f, True), Linear("fc2", f, d, True))

    @property
    def crossed(self) -> tuple[Linear, ...]:
        """The linear layers by which one layer attends to the encoder."""
        return self._attention if self.cross else ()

    @property
    def _attention(self) -> tuple[Linear, ...]:
        d = self.width
        names = ("q_proj", "k_proj", "v_proj", "out_proj")
        return tuple(Linear(name, d, d, name != "k_proj") for name in names)

    @property
    def norm(self) -> int:
        """Weights of one norm: a scale, and unless it is an RMS norm a shift."""
        return self.width * (1 if self.gated else 2)

    @property
    def parameters(self) -> int:
        """All layers and the norm behind the last."""
        one = sum(linear.parameters for linear in (*self.linears, *self.crossed))
        return self.layers * (one + (3 if self.cross else 2) * self.norm) + self.norm


@dataclass(frozen=True)
class Shape:
    """A model that hears with an encoder and writes with a decoder, or with a language model behind it.

    hears:       the encoder; writes: the decoder (Whisper) or the language model (Qwen2-Audio), whose input
                 is then the prompt with every second encoder position, pooled and projected, in it.
    positions:   of the encoder's full context.
    tokens:      that a text has at most; for Whisper with its prompt.
    tied:        whether the output layer is the embedding.
    stored:      type that the checkpoint says its weights are stored in, or None.
    """

    hears: Stack
    writes: Stack
    mels: int
    vocabulary: int
    positions: int
    tokens: int
    tied: bool = True
    stored: str | None = None

    @property
    def prompted(self) -> bool:
        """Whether what is heard is part of the prompt, not attended to by a decoder."""
        return not self.writes.cross

    @property
    def single(self) -> Iterator[Linear]:
        """The linear layers that are there once: the projector, and what makes logits."""
        d = self.writes.width
        if self.prompted:
            yield Linear("linear", self.hears.width, d, True)
        yield Linear("lm_head" if self.prompted else "proj_out", d, self.vocabulary, False)

    @property
    def parameters(self) -> int:
        """All weights."""
        d = self.hears.width
        front = 3 * self.mels * d + d + 3 * d * d + d + self.positions * d
        table = self.writes.width * (self.vocabulary + (0 if self.prompted else self.tokens))
        last = sum(one.parameters for one in self.single)
        last -= self.vocabulary * self.writes.width if self.tied else 0
        return front + self.hears.parameters + table + self.writes.parameters + last

    def adapter_parameters(self, lora: LoraParams) -> int:
        """Weights of a LoRA: rank × (inputs + outputs) of each linear layer that it is on."""
        written = [(self.writes.layers, one) for one in (*self.writes.linears, *self.writes.crossed)]
        heard = [(self.hears.layers, one) for one in self.hears.linears] if lora.encoder else []
        every = [*written, *heard, *((1, one) for one in self.single)]
        names = set(lora.target_modules)
        return lora.r * sum(n * (one.taken + one.given) for n, one in every if one.name in names)


def _whisper(width: int, layers: tuple[int, int], mels: int = 80, vocabulary: int = 51865) -> Shape:
    hears, writes = (
        Stack(count, width, width // 64, 4 * width, width, cross=cross)
        for count, cross in zip(layers, (False, True), strict=True)
    )
    return Shape(hears, writes, mels, vocabulary, 1500, 448)


_QWEN2_AUDIO = Shape(
    Stack(32, 1280, 20, 5120, 1280), Stack(32, 4096, 32, 11008, 4096, gated=True), 128, 156032, 1500, 448,
    tied=False, stored="bfloat16",
)  # fmt: skip

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
    "Qwen/Qwen2-Audio-7B": _QWEN2_AUDIO,
    "Qwen/Qwen2-Audio-7B-Instruct": _QWEN2_AUDIO,
}
"""Shapes of the released checkpoints, so that they can be judged where no hub can be reached."""


def shape_of(values: dict[str, Any]) -> Shape | None:
    """The shape that a config.json says, or None for an architecture that is not estimated.

    What the file leaves out has transformers' defaults, as when the model is loaded: the released
    Qwen2-Audio does not say how wide its language model is.
    """
    if values.get("model_type") not in ("whisper", "qwen2_audio"):
        return None
    from transformers import AutoConfig

    from ilt.asr.loading import stored_dtype

    config = AutoConfig.for_model(**values)
    dtype = stored_dtype(config)
    stored = None if dtype is None else str(dtype).removeprefix("torch.")
    if config.model_type == "whisper":
        d = config.d_model
        hears = Stack(config.encoder_layers, d, config.encoder_attention_heads, config.encoder_ffn_dim, d)
        writes = Stack(config.decoder_layers, d, config.decoder_attention_heads, config.decoder_ffn_dim, d, cross=True)
        positions, tokens = config.max_source_positions, config.max_target_positions
        return Shape(hears, writes, config.num_mel_bins, config.vocab_size, positions, tokens, stored=stored)
    return _qwen2_audio(config, stored)


def _qwen2_audio(config: Any, stored: str | None) -> Shape | None:
    from transformers import Qwen2AudioForConditionalGeneration

    from ilt.asr.qwen2_audio.recogniser import text_tokens

    audio, text = config.audio_config, config.text_config
    if (audio.model_type, text.model_type) != ("qwen2_audio_encoder", "qwen2"):
        return None
    hears = Stack(
        audio.encoder_layers, audio.d_model, audio.encoder_attention_heads, audio.encoder_ffn_dim,
        audio.d_model,
    )  # fmt: skip
    writes = Stack(
        text.num_hidden_layers, text.hidden_size, text.num_attention_heads, text.intermediate_size,
        text.hidden_size // text.num_attention_heads * text.num_key_value_heads, gated=True,
    )  # fmt: skip
    # transformers' class ties the output layer only if it says so itself, whatever the file says.
    ties = bool(getattr(Qwen2AudioForConditionalGeneration, "_tied_weights_keys", None))
    return Shape(
        hears, writes, audio.num_mel_bins, text.vocab_size, audio.max_source_positions, text_tokens(config),
        tied=ties and bool(getattr(config, "tie_word_embeddings", False)), stored=stored,
    )  # fmt: skip
