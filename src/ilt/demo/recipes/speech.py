"""Training speech of the demo models: the source domain, kept as log-mel spectrograms."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from transformers import WhisperFeatureExtractor

from ilt.demo.espeak import Voice
from ilt.demo.nonce import nonce_word
from ilt.demo.speech import Utterance, render
from ilt.demo.texts import LANGUAGES, lexicon, phrase
from ilt.demo.voices import voices

__all__ = ["Example", "log_mel", "source_utterance", "training_examples"]

SOURCE_PATTERNS = ("digits", "digits", "digits", "number", "number", "time", "nonce", "nonce")
FLITE_VOICES = ("awb", "kal", "rms", "slt")
LITTLE = {"it": 0.4, "pt": 0.4}
"""Languages with less speech, as a share of that of the others."""


@dataclass(slots=True)
class Example:
    """One utterance: `log_mel` is float16 of shape (mel bins, frames), log10 of mel power."""

    text: str
    language: str
    log_mel: np.ndarray


def log_mel(samples: np.ndarray, extractor: WhisperFeatureExtractor) -> np.ndarray:
    """Return log10 mel power of one utterance, (mel bins, frames), before Whisper's range compression."""
    wave = torch.from_numpy(np.ascontiguousarray(samples, dtype=np.float32))
    window = torch.hann_window(extractor.n_fft)
    spectrum = torch.stft(wave, extractor.n_fft, extractor.hop_length, window=window, return_complex=True)
    power = spectrum[..., :-1].abs() ** 2
    filters = torch.from_numpy(np.asarray(extractor.mel_filters, dtype=np.float32))
    return (filters.T @ power).clamp_min(1e-10).log10().numpy().astype(np.float16)


def source_utterance(language: str, names: list[str], rng: random.Random, patterns: tuple[str, ...]) -> Utterance:
    """Return a random utterance of the source domain, spoken by one of the voices `names`."""
    pattern = rng.choice(patterns)
    text = (
        " ".join(nonce_word(language, rng) for _ in range(rng.randint(1, 3)))
        if pattern == "nonce"
        else phrase(pattern, language, rng)
    )
    voice = Voice(
        rng.choice(lexicon(language)["voices"]["source"]),
        rng.choice(names),
        rate=rng.randint(125, 210),
        pitch=rng.randint(25, 75),
        range=rng.randint(30, 70),
    )
    isolated = pattern == "digits" and rng.random() < 0.4
    return Utterance(text, language, voice, rng.getrandbits(31), isolated)


def training_utterances(count: int, seed: int, flite_share: float) -> list[Utterance]:
    """Return random utterances of the source domain. flite_share: of the English ones, spoken by flite."""
    rng = random.Random(seed)
    names = voices("base")
    weights = [LITTLE.get(language, 1.3 if language in ("en", "ar") else 1.0) for language in LANGUAGES]
    result = []
    for language in rng.choices(LANGUAGES, weights, k=count):
        utterance = source_utterance(language, names, rng, SOURCE_PATTERNS)
        if language == "en" and rng.random() < flite_share:
            voice = Voice("en-us", rng.choice(FLITE_VOICES))
            utterance = Utterance(utterance.text, "en", voice, utterance.seed, utterance.isolated, engine="flite")
        result.append(utterance)
    return result


def training_examples(
    count: int, seed: int, extractor: WhisperFeatureExtractor, flite_share: float, processes: int
) -> Iterator[Example]:
    """Yield the spectrograms of `count` spoken source-domain utterances, in a fixed order."""
    utterances = training_utterances(count, seed, flite_share)
    for utterance, samples in zip(utterances, render(utterances, processes), strict=True):
        if len(samples) >= extractor.sampling_rate // 5:
            yield Example(utterance.text, utterance.language, log_mel(samples, extractor))
