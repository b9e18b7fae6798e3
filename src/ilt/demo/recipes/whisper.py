"""Train the base from scratch: a small Whisper on synthetic source-domain speech alone.

The encoder has an auxiliary CTC loss (Watanabe et al. 2017, arXiv 1609.06773), without which attention
takes much longer to align; its head is thrown away. Variety grows from clean to hard.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional
from transformers import (
    GenerationConfig,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperProcessor,
    WhisperTokenizer,
)

from ilt.asr.context import audio_context
from ilt.demo.nonce import nonce_word
from ilt.demo.recipes.augment import augment, mask, noise_like
from ilt.demo.recipes.speech import Example, training_examples
from ilt.demo.recipes.tokenizer import build_tokenizer
from ilt.demo.texts import LANGUAGES, PATTERNS, phrase
from ilt.paths import WORK, replacing
from ilt.training.adam import pack_adam, unpack_adam
from ilt.training.channel import compress

__all__ = ["BaseRecipe", "train_base"]

CHECKPOINT_EVERY = 500
"""Steps."""


@dataclass(frozen=True)
class BaseRecipe:
    """Everything that makes the base what it is."""

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
    """80 mel bins at a hop of 20 ms, so that the encoder gives 25 states a second."""
    rng = random.Random(recipe.seed)
    texts = [phrase(p, lang, rng) for lang in LANGUAGES for p in PATTERNS for _ in range(400)]
    texts += [nonce_word(language, rng) for language in LANGUAGES for _ in range(4000)]
    extractor = WhisperFeatureExtractor(
        feature_size=80, sampling_rate=16_000, hop_length=320, n_fft=400, chunk_length=recipe.seconds
    )
    return WhisperProcessor(extractor, build_tokenizer(texts))


def build_model(recipe: BaseRecipe, tokenizer: WhisperTokenizer) -> WhisperForConditionalGeneration:
    """An untrained Whisper whose ids and generation settings agree with the tokenizer."""
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


def _lr(step: int, recipe: BaseRecipe) -> float:
    warm = recipe.warmup * recipe.steps
    if step < warm:
        return step / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / (recipe.steps - warm)))


def _batches(examples: list[Example], recipe: BaseRecipe, rng: random.Random) -> list[list[int]]:
    """Batches of like length, in random order: one pass over the examples."""
    order = list(range(len(examples)))
    rng.shuffle(order)
    batches = []
    for start in range(0, len(order), recipe.batch * 40):
        part = sorted(order[start : start + recipe.batch * 40], key=lambda i: examples[i].log_mel.shape[1])
        batches += [part[at : at + recipe.batch] for at in range(0, len(part), recipe.batch)]
    rng.shuffle(batches)
    return batches


class _Collator:
    def __init__(self, examples: list[Example], tokenizer: WhisperTokenizer, recipe: BaseRecipe):
        self.examples, self.recipe = examples, recipe
        self.rng = np.random.default_rng(recipe.seed)
        self.end = tokenizer.convert_tokens_to_ids("<|endoftext|>")
        ids = tokenizer.convert_tokens_to_ids
        self.no_speech = ids("<|nospeech|>")
        self.prefix = {
            lang: [
                ids("<|startoftranscript|>"),
                ids(f"<|{lang}|>"),
                ids("<|transcribe|>"),
                ids("<|notimestamps|>"),
            ]
            for lang in LANGUAGES
        }
        self.tokens = [tokenizer(example.text, add_special_tokens=False).input_ids for example in examples]

    def __call__(self, indices: list[int], strength: float) -> dict[str, torch.Tensor]:
        limit = self.recipe.seconds * 50
        mels = []
        silent = {row for row in range(len(indices)) if self.rng.random() < 0.02 * strength}
        for row, index in enumerate(indices):
            mel = torch.from_numpy(self.examples[index].log_mel.astype(np.float32))
            other = self.examples[self.rng.integers(len(self.examples))].log_mel
            if row in silent:
                mel = noise_like(mel, self.rng)
            mel = augment(mel, torch.from_numpy(other.astype(np.float32)), self.rng, strength)
            mels.append(mask(compress(mel[:, :limit]), self.rng, strength))
        longest = max(mel.shape[1] for mel in mels)
        # Sometimes the whole context, so that the model also copes with Whisper's usual padding.
        spare = self.rng.choice([4, 4, 25, limit - longest], p=[0.4, 0.3, 0.2, 0.1])
        width = min(limit, longest + int(spare))
        width += width % 2
        features = torch.stack(
            [functional.pad(mel, (0, width - mel.shape[1]), value=float(mel.max()) - 2.0) for mel in mels]
        )
        tokens = [[] if row in silent else self.tokens[i] for row, i in enumerate(indices)]
        prefixes = [self.prefix[self.examples[index].language] for index in indices]
        size = max(len(t) for t in tokens) + 4
        inputs = torch.full((len(indices), size), self.end)
        labels = torch.full((len(indices), size), -100)
        for row, (prefix, text) in enumerate(zip(prefixes, tokens, strict=True)):
            inputs[row, : 4 + len(text)] = torch.tensor(prefix + text)
            if row in silent:
                labels[row, 0] = self.no_speech
            else:
                labels[row, 0] = prefix[1]  # the language, as in Whisper: detection comes for free
                labels[row, 3 : 4 + len(text)] = torch.tensor([*text, self.end])
        return {
            "features": features,
            "inputs": inputs,
            "labels": labels,
            "ctc_targets": torch.tensor([token for text in tokens for token in text]),
            "ctc_lengths": torch.tensor([len(text) for text in tokens]),
            "frames": torch.tensor([-(-mel.shape[1] // 2) for mel in mels]),
        }


def _fingerprint(recipe: BaseRecipe, examples: list[Example]) -> str:
    """A hash of all that a checkpoint rests on."""
    digest = hashlib.sha256(json.dumps(asdict(recipe)).encode())
    for example in examples:
        digest.update(f"{example.language} {example.text}".encode())
        digest.update(example.log_mel.tobytes())
    return digest.hexdigest()


class _Checkpoint:
    """Where training stands, in one safetensors file; the state of the random generators is its metadata."""

    def __init__(self, path: Path, fingerprint: str) -> None:
        self.path, self.fingerprint = path, fingerprint

    def save(self, step: int, names: list[str], optimiser: Any, generators: dict[str, Any]) -> None:
        state = {"step": step, "fingerprint": self.fingerprint, "generators": generators}
        with replacing(self.path) as temporary:
            save_file(pack_adam(names, optimiser), temporary, {"state": json.dumps(state)})

    def load(self, names: list[str], optimiser: Any) -> tuple[int, dict[str, Any]]:
        """The step reached, 0 where there is none for this recipe and speech, and the generators' states."""
        if not self.path.is_file():
            return 0, {}
        with safe_open(self.path, "pt") as file:
            state = json.loads(file.metadata()["state"])
        if state["fingerprint"] != self.fingerprint:
            return 0, {}
        unpack_adam(load_file(self.path), names, optimiser, state["step"])
        return state["step"], state["generators"]


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
    blank = processor.tokenizer.convert_tokens_to_ids("<|endoftext|>")
    print(f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters", flush=True)
    named = [*model.named_parameters(), *((f"ctc.{name}", p) for name, p in head.named_parameters())]
    names, parameters = map(list, zip(*((name, p) for name, p in named if p.requires_grad), strict=True))
    optimiser = torch.optim.AdamW(
        parameters, lr=recipe.peak_lr, betas=(0.9, 0.98), weight_decay=recipe.weight_decay, fused=True
    )
    collate = _Collator(examples, processor.tokenizer, recipe)
    rng = random.Random(recipe.seed)
    queue: list[list[int]] = []
    checkpoint = _Checkpoint(WORK / "base" / "state.safetensors", _fingerprint(recipe, examples))
    done, states = checkpoint.load(names, optimiser)
    if states:
        version, internal, gauss = states["order"]
        rng.setstate((version, tuple(internal), gauss))
        collate.rng.bit_generator.state = states["augmentation"]
        queue = states["queue"]
        print(f"going on after step {done}", flush=True)
    begun = time.monotonic()
    sums = [0.0, 0.0]
    model.train()
    for step in range(done + 1, recipe.steps + 1):
        if not queue:
            queue = _batches(examples, recipe, rng)
        share = step / recipe.steps
        strength = min(1.0, max(0.0, (share - recipe.clean_until) / (recipe.hard_from - recipe.clean_until)))
        batch = collate(queue.pop(), strength)
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
            blank=blank,
            zero_infinity=True,
        )
        loss = (1 - recipe.ctc_weight) * attention + recipe.ctc_weight * ctc
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        for group in optimiser.param_groups:
            group["lr"] = recipe.peak_lr * _lr(step, recipe)
        optimiser.step()
        sums = [sums[0] + attention.item(), sums[1] + ctc.item()]
        if step % 100 == 0:
            pace = (time.monotonic() - begun) / (step - done)
            print(
                f"step {step} attention {sums[0] / 100:.3f} ctc {sums[1] / 100:.3f} "
                f"strength {strength:.2f} {pace:.3f} s/step",
                flush=True,
            )
            sums = [0.0, 0.0]
        if step % CHECKPOINT_EVERY == 0:
            generators = {
                "order": rng.getstate(),
                "augmentation": collate.rng.bit_generator.state,
                "queue": queue,
            }
            checkpoint.save(step, names, optimiser, generators)
    save_base(folder, model, processor, recipe)


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


if __name__ == "__main__":
    train_base(Path("data/models/demo-whisper"), BaseRecipe())
