"""The demo base before training: its recipe, processor and model, and the folder that it is written to."""

from __future__ import annotations

import json
import random
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from transformers import (
    GenerationConfig,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperProcessor,
    WhisperTokenizer,
)

from ilt.demo.nonce import nonce_word
from ilt.demo.recipes.tokenizer import build_tokenizer
from ilt.demo.texts import LANGUAGES, PATTERNS, phrase

__all__ = ["BaseRecipe", "build_model", "build_processor", "save_base"]


@dataclass(frozen=True)
class BaseRecipe:
    """All values that decide the base."""

    utterances: int = 60_000
    flite_share: float = 0.35
    steps: int = 11_000
    batch: int = 32
    peak_lr: float = 1.5e-3
    warmup: float = 0.06
    weight_decay: float = 0.02
    ctc_weight: float = 0.4
    label_smoothing: float = 0.05
    clean_until: float = 0.08
    hard_from: float = 0.55
    seconds: int = 6
    d_model: int = 192
    encoder_layers: int = 5
    decoder_layers: int = 2
    seed: int = 17


def build_processor(recipe: BaseRecipe) -> WhisperProcessor:
    """Return a processor of 80 mel bins at a hop of 20 ms, so that the encoder gives 25 states a second."""
    rng = random.Random(recipe.seed)
    texts = [phrase(p, lang, rng) for lang in LANGUAGES for p in PATTERNS for _ in range(400)]
    texts += [nonce_word(language, rng) for language in LANGUAGES for _ in range(4000)]
    extractor = WhisperFeatureExtractor(
        feature_size=80, sampling_rate=16_000, hop_length=320, n_fft=400, chunk_length=recipe.seconds
    )
    return WhisperProcessor(extractor, build_tokenizer(texts))


def build_model(recipe: BaseRecipe, tokenizer: WhisperTokenizer) -> WhisperForConditionalGeneration:
    """Return an untrained Whisper whose ids and generation settings agree with the tokenizer."""
    ids = tokenizer.convert_tokens_to_ids
    end, start = ids("<|endoftext|>"), ids("<|startoftranscript|>")
    config = WhisperConfig(
        vocab_size=len(tokenizer),
        num_mel_bins=80,
        d_model=recipe.d_model,
        encoder_layers=recipe.encoder_layers,
        decoder_layers=recipe.decoder_layers,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=4 * recipe.d_model,
        decoder_ffn_dim=4 * recipe.d_model,
        max_source_positions=recipe.seconds * 25,
        max_target_positions=96,
        dropout=0.0,
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
        decoder_start_token_id=start,
        suppress_tokens=None,
        begin_suppress_tokens=None,
    )
    torch.manual_seed(recipe.seed)
    model = WhisperForConditionalGeneration(config)
    model.set_attn_implementation("eager")  # its backward pass beats SDPA on short contexts on a CPU
    model.generation_config = GenerationConfig(
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
        decoder_start_token_id=start,
        max_length=config.max_target_positions,
        is_multilingual=True,
        lang_to_id={f"<|{lang}|>": ids(f"<|{lang}|>") for lang in LANGUAGES},
        task_to_id={"transcribe": ids("<|transcribe|>"), "translate": ids("<|translate|>")},
        no_timestamps_token_id=ids("<|notimestamps|>"),
        prev_sot_token_id=ids("<|startofprev|>"),
        begin_suppress_tokens=[end],
        suppress_tokens=[],
        return_timestamps=False,
    )
    return model


def save_base(
    folder: Path, model: WhisperForConditionalGeneration, processor: WhisperProcessor, recipe: BaseRecipe
) -> None:
    """Write the model folder: float16 safetensors, processor and generation files, the recipe."""
    temporary = folder.with_name(folder.name + ".tmp")
    half = {name: tensor.detach().to(torch.float16) for name, tensor in model.state_dict().items()}
    model.save_pretrained(temporary, state_dict=half)
    config = json.loads((temporary / "config.json").read_text())
    config["dtype"] = "float16"
    (temporary / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    processor.save_pretrained(temporary)
    (temporary / "recipe.json").write_text(json.dumps(asdict(recipe), indent=2) + "\n")
    folder.mkdir(parents=True, exist_ok=True)
    for path in temporary.iterdir():
        path.replace(folder / path.name)
    temporary.rmdir()
