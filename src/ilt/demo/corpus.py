"""The demo corpus: synthetic speech in ten languages, in a source and a target domain.

Both domains come from the same generator with other parameters (`corpus.demo` in params.yaml): the
target has words, voices, accents and a channel that the base was not trained on.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl

from ilt.corpus.audio import RATE, audio_hash, encode_flac
from ilt.corpus.table import SPLITS
from ilt.demo.channel import mix, telephone
from ilt.demo.espeak import Voice
from ilt.demo.speech import Utterance, render
from ilt.demo.texts import LANGUAGES, lexicon, phrase
from ilt.demo.voices import voices
from ilt.errors import IltError
from ilt.params import DemoParams, DomainParams

__all__ = ["demo_corpus"]

TRIES = 100
"""Draws of a phrase for `replay` until one is none of `retention`; then that utterance is skipped."""

STRAYS = {"crosstalk": {"babble_snr": (-3.0, 3.0)}, "drowned": {"noise_snr": (-6.0, 0.0)}}
"""Changes to the domain of a stray; the third kind, `language`, is spoken in another language."""

_Planned = tuple[str, str, DomainParams, Utterance]
"""Id, split, domain, and what is spoken."""


def _utterance(language: str, names: list[str], domain: DomainParams, rng: random.Random) -> Utterance:
    """Return a random utterance of a domain, spoken by one of the voice variants `names`."""
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
    """Return the recording of an utterance: with somebody else and noise under it, over the line."""
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
    """Yield each utterance with the one before it, which is the voice in its background; the first has itself."""
    before: np.ndarray | None = None
    for now in samples:
        yield now, now[::-1] if before is None else before
        before = now


def _planned(params: DemoParams, split: str, languages: Sequence[str], seed: int) -> Iterator[_Planned]:
    """Yield the utterances of a split, those of each language by themselves."""
    source = split in ("retention", "replay")
    # Replay is speech like that of the base's training: its own voices, not those that it is scored on.
    names = voices("base" if split == "replay" else split)
    for language in languages:
        rng = random.Random(f"{seed} {split} {language}")
        scored = set(_texts(params, seed, language)) if split == "replay" else set()
        for number in range(getattr(params, split)):
            domain = params.source if source else params.target
            utterance = _utterance(language, names, domain, rng)
            for _ in range(TRIES):
                if utterance.text not in scored:
                    break
                utterance = _utterance(language, names, domain, rng)
            else:
                continue
            yield f"{language}-{split}-{number:04d}", split, domain, utterance


def _strays(
    params: DemoParams, plan: Sequence[_Planned], waves: Sequence[Sequence[str]], seed: int
) -> tuple[dict[str, DomainParams], dict[str, Utterance]]:
    """Return utterances of the pool that are of no use, by id: their domains, or other utterances in their place.

    waves: languages that begin together; a stray speaks another one of its wave. Decided for each utterance
    by itself, so that all others stay as they are.
    """
    domains: dict[str, DomainParams] = {}
    instead: dict[str, Utterance] = {}
    names = voices("pool")
    for key, split, domain, utterance in plan:
        rng = random.Random(f"{seed} stray {key}")
        if split != "pool" or rng.random() >= params.strays:
            continue
        wave = next(wave for wave in waves if utterance.language in wave)
        others = sorted(set(wave) & set(params.languages) - {utterance.language})
        kind = rng.choice([*STRAYS, *(["language"] if others else [])])
        if kind == "language":
            instead[key] = _utterance(rng.choice(others), names, domain, rng)
        else:
            domains[key] = domain.model_copy(update=STRAYS[kind])
    return domains, instead


def _texts(params: DemoParams, seed: int, language: str) -> list[str]:
    """Return the texts of the retention split of a language."""
    return [utterance.text for *_, utterance in _planned(params, "retention", [language], seed)]


def demo_corpus(
    params: DemoParams, seed: int, max_duration: float, later: Sequence[Sequence[str]] = ()
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the utterance rows and the pool reference rows.

    max_duration: seconds; phrases that come out longer are skipped.
    later: languages that take part only later, in groups; they change nothing of the speech before them.
    Raises IltError for a language that the generator does not have.
    """
    unknown = sorted(set(params.languages) - set(LANGUAGES))
    if unknown:
        raise IltError(f"corpus.demo.languages: {', '.join(unknown)}: the demo speaks only {', '.join(LANGUAGES)}")
    begun = [code for wave in later for code in wave]
    waves = [[code for code in params.languages if code not in begun], *later]
    plan = [
        planned
        for wave in waves
        for split in SPLITS
        for planned in _planned(params, split, sorted(set(wave) & set(params.languages)), seed)
    ]
    rows, references, digests = [], [], set()
    spoken = _with_background(render([utterance for *_, utterance in plan]))
    domains, instead = _strays(params, plan, waves, seed)
    # By itself, since earlier speech colours what eSpeak speaks next.
    spoken_instead = dict(zip(instead, render(list(instead.values())), strict=True))
    for (key, split, domain, utterance), (samples, behind) in zip(plan, spoken, strict=True):
        samples = spoken_instead.get(key, samples)
        samples = _recorded(samples, behind, domains.get(key, domain), utterance.seed)
        digest = audio_hash(samples)
        if len(samples) > max_duration * RATE or digest in digests:
            continue
        digests.add(digest)
        if split == "pool":
            references.append({"id": key, "text": instead.get(key, utterance).text})
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
