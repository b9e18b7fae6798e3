"""A model without its weights, on torch's `meta` device: its layers, parameters, and what a LoRA adds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

from ilt.errors import IltError
from ilt.params import LoraParams
from ilt.tools.recognisers import CLASSES, transformers_class

if TYPE_CHECKING:
    from torch import nn

__all__ = ["RELEASED", "Shape", "Stack", "released_shape", "shape_of"]


@dataclass(frozen=True)
class Stack:
    """Equal transformer layers.

    name:    of the module that holds the layers.
    linears: linear layers of one layer by their name in it, as `self_attn.q_proj`.
    heads:   of attention; with grouped-query attention, keys have fewer.
    """

    name: str
    layers: int
    linears: Mapping[str, nn.Linear]
    heads: int

    @property
    def width(self) -> int:
        """Numbers of a hidden state."""
        return self.linears["self_attn.q_proj"].in_features

    @property
    def key_width(self) -> int:
        """Numbers of all keys of a position together."""
        return self.linears["self_attn.k_proj"].out_features

    @property
    def gated(self) -> bool:
        """SwiGLU and RMS norms, as in Qwen2; else as in Whisper."""
        return "mlp.gate_proj" in self.linears

    @property
    def feed_forward(self) -> int:
        """Width of the feed-forward block."""
        return self.linears["mlp.gate_proj" if self.gated else "fc1"].out_features

    @property
    def cross(self) -> bool:
        """Attends to an encoder in each layer."""
        return "encoder_attn.q_proj" in self.linears


@dataclass(frozen=True, eq=False)
class Shape:
    """A model on the meta device.

    name:    for messages.
    encoder: of audio; decoder: of text, or the language model, whose prompt then holds the encoder's output.
    tokens:  that a text has at most; for Whisper with its prompt.
    stored:  type that the checkpoint says its weights are stored in, or None.
    """

    name: str
    model: Any
    encoder: Stack
    decoder: Stack
    tokens: int
    stored: str | None

    @cached_property
    def parameters(self) -> int:
        """All weights; tied ones count once."""
        return sum(weight.numel() for weight in self.model.parameters())

    @property
    def vocabulary(self) -> int:
        """Tokens that the output layer scores."""
        return int(self.model.get_output_embeddings().out_features)

    @property
    def mels(self) -> int:
        """Mel bins of the encoder's input."""
        return int(self._audio.num_mel_bins)

    @property
    def positions(self) -> int:
        """Encoder positions of the full context."""
        return int(self._audio.max_source_positions)

    @property
    def prompted(self) -> bool:
        """Audio is part of the prompt, not attended to by a decoder."""
        return not self.decoder.cross

    @property
    def _audio(self) -> Any:
        return self.model.get_submodule(self.encoder.name.rpartition(".")[0]).config

    def lora_layers(self, lora: LoraParams) -> dict[str, nn.Linear]:
        """Return the linear layers that training adapts, by name. Raises IltError as training does."""
        return _lora_layers(self, lora.encoder, tuple(lora.target_modules))

    def adapter_parameters(self, lora: LoraParams) -> int:
        """Return the weights of a LoRA: rank × (inputs + outputs) of each linear layer that it is on."""
        return lora.r * sum(layer.in_features + layer.out_features for layer in self.lora_layers(lora).values())


def _whisper(width: int, layers: tuple[int, int], mels: int = 80, vocabulary: int = 51865) -> dict[str, Any]:
    sides = zip(("encoder", "decoder"), layers, strict=True)
    return {"model_type": "whisper", "d_model": width, "num_mel_bins": mels, "vocab_size": vocabulary} | {
        f"{side}_{key}": value
        for side, count in sides
        for key, value in (("layers", count), ("attention_heads", width // 64), ("ffn_dim", 4 * width))
    }


_QWEN2_AUDIO = {
    "model_type": "qwen2_audio",
    "audio_config": {"model_type": "qwen2_audio_encoder", "num_mel_bins": 128},
    "text_config": {
        "model_type": "qwen2", "intermediate_size": 11008, "vocab_size": 156032, "dtype": "bfloat16",
        "max_position_embeddings": 8192,
    },
}  # fmt: skip

RELEASED: dict[str, dict[str, Any]] = {
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
"""Values of released checkpoints' config.json that differ from transformers' defaults: they need no hub."""


def released_shape(model_id: str) -> Shape | None:
    """Return the shape of a released checkpoint from `RELEASED`, or None for any other."""
    return shape_of(RELEASED[model_id], model_id) if model_id in RELEASED else None


def shape_of(values: Mapping[str, Any], name: str) -> Shape | None:
    """Return the shape that a config.json says, or None for a family that is not estimated.

    What the file leaves out has transformers' defaults, as when the model is loaded. Raises IltError for a
    file that no model can be built from.
    """
    if values.get("model_type") not in CLASSES:
        return None
    import torch
    from transformers import AutoConfig

    from ilt.asr.loading import stored_dtype
    from ilt.asr.qwen2_audio.texts import text_tokens

    try:
        config = AutoConfig.for_model(**values)
        with torch.device("meta"):
            model = transformers_class(config.model_type, "ForConditionalGeneration")(config)
        parts = dict(model.named_modules())
        encoder, decoder = (_stack(at, part) for at, part in parts.items() if isinstance(part, torch.nn.ModuleList))
    except (ValueError, TypeError, RuntimeError, ArithmeticError, LookupError) as error:
        raise IltError(
            f"model.id: no model can be built from config.json of {name}: {str(error).splitlines()[0]}"
        ) from None
    dtype = stored_dtype(config)
    return Shape(
        name, model, encoder, decoder,
        tokens=getattr(config, "max_target_positions", None) or text_tokens(config),
        stored=None if dtype is None else str(dtype).removeprefix("torch."),
    )  # fmt: skip


def _stack(name: str, layers: nn.ModuleList) -> Stack:
    import torch

    first: Any = layers[0]
    linears = {name: part for name, part in first.named_modules() if isinstance(part, torch.nn.Linear)}
    return Stack(name, len(layers), linears, linears["self_attn.q_proj"].out_features // first.self_attn.head_dim)


@cache
def _lora_layers(shape: Shape, encoder: bool, targets: tuple[str, ...]) -> dict[str, nn.Linear]:
    import torch

    from ilt.training.lora import lora_targets

    lora, prefix = LoraParams(encoder=encoder, target_modules=list(targets)), shape.encoder.name.removesuffix("layers")
    names = lora_targets(shape.model, lora, prefix, shape.name)
    return {
        name: module
        for name, module in shape.model.named_modules()
        if isinstance(module, torch.nn.Linear)
        and name.rpartition(".")[2] in names
        and (encoder or not name.startswith(prefix))
    }
