"""Recipe of a small Qwen2-Audio: the encoder of `data/models/demo-whisper`, and a small Qwen2 that reads its states.

`python -m ilt.demo.recipes.qwen2_audio` trains it on source-domain speech alone, as the base is trained, and writes
data/models/demo-qwen2-audio. It proves, without a model hub, that the pipeline adapts audio language models too.
"""

from __future__ import annotations

import copy
import json
import math
import random
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from transformers import (
    GenerationConfig,
    Qwen2AudioConfig,
    Qwen2AudioEncoderConfig,
    Qwen2AudioForConditionalGeneration,
    Qwen2AudioProcessor,
    Qwen2Config,
    Qwen2Tokenizer,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
)

from ilt.asr.context import audio_context
from ilt.asr.features import pad_features
from ilt.asr.qwen2_audio.prompts import AUDIO, BASE_PROMPT
from ilt.demo.nonce import nonce_word
from ilt.demo.recipes.augment import augment, mask
from ilt.demo.recipes.speech import Example, training_examples
from ilt.demo.recipes.tokenizer import letter_vocabulary
from ilt.demo.texts import LANGUAGES, PATTERNS, phrase
from ilt.paths import replacing
from ilt.training.channel import compress

__all__ = ["Qwen2AudioRecipe", "build_model", "build_processor", "train_qwen2_audio"]

SAVE_EVERY = 500
"""Steps after which the model so far is written to FOLDER.partial, to be looked at."""

SPECIAL = ("<|im_start|>", "<|im_end|>", "<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>")


@dataclass(frozen=True)
class Qwen2AudioRecipe:
    """All values that decide the model, beside the encoder that it starts from."""

    encoder: str = "data/models/demo-whisper"
    utterances: int = 20_000
    flite_share: float = 0.0
    steps: int = 4_000
    batch: int = 32
    peak_lr: float = 1.5e-3
    encoder_lr: float = 3e-4
    encoder_from: float = 0.1
    warmup: float = 0.05
    weight_decay: float = 0.02
    label_smoothing: float = 0.05
    short_until: float = 0.15
    clean_until: float = 0.3
    hard_from: float = 0.7
    hidden_size: int = 192
    layers: int = 4
    heads: int = 4
    intermediate_size: int = 512
    seed: int = 23


def build_processor(recipe: Qwen2AudioRecipe) -> Qwen2AudioProcessor:
    """Return the encoder's features, and a Qwen2 tokenizer with a token for each character and for the prompt."""
    rng = random.Random(recipe.seed)
    texts = [phrase(p, lang, rng) for lang in LANGUAGES for p in PATTERNS for _ in range(400)]
    texts += [nonce_word(language, rng) for language in LANGUAGES for _ in range(4000)]
    vocabulary, merges = letter_vocabulary([*texts, BASE_PROMPT])
    tokenizer = Qwen2Tokenizer(vocab=vocabulary, merges=merges)
    codes = [f"<|{code}|>" for code in LANGUAGES]
    tokenizer.add_special_tokens({"additional_special_tokens": [*SPECIAL, *codes]})
    tokenizer.add_tokens([BASE_PROMPT.partition(" <|")[0]])  # the instruction is one token: it is in every prompt
    return Qwen2AudioProcessor(
        WhisperFeatureExtractor.from_pretrained(recipe.encoder, trust_remote_code=False), tokenizer
    )


