"""Fixtures: the base, a little real speech, models and parameters made from them."""

from __future__ import annotations

import copy
import functools
import os
from pathlib import Path
from typing import Any

# Before torch is imported, here or in a stage: the models are small, and one thread is enough.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("ILT_DEVICE", "cpu")

import polars as pl
import pytest
import yaml

from ilt.corpus.audio import RATE, audio_hash, encode_flac
from ilt.corpus.table import UTTERANCE_TABLE
from ilt.demo.espeak import Voice
from ilt.demo.speech import Utterance, render
from ilt.demo.texts import lexicon

ROOT = Path(__file__).resolve().parents[1]

LONG = "test_pipeline.py"
"""Takes longest by far: it comes first, so that no worker is left alone with it at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name != LONG)


SPOKEN = (
    ("en", "nine"),
    ("en", "two six zero"),
    ("en", "five one eight four"),
    ("es", "seis cero"),
    ("es", "tres"),
    ("de", "sieben zwei eins"),
)
"""Language and text of the utterances in `spoken_table`: of different lengths."""


@pytest.fixture(scope="session")
def base_folder():
    """The folder of the base; ILT_TEST_BASE overrides where it lies."""
    folder = Path(os.environ.get("ILT_TEST_BASE", ROOT / "data" / "models" / "demo-whisper"))
    if not (folder / "config.json").is_file():
        pytest.skip(f"there is no base in {folder}")
    return folder


@pytest.fixture(scope="session")
def speech():
    """A function from (language, text) pairs to their samples, in a voice that the base was trained on."""

    @functools.cache
    def speak(*texts):
        return tuple(
            render(
                [
                    Utterance(text, language, Voice(lexicon(language)["voices"]["source"][0]), seed=number)
                    for number, (language, text) in enumerate(texts)
                ],
                processes=1,
            )
        )

    return speak


@pytest.fixture(scope="session")
def spoken_table(speech):
    """A small utterance table of real speech: ids u0, u1, ..., all of them gold."""
    rows = [
        {
            "id": f"u{number}",
            "language": language,
            "speaker": language,
            "split": "gold",
            "duration": len(samples) / RATE,
            "audio": {"path": None, "bytes": encode_flac(samples)},
            "text": text,
            "audio_hash": audio_hash(samples),
        }
        for number, ((language, text), samples) in enumerate(zip(SPOKEN, speech(*SPOKEN), strict=True))
    ]
    return pl.DataFrame(rows, schema=UTTERANCE_TABLE.schema)


@pytest.fixture(scope="session")
def load_model(base_folder):
    """A function that loads a fresh recogniser on the CPU: the base, or a given lineage over it."""
    from ilt.asr.families import load_recogniser
    from ilt.asr.lineage import base_lineage
    from ilt.params import RecogniserParams

    def load(audio_context="full", lineage=None):
        model = RecogniserParams(id=str(base_folder), audio_context=audio_context)
        return load_recogniser(lineage or base_lineage(model.id, model.revision), model)

    return load


@pytest.fixture(scope="session")
def write_params():
    """A function that writes params.yaml of the repository to a folder, with changes by dotted name."""

    def write(folder: Path, changes: dict[str, Any]) -> Path:
        values = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
        for name, value in changes.items():
            *sections, key = name.split(".")
            section = values
            for part in sections:
                section = section.setdefault(part, {})
            section[key] = copy.deepcopy(value)
        path = folder / "params.yaml"
        path.write_text(yaml.safe_dump(values, allow_unicode=True), encoding="utf-8")
        return path

    return write
