"""Batches for the training of the demo base: of like length, with variety that grows from clean to hard."""

from __future__ import annotations

import random

import numpy as np
import torch
from torch.nn import functional
from transformers import WhisperTokenizer

from ilt.demo.recipes.augment import augment, mask, noise_like
from ilt.demo.recipes.speech import Example
from ilt.demo.recipes.whisper_model import BaseRecipe
from ilt.demo.texts import LANGUAGES
from ilt.training.channel import compress

__all__ = ["Collator", "shuffled_batches"]


def shuffled_batches(examples: list[Example], recipe: BaseRecipe, rng: random.Random) -> list[list[int]]:
    """Return one pass over the examples: indices in batches of like length, the batches in random order."""
    order = list(range(len(examples)))
    rng.shuffle(order)
    batches = []
    for start in range(0, len(order), recipe.batch * 40):
        part = sorted(order[start : start + recipe.batch * 40], key=lambda i: examples[i].log_mel.shape[1])
        batches += [part[at : at + recipe.batch] for at in range(0, len(part), recipe.batch)]
    rng.shuffle(batches)
    return batches


class Collator:
    """Makes features, decoder inputs and labels of a batch. A few utterances are replaced by noise without words."""

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
