"""Hold the memory estimates of `ilt doctor` against peak memory on a CPU: data/models/demo-whisper, random models.

    python benchmarks/memory.py [MODEL ...]

Writes benchmarks/results/memory.json; docs/build/tables.py puts the table into docs/models.md. Each case is
a process of its own; its peak is the greatest resident memory after loading, less what was resident before the model
was made.
It is measured twice: as torch and glibc are, and with glibc told to give back what is freed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from ilt.paths import write_json

RESULT = Path(__file__).resolve().parent / "results" / "memory.json"
PAGE = Path(__file__).resolve().parents[1] / "docs" / "models.md"
BATCH, SECONDS, TOKENS = 8, 10.0, 40
QWEN2_AUDIO = {
    "random Qwen2-Audio, 4.5 M": {},
    "random Qwen2-Audio, 54 M": {
        "vocabulary": 32000,
        "width": 512,
        "layers": 6,
        "heads": (8, 2),
        "wide": 1376,
    },
}
CASES = [
    (model, task)
    for model in ("data/models/demo-whisper", "openai/whisper-tiny", "openai/whisper-base", *QWEN2_AUDIO)
    for task in (
        "labelling", "training", "training, SDPA", "training, gradient checkpointing",
        *(["training, encoder: false"] if model in QWEN2_AUDIO else []),
    )
]  # fmt: skip


def _resident(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) * 1024


def random_whisper(folder: Path, values: dict[str, Any]) -> None:
    """Write a Whisper of this config with random weights, and the tokenizer of data/models/demo-whisper."""
    from transformers import (
        WhisperConfig,
        WhisperFeatureExtractor,
        WhisperForConditionalGeneration,
        WhisperTokenizer,
    )

    base = Path("data/models/demo-whisper")
    tokens = {"bos_token_id": 735, "eos_token_id": 735, "pad_token_id": 735, "decoder_start_token_id": 736}
    made = WhisperForConditionalGeneration(WhisperConfig(**values | tokens))
    made.generation_config.update(**json.loads((base / "generation_config.json").read_text()))
    made.save_pretrained(folder)
    WhisperTokenizer.from_pretrained(base).save_pretrained(folder)
    WhisperFeatureExtractor(feature_size=values["num_mel_bins"]).save_pretrained(folder)


def random_qwen2_audio(folder: Path, changes: dict[str, Any]) -> None:
    """Write a Qwen2-Audio with the files of `ilt.demo.recipes.qwen2_audio`; with changes, larger and with 30 s."""
    from transformers import GenerationConfig, Qwen2AudioForConditionalGeneration, WhisperFeatureExtractor

    from ilt.demo.recipes.qwen2_audio import Qwen2AudioRecipe, build_model, build_processor

    recipe = Qwen2AudioRecipe()
    processor = build_processor(recipe)
    made = build_model(recipe, processor)
    if changes:
        config, (heads, key_heads) = made.config, changes["heads"]
        config.text_config.update({
            "vocab_size": changes["vocabulary"], "hidden_size": changes["width"],
            "intermediate_size": changes["wide"], "num_hidden_layers": changes["layers"],
            "num_attention_heads": heads, "num_key_value_heads": key_heads, "max_position_embeddings": 2048,
            "layer_types": ["full_attention"] * changes["layers"],
        })  # fmt: skip
        config.audio_config.update({
            "d_model": changes["width"] // 2, "encoder_layers": changes["layers"], "num_mel_bins": 128,
            "encoder_ffn_dim": 2 * changes["width"], "max_source_positions": 1500,
        })  # fmt: skip
        settings: GenerationConfig = made.generation_config
        made = Qwen2AudioForConditionalGeneration(config)
        made.generation_config = settings
        processor.feature_extractor = WhisperFeatureExtractor(feature_size=128)
    made.save_pretrained(folder)
    processor.save_pretrained(folder)


def measure(model: str, task: str) -> dict[str, int]:
    """Estimated and measured bytes of one case, in this process."""
    import torch
    from peft import LoraConfig, get_peft_model

    from ilt.asr.families import load_recogniser
    from ilt.asr.lineage import base_lineage
    from ilt.params import RecogniserParams, load_params, training
    from ilt.tools.doctor.memory import Batch, estimate_labelling, estimate_training
    from ilt.tools.doctor.shape import RELEASED, shape_of

    torch.set_num_threads(1)
    labelling, eager = task == "labelling", "SDPA" not in task
    train = training(load_params(), "it1", "focus")
    lora = train.lora.model_copy(update={"encoder": "encoder: false" not in task})
    train = train.model_copy(update={"gradient_checkpointing": "checkpointing" in task, "lora": lora})
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if model in RELEASED:
            random_whisper(folder, RELEASED[model])
        elif model in QWEN2_AUDIO:
            random_qwen2_audio(folder, QWEN2_AUDIO[model])
        else:
            folder = Path(model)
        shape = shape_of(json.loads((folder / "config.json").read_text()), model)
        assert shape is not None
        before = _resident("VmRSS")
        params = RecogniserParams(
            id=str(folder), attention="eager" if eager else "sdpa", max_chars_per_second=None,
            audio_context="full" if labelling else "batch",
        )  # fmt: skip
        recogniser: Any = load_recogniser(base_lineage(str(folder), None), params)
    Path("/proc/self/clear_refs").write_text("5")  # the peak is measured from here
    seconds = SECONDS if shape.positions == 1500 else shape.positions / 30
    frames = round(seconds * recogniser.extractor.sampling_rate / recogniser.extractor.hop_length)
    features = [torch.randn(shape.mels, frames) for _ in range(BATCH)]
    positions, prompt = (shape.positions if labelling else frames // 2 + 2), 0
    if shape.prompted:
        prompt = len(recogniser.vocabulary.prefixes(["en"], [frames // 4])[0])
    if labelling:
        type(recogniser).max_tokens = TOKENS  # random weights hardly ever say the end token
        recogniser.transcribe(features, ["en"] * BATCH)
        estimate = estimate_labelling(shape, Batch(BATCH, positions, TOKENS, prompt), 4, eager)
    else:
        names = {name for name, part in recogniser.model.named_modules() if isinstance(part, torch.nn.Linear)}
        if not lora.encoder:
            names = {name for name in names if not name.startswith(recogniser.encoder_prefix)}
        targets = [name for name in names if name.rpartition(".")[2] in lora.target_modules]
        peft = get_peft_model(recogniser.model, LoraConfig(r=lora.r, target_modules=targets)).train()
        if train.gradient_checkpointing:
            recogniser.model.gradient_checkpointing_enable({"use_reentrant": False})
        optimiser = torch.optim.AdamW([p for p in peft.parameters() if p.requires_grad])
        text = "1" * (TOKENS - 5)
        for _ in range(2):
            optimiser.zero_grad()
            recogniser.loss(features, ["en"] * BATCH, [text] * BATCH).backward()
            optimiser.step()
        tokens = recogniser.label_tokens(["en"], [text]) + (0 if shape.prompted else 4)
        estimate = estimate_training(shape, train, Batch(BATCH, positions, tokens, prompt), 4, eager)
    return {"estimated": estimate.total, "measured": _resident("VmHWM") - before}


def table_of(rows: list[dict[str, Any]]) -> list[str]:
    """The Markdown table: estimated, measured and their ratio; measured with memory given back at once."""
    lines = [
        "| model | task | estimated | measured | estimated / measured | measured, freed memory given back |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        mega = [f"{row[key] / 2**20:.0f} MiB" for key in ("estimated", "measured", "given_back")]
        share = row["estimated"] / row["measured"]
        lines.append(f"| {row['model']} | {row['task']} | {mega[0]} | {mega[1]} | {share:.2f} | {mega[2]} |")
    return lines


def tables() -> dict[str, list[str]]:
    """Return the table of `PAGE` by the name of its mark."""
    return {"memory": table_of(json.loads(RESULT.read_text(encoding="utf-8")))}


def run(model: str, task: str) -> dict[str, Any]:
    """Measure one case in processes of its own."""
    row: dict[str, Any] = {"model": model, "task": task}
    command = [sys.executable, __file__, "--one", model, task]
    for field, settings in (("measured", {}), ("given_back", {"MALLOC_MMAP_THRESHOLD_": "262144"})):
        done = subprocess.run(
            command, check=True, capture_output=True, text=True, env=os.environ | settings | {"ILT_DEVICE": "cpu"}
        )
        values = json.loads(done.stdout.splitlines()[-1])
        row |= {"estimated": values["estimated"], field: values["measured"]}
    print(row, file=sys.stderr)
    return row


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(measure(sys.argv[2], sys.argv[3])))
        return
    known = json.loads(RESULT.read_text()) if RESULT.is_file() else []
    rows = {(row["model"], row["task"]): row for row in known}
    for model, task in CASES:
        if not sys.argv[1:] or model in sys.argv[1:]:
            rows[model, task] = run(model, task)
    measured = [rows[case] for case in CASES if case in rows]
    write_json(RESULT, measured, sort_keys=False)
    print("\n".join(table_of(measured)))


if __name__ == "__main__":
    main()
