"""Small Whispers with random weights and the files of the released checkpoints: for tests and benchmarks.

`CHECKPOINTS` holds the differences of the released ones (their config.json, generation_config.json and added tokens).
The vocabulary is a small byte-level BPE; with ILT_WHISPER_ASSETS set to the folder `whisper/assets` of the
package openai-whisper it is the real one.
"""

from __future__ import annotations

import base64
import functools
import itertools
import json
import os
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import AddedToken, ByteLevelBPETokenizer
from transformers import (
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperTokenizer,
)
from transformers.convert_slow_tokenizer import bytes_to_unicode
from transformers.models.whisper.tokenization_whisper import LANGUAGES

CONTEXT = 64
"""Decoder positions, 448 in the released ones: random weights seldom choose the end token."""

SPOKEN = (
    'one two three four five six seven eight nine ten, two six zero five one eight four (nine) "three"',
    "eins zwei drei vier sieben zwei eins acht neun zehn, uno dos tres cuatro seis cero siete",
)


@dataclass(frozen=True)
class Checkpoint:
    """What distinguishes one released checkpoint's files; layers are those of encoder and decoder here."""

    mels: int = 80
    languages: int = 99
    silent: str = "<|nocaptions|>"
    english: bool = False
    layers: tuple[int, int] = (2, 2)
    tables: bool = True
    dtype: str = "float32"


CHECKPOINTS = {
    "tiny to large-v2": Checkpoint(),
    "large-v3": Checkpoint(mels=128, languages=100, silent="<|nospeech|>", dtype="float16"),
    "large-v3-turbo": Checkpoint(mels=128, languages=100, silent="<|nospeech|>", layers=(3, 1), dtype="float16"),
    "distil-large-v3": Checkpoint(mels=128, languages=100, silent="<|nospeech|>", layers=(3, 2), dtype="float16"),
    "tiny.en to medium.en": Checkpoint(english=True),
    "without generation_config.json": Checkpoint(tables=False),
}


@functools.cache
def _vocabulary(english: bool) -> tuple[dict[str, int], tuple[tuple[str, str], ...]]:
    """Tokens and merges. The English-only vocabulary (GPT-2's) has one token less, as it really is."""
    if folder := os.environ.get("ILT_WHISPER_ASSETS"):
        letters = bytes_to_unicode()
        name = "gpt2.tiktoken" if english else "multilingual.tiktoken"
        lines = (Path(folder) / name).read_text().splitlines()
        ranks = {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in lines if line)}
        merges = []
        for token, rank in ranks.items():
            parts = [bytes([byte]) for byte in token]
            while len(parts) > 2:
                joined = [ranks.get(a + b, rank) for a, b in itertools.pairwise(parts)]
                at = joined.index(min(joined))
                parts[at : at + 2] = [parts[at] + parts[at + 1]]
            if len(parts) == 2:
                merges.append(tuple("".join(letters[byte] for byte in part) for part in parts))
        tokens = {"".join(letters[byte] for byte in token): rank for token, rank in ranks.items()}
        # The multilingual file leaves a rank out, which the released tokenizers fill with an empty token.
        size = 50256 if english else 50257
        tokens |= zip([""], set(range(size)) - set(tokens.values()), strict=False)
        return tokens, tuple(merges)
    model = ByteLevelBPETokenizer()
    model.train_from_iterator(SPOKEN, vocab_size=330, min_frequency=1, show_progress=False)
    held = json.loads(model._tokenizer.to_str())["model"]
    tokens, merges = held["vocab"], [tuple(pair) for pair in held["merges"]]
    if english:
        last = max(tokens, key=lambda token: tokens[token])
        tokens = {token: index for token, index in tokens.items() if token != last}
        merges = merges[:-1]
    return tokens, tuple(merges)


def tokenizer_of(checkpoint: Checkpoint) -> WhisperTokenizer:
    """The tokenizer of a checkpoint; English-only ones have the language tokens too, and never use them."""
    tokens, merges = _vocabulary(checkpoint.english)
    codes = list(LANGUAGES)[: checkpoint.languages]
    names = [f"<|{code}|>" for code in codes]
    names = ["<|endoftext|>", "<|startoftranscript|>", *names, "<|translate|>", "<|transcribe|>"]
    names += ["<|startoflm|>", "<|startofprev|>", checkpoint.silent, "<|notimestamps|>"]
    tokenizer = WhisperTokenizer(vocab=dict(tokens), merges=list(merges))
    tokenizer.add_special_tokens({"additional_special_tokens": names[1:]})
    tokenizer.add_tokens([AddedToken(f"<|{n * 0.02:.2f}|>", normalized=False) for n in range(1501)])
    return tokenizer


def build(folder: Path, checkpoint: Checkpoint, width: int = 64, seed: int = 0) -> Path:
    """Write a checkpoint as it lies on the hub, with random weights."""
    tokenizer = tokenizer_of(checkpoint)
    ids = tokenizer.get_vocab()
    end, start, no_stamps = (ids[f"<|{name}|>"] for name in ("endoftext", "startoftranscript", "notimestamps"))
    forced = [[1, no_stamps]] if checkpoint.english else [[1, None], [2, ids["<|transcribe|>"]]]
    silent = ids[checkpoint.silent]
    symbols = [ids[token] for token in ('"', "(", ")", "#") if token in ids]
    torch.manual_seed(seed)
    config = WhisperConfig(
        vocab_size=max(ids.values()) + 1, num_mel_bins=checkpoint.mels, d_model=width,
        encoder_layers=checkpoint.layers[0], decoder_layers=checkpoint.layers[1],
        encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=2 * width,
        decoder_ffn_dim=2 * width, max_target_positions=CONTEXT, init_std=0.2,
        decoder_start_token_id=start, bos_token_id=end, eos_token_id=end,
        pad_token_id=end - 1 if checkpoint.mels == 128 else end,  # large-v3's own oddity
    )  # fmt: skip
    model = WhisperForConditionalGeneration(config).to(getattr(torch, checkpoint.dtype))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    WhisperFeatureExtractor(feature_size=checkpoint.mels).save_pretrained(folder)
    settings = {
        "alignment_heads": [[1, 0]],
        "begin_suppress_tokens": [ids["Ġ"], end],
        "bos_token_id": end,
        "decoder_start_token_id": start,
        "eos_token_id": end,
        "forced_decoder_ids": forced,
        "is_multilingual": not checkpoint.english,
        "max_initial_timestamp_index": 50,
        "max_length": CONTEXT,
        "no_timestamps_token_id": no_stamps,
        "pad_token_id": end,
        "prev_sot_token_id": ids["<|startofprev|>"],
        "return_timestamps": False,
        "suppress_tokens": [*symbols, *range(ids["<|translate|>"], silent + 1)],
        "transformers_version": "4.31.0.dev0",
    }
    if not checkpoint.english:
        codes = list(LANGUAGES)[: checkpoint.languages]
        settings["lang_to_id"] = {f"<|{code}|>": ids[f"<|{code}|>"] for code in codes}
        settings["task_to_id"] = {name: ids[f"<|{name}|>"] for name in ("transcribe", "translate")}
    if checkpoint.tables:
        (folder / "generation_config.json").write_text(json.dumps(settings, indent=2))
    else:
        (folder / "generation_config.json").unlink()
        values = json.loads((folder / "config.json").read_text())
        older = {key: settings[key] for key in ("forced_decoder_ids", "suppress_tokens", "max_length")}
        (folder / "config.json").write_text(json.dumps(values | older, indent=2))
    return folder
