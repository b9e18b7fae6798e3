"""Hold the memory estimates of `ilt doctor` against peak memory on a CPU: data/base, random tiny and base.

    python benchmarks/memory.py [MODEL ...]

Writes benchmarks/results/memory.json and the table in docs/models.md. Each case is a process of its
own; its peak is the greatest resident memory after loading, less what was resident before the model was made.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

RESULT = Path("benchmarks/results/memory.json")
PAGE = Path("docs/models.md")
BEGIN, END = "<!-- memory: begin -->\n", "<!-- memory: end -->\n"
BATCH, SECONDS, TOKENS = 8, 10.0, 40
CASES = [
    (model, task)
    for model in ("data/base", "openai/whisper-tiny", "openai/whisper-base")
    for task in ("labelling", "training", "training, SDPA", "training, gradient checkpointing")
]


def _resident(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) * 1024


def measure(model: str, task: str) -> dict[str, int]:
    """Estimated and measured bytes of one case, in this process."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import (
        WhisperConfig,
        WhisperFeatureExtractor,
        WhisperForConditionalGeneration,
        WhisperTokenizer,
    )

    from ilt.asr.decoding import Task, greedy
    from ilt.asr.lineage import base_lineage
    from ilt.asr.recogniser import load_recogniser
    from ilt.doctor.memory import RELEASED, estimate_labelling, estimate_training, shape_of
    from ilt.params import ModelParams, load_params

    torch.set_num_threads(1)
    attention = "sdpa" if "SDPA" in task else "eager"
    train = load_params().focus.model_copy(update={"gradient_checkpointing": "checkpointing" in task})
    base = Path("data/base")
    config = json.loads((base / "config.json").read_text())
    seconds = SECONDS
    with tempfile.TemporaryDirectory() as name:
        folder = base
        if model in RELEASED:
            s = RELEASED[model]
            folder = Path(name)
            shape = WhisperConfig(
                vocab_size=s.vocabulary, num_mel_bins=s.mels, d_model=s.width,
                encoder_layers=s.encoder_layers, decoder_layers=s.decoder_layers,
                encoder_attention_heads=s.heads, decoder_attention_heads=s.heads,
                encoder_ffn_dim=s.feed_forward, decoder_ffn_dim=s.feed_forward,
                bos_token_id=735, eos_token_id=735, pad_token_id=735, decoder_start_token_id=736,
            )  # fmt: skip
            made = WhisperForConditionalGeneration(shape)
            made.generation_config.update(**json.loads((base / "generation_config.json").read_text()))
            made.save_pretrained(folder)
            WhisperTokenizer.from_pretrained(base).save_pretrained(folder)
            WhisperFeatureExtractor(feature_size=s.mels).save_pretrained(folder)
            config = json.loads((folder / "config.json").read_text())
            del made
        else:
            seconds = 5.0
        before = _resident("VmRSS")
        params = ModelParams(
            id=str(folder), files=str(folder), device="cpu", attention=attention, max_chars_per_second=None
        )
        recogniser = load_recogniser(base_lineage(str(folder), None), params)
    Path("/proc/self/clear_refs").write_text("5")  # the peak is measured from here
    rate = recogniser.extractor.sampling_rate / recogniser.extractor.hop_length
    frames = round(seconds * rate)
    bins = recogniser.extractor.feature_size
    features = [torch.randn(bins, frames) for _ in range(BATCH)]
    positions, found = frames // 2 + 2, shape_of(config)
    assert found is not None
    if task == "labelling":
        with torch.inference_mode():
            states = recogniser.model.model.encoder(
                torch.nn.functional.pad(torch.stack(features), (0, 2 * found.encoder_positions - frames))
            ).last_hidden_state
            prefixes = recogniser.vocabulary.prefixes(["en"] * BATCH)
            limits = torch.full((BATCH,), torch.inf)
            greedy(Task(recogniser.model, recogniser.vocabulary, states, prefixes, limits, TOKENS))
        estimate = estimate_labelling(found, BATCH, found.encoder_positions, TOKENS, 4, attention == "eager")
    else:
        lora = LoraConfig(r=train.lora.r, target_modules=train.lora.target_modules)
        peft = get_peft_model(recogniser.model, lora).train()
        if train.gradient_checkpointing:
            recogniser.model.gradient_checkpointing_enable({"use_reentrant": False})
        optimiser = torch.optim.AdamW([p for p in peft.parameters() if p.requires_grad])
        text = "1" * (TOKENS - 5)
        for _ in range(2):
            optimiser.zero_grad()
            recogniser.loss(features, ["en"] * BATCH, [text] * BATCH).backward()
            optimiser.step()
        tokens = recogniser.label_tokens(["en"], [text]) + 4
        estimate = estimate_training(found, train, BATCH, positions, tokens, 4, attention == "eager")
    return {"estimated": estimate.total, "measured": _resident("VmHWM") - before}


def table_of(rows: list[dict[str, Any]]) -> str:
    """The Markdown table: estimated, measured and their ratio."""
    lines = ["| model | task | estimated | measured | estimated / measured |", "|---|---|---|---|---|"]
    for row in rows:
        mega = [f"{row[key] / 2**20:.0f} MiB" for key in ("estimated", "measured")]
        share = row["estimated"] / row["measured"]
        lines.append(f"| {row['model']} | {row['task']} | {mega[0]} | {mega[1]} | {share:.2f} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(measure(sys.argv[2], sys.argv[3])))
        return
    known = json.loads(RESULT.read_text()) if RESULT.is_file() else []
    rows = [row for row in known if sys.argv[1:] and row["model"] not in sys.argv[1:]]
    for model, task in CASES:
        if sys.argv[1:] and model not in sys.argv[1:]:
            continue
        done = subprocess.run(
            [sys.executable, __file__, "--one", model, task], check=True, capture_output=True, text=True
        )
        values = json.loads(done.stdout.splitlines()[-1])
        rows.append({"model": model, "task": task, **values})
        print(rows[-1], file=sys.stderr)
    RESULT.write_text(json.dumps(rows, indent=2) + "\n")
    table = table_of(rows)
    page = PAGE.read_text(encoding="utf-8")
    before, rest = page.split(BEGIN)
    PAGE.write_text(before + BEGIN + table + END + rest.split(END)[1], encoding="utf-8")
    print(table)


if __name__ == "__main__":
    main()