def build_model(recipe: Qwen2AudioRecipe, processor: Qwen2AudioProcessor) -> Qwen2AudioForConditionalGeneration:
    """Return the encoder as it was trained, with an untrained language model behind it."""
    source = WhisperForConditionalGeneration.from_pretrained(
        recipe.encoder, dtype=torch.float32, trust_remote_code=False
    )
    encoder, tokenizer = source.config, processor.tokenizer
    ids = tokenizer.convert_tokens_to_ids
    end = ids("<|endoftext|>")
    config = Qwen2AudioConfig(
        audio_config=Qwen2AudioEncoderConfig(
            num_mel_bins=encoder.num_mel_bins,
            encoder_layers=encoder.encoder_layers,
            encoder_attention_heads=encoder.encoder_attention_heads,
            encoder_ffn_dim=encoder.encoder_ffn_dim,
            d_model=encoder.d_model,
            max_source_positions=encoder.max_source_positions,
        ),
        text_config=Qwen2Config(
            vocab_size=len(tokenizer),
            hidden_size=recipe.hidden_size,
            intermediate_size=recipe.intermediate_size,
            num_hidden_layers=recipe.layers,
            num_attention_heads=recipe.heads,
            num_key_value_heads=recipe.heads,
            max_position_embeddings=512,
            tie_word_embeddings=True,
            bos_token_id=end,
            eos_token_id=end,
            pad_token_id=end,
        ),
        audio_token_index=ids("<|AUDIO|>"),
        tie_word_embeddings=True,
    )
    torch.manual_seed(recipe.seed)
    model = Qwen2AudioForConditionalGeneration(config)
    model.model.audio_tower.load_state_dict(source.model.encoder.state_dict())
    model.set_attn_implementation("eager")
    model.generation_config = GenerationConfig(bos_token_id=end, eos_token_id=end, pad_token_id=end)
    return model


