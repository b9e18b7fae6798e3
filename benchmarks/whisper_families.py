"""Small Whispers that understand the demo corpus, in the forms that the released checkpoints have.

All are made from data/models/demo-whisper: with 128 mel bins its first layer is composed with a linear map from 128 to
80 bins; English-only it is trained for a minute to do without language and task.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import torch
from safetensors.torch import load_file, save_file
from transformers import WhisperFeatureExtractor

from ilt.asr.families import load_recogniser
from ilt.asr.features import FeatureStore
from ilt.asr.lineage import base_lineage
from ilt.demo.corpus import demo_corpus
from ilt.params import RecogniserParams, load_params

__all__ = ["english_only", "mel_80", "mel_128"]

BASE = Path("data/models/demo-whisper")
WEIGHTS = "model.safetensors"


def _speech(languages: list[str], each: int) -> pl.DataFrame:
    """Speech of the domain that the base knows, in which nothing of the demo corpus is said."""
    demo = load_params().corpus.demo
    counts = {"gold": 1, "pool": 1, "dev": 1, "test": 1, "retention": each, "languages": languages}
    rows, _ = demo_corpus(demo.model_copy(update=counts), seed=77, max_duration=6.0)
    return rows.filter(pl.col("split") == "retention")


def _change_json(path: Path, **values: object) -> None:
    kept = json.loads(path.read_text()) | values
    kept = {key: value for key, value in kept.items() if value is not ...}
    path.write_text(json.dumps(kept, indent=2, sort_keys=True) + "\n")


def mel_80(folder: Path) -> None:
    """The base as it is: 80 mel bins, multilingual."""
    shutil.copytree(BASE, folder)


def mel_128(folder: Path) -> None:
    """The base with 128 mel bins, as large-v3 has them."""
    shutil.copytree(BASE, folder)
    narrow = WhisperFeatureExtractor.from_pretrained(BASE)
    wide = WhisperFeatureExtractor(**(narrow.to_dict() | {"feature_size": 128, "mel_filters": None}))
    rows = _speech(["en", "es", "ko"], 12)
    stores = [FeatureStore(rows, extractor, 0) for extractor in (narrow, wide)]
    heard = [np.concatenate([store[key].numpy().T for key in rows["id"]]) for store in stores]
    mapping, *_ = np.linalg.lstsq(heard[1], heard[0], rcond=1e-3)  # (128, 80)
    weights = load_file(folder / WEIGHTS)
    name = "model.encoder.conv1.weight"
    composed = torch.einsum("omk,nm->onk", weights[name].float(), torch.from_numpy(mapping))
    weights[name] = composed.to(weights[name].dtype).contiguous()
    save_file(weights, folder / WEIGHTS, {"format": "pt"})
    _change_json(folder / "config.json", num_mel_bins=128)
    (folder / "processor_config.json").unlink()
    wide.save_pretrained(folder)


def english_only(folder: Path, steps: int = 240) -> None:
    """The base without languages and tasks, as `*.en` checkpoints are."""
    shutil.copytree(BASE, folder)
    settings = {"is_multilingual": False, "lang_to_id": ..., "task_to_id": ...}
    stamps = json.loads((folder / "generation_config.json").read_text())["no_timestamps_token_id"]
    _change_json(folder / "generation_config.json", **settings, forced_decoder_ids=[[1, stamps]])
    recogniser = load_recogniser(base_lineage(str(folder), None), RecogniserParams(id=str(folder)))
    rows = _speech(["en"], 240)
    store = FeatureStore(rows, recogniser.extractor, 0)
    said = sorted(rows.select("id", "text").iter_rows(), key=lambda row: store.frames[row[0]])
    batches = [said[at : at + 16] for at in range(0, len(said), 16)]
    model = recogniser.model.train()
    trained = [p for name, p in model.named_parameters() if "decoder" in name]
    optimiser = torch.optim.AdamW(trained, lr=4e-4)
    rng = np.random.default_rng(5)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = 4e-4 * (1 - step / steps)
        batch = batches[int(rng.integers(len(batches)))]
        features = [store[key] for key, _ in batch]
        loss = recogniser.loss(features, ["en"] * len(batch), [text for _, text in batch])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    print(f"  English-only: loss {loss.item():.3f} after {steps} steps")
    kept = load_file(folder / WEIGHTS)
    now = model.state_dict()
    save_file(
        {name: now[name].to(tensor.dtype).contiguous() for name, tensor in kept.items()},
        folder / WEIGHTS,
        {"format": "pt"},
    )
