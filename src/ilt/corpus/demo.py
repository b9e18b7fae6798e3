"""The demo corpus: synthetic speech in ten languages, in a source and a target domain.

Both domains come from the same generator with other parameters (`corpus.demo` in params.yaml): the
target says words, in voices, accents and over a channel that the base has not heard.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import polars as pl

from ilt.corpus.audio import RATE, audio_hash, encode_flac
from ilt.corpus.channel import mix, telephone
from ilt.corpus.espeak import Voice
from ilt.corpus.speech import Utterance, render
from ilt.corpus.table import SPLITS
from ilt.corpus.texts import LANGUAGES, lexicon, phrase
from ilt.corpus.voices import voices
from ilt.errors import IltError
from ilt.params import DemoParams, DomainParams

__all__ = ["demo_corpus"]


def _utterance(language: str, names: list[str], domain: DomainParams, rng: random.Random) -> Utterance:
    voice = Voice(
        rng.choice(lexicon(language)["voices"][domain.accents]),
        rng.choice(names),
        rate=rng.randint(130, 200),
        pitch=rng.randint(25, 75),
        range=rng.randint(30, 70),
    )
    pattern = rng.choice(domain.patterns)
    return Utterance(phrase(pattern, language, rng), language, voice, rng.getrandbits(31))


def _recorded(samples: np.ndarray, babble: np.ndarray, domain: DomainParams, seed: int) -> np.ndarray:
    """What is recorded of an utterance: with somebody else and noise under it, over the line."""
    rng = np.random.default_rng(seed)
    if domain.babble_snr:
        samples = mix(samples, babble, rng.uniform(*domain.babble_snr))
    if domain.noise_snr:
        noise = rng.standard_normal(len(samples)).astype(np.float32)
        samples = mix(samples, noise, rng.uniform(*domain.noise_snr))
    if rng.random() < domain.telephone:
        samples = telephone(samples)
    return samples


def _with_background(samples: Iterator[np.ndarray]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Each utterance with the one before it in the same list, as what is heard behind it."""
    before: np.ndarray | None = None
    for now in samples:
        yield now, now[::-1] if before is None else before
        before = now


def demo_corpus(params: DemoParams, seed: int, max_duration: float) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The utterance rows and the pool reference rows.

    max_duration: seconds; phrases that come out longer are spoken of no more (they are left out).
    Raises IltError for a language that the generator does not have.
    """
    unknown = sorted(set(params.languages) - set(LANGUAGES))
    if unknown:
        raise IltError(
            f"corpus.demo.languages: {', '.join(unknown)}: the demo speaks only {', '.join(LANGUAGES)}"
        )
    plan: list[tuple[str, str, DomainParams, Utterance]] = []
    for split in SPLITS:
        domain = params.source if split == "retention" else params.target
        for language in sorted(params.languages):
            rng = random.Random(f"{seed} {split} {language}")
            for number in range(getattr(params, split)):
                utterance = _utterance(language, voices(split), domain, rng)
                plan.append((f"{language}-{split}-{number:04d}", split, domain, utterance))
    rows, references, heard = [], [], set()
    spoken = _with_background(render([utterance for *_, utterance in plan]))
    for (key, split, domain, utterance), (samples, behind) in zip(plan, spoken, strict=True):
        samples = _recorded(samples, behind, domain, utterance.seed)
        digest = audio_hash(samples)
        if len(samples) > max_duration * RATE or digest in heard:
            continue
        heard.add(digest)
        if split == "pool":
            references.append({"id": key, "text": utterance.text})
        rows.append(
            {
                "id": key,
                "language": utterance.language,
                "speaker": f"{utterance.language}-{utterance.voice.variant}",
                "split": split,
                "duration": len(samples) / RATE,
                "audio": {"path": None, "bytes": encode_flac(samples)},
                "text": None if split == "pool" else utterance.text,
                "audio_hash": digest,
            }
        )
    return pl.DataFrame(rows), pl.DataFrame(references)