class _Collator:
    """Batches of features and token rows; the language tag is learnt too, so that it can be detected."""

    def __init__(self, examples: list[Example], processor: Qwen2AudioProcessor) -> None:
        self.examples, self.tokenizer = examples, processor.tokenizer
        ids = self.tokenizer.convert_tokens_to_ids
        self.audio, self.end = ids("<|AUDIO|>"), ids("<|endoftext|>")
        self.limit = processor.feature_extractor.chunk_length * 50
        tokens = {code: self._ids(AUDIO + BASE_PROMPT.format(code=code)) for code in LANGUAGES}
        self.prompts = tokens
        self.texts = [self._ids(example.text) for example in examples]

    def _ids(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False).input_ids)

    def __call__(self, indices: list[int], strength: float, rng: np.random.Generator) -> dict[str, torch.Tensor]:
        mels = []
        for index in indices:
            mel = torch.from_numpy(self.examples[index].log_mel.astype(np.float32))
            other = self.examples[rng.integers(len(self.examples))].log_mel
            if strength > 0:
                mel = augment(mel, torch.from_numpy(other.astype(np.float32)), rng, strength)
            mels.append(mask(compress(mel[:, : self.limit]), rng, strength))
        frames = [max(8, mel.shape[1]) for mel in mels]
        width = min(self.limit, max(frames) + 4)
        width += width % 2
        rows, labels = [], []
        for index, count in zip(indices, frames, strict=True):
            prompt, answer = (
                self.prompts[self.examples[index].language],
                [*self.texts[index], self.end],
            )
            length = ((count - 1) // 2 + 1 - 2) // 2 + 1
            at = prompt.index(self.audio)
            prompt = [*prompt[:at], *[self.audio] * length, *prompt[at + 1 :]]
            rows.append([*prompt, *answer[:-1]])
            labels.append([*[-100] * (len(prompt) - 2), prompt[-1], *answer])
        size = max(map(len, rows))
        return {
            "input_ids": torch.tensor([row + [self.end] * (size - len(row)) for row in rows]),
            "attention_mask": torch.tensor([[1] * len(row) + [0] * (size - len(row)) for row in rows]),
            "labels": torch.tensor([row + [-100] * (size - len(row)) for row in labels]),
            "input_features": pad_features(mels, width),
            "feature_attention_mask": (torch.arange(width)[None] < torch.tensor(frames)[:, None]).long(),
        }


def _batches(lengths: list[int], recipe: Qwen2AudioRecipe, rng: random.Random, share: float) -> list[list[int]]:
    """Return one pass in batches of like length; at first over the shortest utterances alone."""
    order = sorted(range(len(lengths)), key=lambda index: lengths[index])
    if share < recipe.short_until:
        order = order[: max(recipe.batch * 20, round(len(order) * (0.15 + share / recipe.short_until / 2)))]
    rng.shuffle(order)
    batches = []
    for start in range(0, len(order), recipe.batch * 40):
        part = sorted(order[start : start + recipe.batch * 40], key=lambda index: lengths[index])
        batches += [part[at : at + recipe.batch] for at in range(0, len(part), recipe.batch)]
    rng.shuffle(batches)
    return batches


def train_qwen2_audio(folder: Path, recipe: Qwen2AudioRecipe, processes: int = 2) -> None:
    """Train, and write the model folder."""
    processor = build_processor(recipe)
    model = build_model(recipe, processor)
    examples = list(
        training_examples(recipe.utterances, recipe.seed, processor.feature_extractor, recipe.flite_share, processes)
    )
    millions = sum(p.numel() for p in model.parameters()) / 1e6
    print(f"{len(examples)} utterances, {millions:.2f} M parameters", flush=True)
    tower = {id(p) for p in model.model.audio_tower.parameters()}
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if id(p) not in tower], "peak": recipe.peak_lr, "from": 0.0},
        # What an untrained language model asks of the encoder at first would only spoil it.
        {
            "params": [p for p in trained if id(p) in tower],
            "peak": recipe.encoder_lr,
            "from": recipe.encoder_from,
        },
    ]
    optimiser = torch.optim.AdamW(groups, lr=recipe.peak_lr, betas=(0.9, 0.98), weight_decay=recipe.weight_decay)
    collate = _Collator(examples, processor)
    lengths = [example.log_mel.shape[1] for example in examples]
    order, noise = random.Random(recipe.seed), np.random.default_rng(recipe.seed)
    queue: list[list[int]] = []
    begun, total = time.monotonic(), 0.0
    model.train()
    for step in range(1, recipe.steps + 1):
        share = step / recipe.steps
        if not queue:
            queue = _batches(lengths, recipe, order, share)
        strength = min(1.0, max(0.0, (share - recipe.clean_until) / (recipe.hard_from - recipe.clean_until)))
        batch = collate(queue.pop(), strength, noise)
        labels = batch.pop("labels")
        width = batch["input_features"].shape[-1]
        with audio_context(model.model.audio_tower, width), torch.autocast("cpu", torch.bfloat16):
            states = model.model(**batch, use_cache=False).last_hidden_state
            logits = model.lm_head(states[labels != -100])
        loss = functional.cross_entropy(logits.float(), labels[labels != -100], label_smoothing=recipe.label_smoothing)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        warm = min(1.0, step / (recipe.warmup * recipe.steps))
        fall = 0.5 * (1 + math.cos(math.pi * max(0.0, share - recipe.warmup) / (1 - recipe.warmup)))
        for group in optimiser.param_groups:
            group["lr"] = group["peak"] * warm * fall * (share > group["from"])
        optimiser.step()
        total += loss.item()
        if step % 50 == 0:
            pace = (time.monotonic() - begun) / step
            print(f"step {step} loss {total / 50:.3f} strength {strength:.2f} {pace:.3f} s/step", flush=True)
            total = 0.0
        if step % SAVE_EVERY == 0 and step < recipe.steps:
            save(folder.with_name(folder.name + ".partial"), model, processor, recipe)
    save(folder, model, processor, recipe)


def save(
    folder: Path,
    model: Qwen2AudioForConditionalGeneration,
    processor: Qwen2AudioProcessor,
    recipe: Qwen2AudioRecipe,
) -> None:
    """Write the model folder: float16 safetensors, processor and generation files, the recipe."""
    with replacing(folder) as temporary:
        copy.deepcopy(model).half().save_pretrained(temporary)
        processor.save_pretrained(temporary)
        (temporary / "recipe.json").write_text(json.dumps(asdict(recipe), indent=2) + "\n")


if __name__ == "__main__":
    train_qwen2_audio(Path("data/models/demo-qwen2-audio"), Qwen2AudioRecipe())
