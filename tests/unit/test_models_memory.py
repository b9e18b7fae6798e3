"""What a GPU needs, shown on a CPU: bfloat16, SDPA, checkpointing, workers, and memory that runs out."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import WhisperForConditionalGeneration

from ilt.asr.batching import Batching, MemoryLimit, cut_batches
from ilt.asr.families import load_recogniser
from ilt.asr.features import FeatureStore
from ilt.asr.lineage import base_lineage
from ilt.asr.transcribe import Decoding, transcribe_table
from ilt.errors import IltError
from ilt.params import LoraParams, RecogniserParams, SpecAugmentParams, TrainParams
from ilt.training.batches import Composition, plan_batches
from ilt.training.data import Example, TrainingData
from ilt.training.jobs import TrainJob
from ilt.training.schedule import total_steps
from ilt.training.trainer import Trainer

TRAIN = TrainParams(
    seed=5,
    lora=LoraParams(r=4, dropout=0.0, target_modules=["q_proj", "v_proj", "fc1"]),
    learning_rate=1e-3, steps=3, batch_size=6, gradient_accumulation=2, evaluations=1,
    spec_augment=SpecAugmentParams(channel=0.5),
)  # fmt: skip


@pytest.fixture(scope="module")
def load(base_folder):
    """A function that loads the base on the CPU with other parameters of the model."""

    def loaded(**changes):
        folder = str(base_folder)
        params = RecogniserParams(id=folder, **changes)
        return load_recogniser(base_lineage(folder, None), params)

    return loaded


class Small(WhisperForConditionalGeneration):
    """A Whisper on a machine whose memory holds `frames` mel frames with their padding."""

    frames = 0

    def forward(self, input_features=None, encoder_outputs=None, **rest):
        heard = input_features if input_features is not None else encoder_outputs.last_hidden_state
        per_frame = 1 if input_features is not None else 2
        size = len(heard) * heard.shape[-1 if input_features is not None else 1] * per_frame
        if size > self.frames:
            raise torch.OutOfMemoryError(f"CUDA out of memory: {size} frames")
        return super().forward(input_features=input_features, encoder_outputs=encoder_outputs, **rest)


def _shrink(recogniser, frames):
    recogniser.model.__class__ = type("Smaller", (Small,), {"frames": frames})
    return recogniser


@pytest.fixture(scope="module")
def train(spoken_table):
    examples = [Example(*row) for row in spoken_table.select("id", "language", "text").iter_rows()]

    def run(recogniser, folder, params=TRAIN, workers=0):
        store = FeatureStore(spoken_table, recogniser.extractor, limit_mb=0)
        evaluations = iter((10, 5, 4, 3))

        def evaluate(_):
            return np.array([next(evaluations)]), np.array([10])

        work = folder.with_name(f"{folder.name}.work")
        job = TrainJob(lambda: recogniser, TrainingData(examples), params, folder, work)
        result = Trainer(store, lambda *_: evaluate, workers=workers).train(job)
        return result, load_file(folder / "adapter_model.safetensors")

    return run


@pytest.fixture(scope="module")
def plain(train, load, tmp_path_factory):
    return train(load(), tmp_path_factory.mktemp("plain") / "adapter")


def _close(one, other, tolerance):
    assert one.keys() == other.keys()
    scale = max(float(tensor.abs().max()) for tensor in one.values())
    return max(float((one[key] - other[key]).abs().max()) for key in one) < tolerance * scale


def test_workers_and_checkpointing_change_nothing(train, load, plain, tmp_path):
    result, tensors = train(load(), tmp_path / "workers", workers=2)
    assert result == plain[0]
    assert all(torch.equal(tensors[key], plain[1][key]) for key in tensors)
    saving = TRAIN.model_copy(update={"gradient_checkpointing": True})
    recogniser = load()
    _, tensors = train(recogniser, tmp_path / "checkpointing", saving)
    assert recogniser.model.is_gradient_checkpointing
    assert _close(tensors, plain[1], 1e-4)


def test_sdpa_is_eager_attention(train, load, plain, spoken_table, tmp_path):
    eager, sdpa = load(), load(attention="sdpa")
    assert (eager.model.config._attn_implementation, sdpa.model.config._attn_implementation) == (
        "eager",
        "sdpa",
    )
    store = FeatureStore(spoken_table, eager.extractor, limit_mb=0)
    one, other = (transcribe_table(model, spoken_table, store, Decoding(Batching(4))) for model in (eager, sdpa))
    assert one["text"].equals(other["text"])
    assert np.allclose(one["avg_logprob"], other["avg_logprob"], atol=1e-4)
    assert _close(train(sdpa, tmp_path / "sdpa")[1], plain[1], 1e-2)


def test_in_bfloat16_the_adapter_and_its_optimiser_stay_in_float32(train, load, plain, tmp_path):
    recogniser = load(dtype="bfloat16", attention="sdpa")
    saving = TRAIN.model_copy(update={"gradient_checkpointing": True})
    result, tensors = train(recogniser, tmp_path / "bf16", saving)
    dtypes = {name.split(".")[-2].startswith("lora") or "lora" in name: p.dtype
              for name, p in recogniser.model.named_parameters()}  # fmt: skip
    assert dtypes == {True: torch.float32, False: torch.bfloat16}
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float32}
    state = load_file(tmp_path / "bf16.work" / "checkpoint.safetensors")
    assert {tensor.dtype for tensor in state.values()} == {torch.float32}
    assert result.history[-1]["loss"] == pytest.approx(plain[0].history[-1]["loss"], rel=0.02)


def test_bfloat16_hears_nearly_the_same(load, spoken_table):
    exact, rough = load(), load(dtype="bfloat16", attention="sdpa")
    store = FeatureStore(spoken_table, exact.extractor, limit_mb=0)
    one, other = (
        transcribe_table(model, spoken_table, store, Decoding(Batching(4), embed=True)) for model in (exact, rough)
    )
    assert np.allclose(one["avg_logprob"], other["avg_logprob"], atol=0.1)
    assert other["embedding"].list.len().unique().to_list() == [exact.model.config.d_model]


def test_training_that_runs_out_of_memory_goes_on_in_halves_to_the_same_adapter(train, load, tmp_path, capfd):
    plain = train(load(audio_context="full"), tmp_path / "whole")
    result, tensors = train(_shrink(load(audio_context="full"), 3 * 300), tmp_path / "halves")
    said = capfd.readouterr().err
    assert "out of memory on 6 utterances" in said and "going on with 3" in said
    assert "gradient_checkpointing" in said
    assert result.history[-1]["loss"] == pytest.approx(plain[0].history[-1]["loss"], rel=1e-4)
    assert _close(tensors, plain[1], 1e-3)


def test_labelling_that_runs_out_of_memory_goes_on_in_halves_to_the_same_texts(load, spoken_table, capfd):
    recogniser = load(audio_context="full")
    store = FeatureStore(spoken_table, recogniser.extractor, limit_mb=0)
    whole = transcribe_table(recogniser, spoken_table, store, Decoding(Batching(6)))
    halves = transcribe_table(_shrink(recogniser, 3 * 300), spoken_table, store, Decoding(Batching(6)))
    assert "out of memory on 6 utterances" in capfd.readouterr().err
    assert halves["text"].equals(whole["text"])
    assert np.allclose(halves["avg_logprob"], whole["avg_logprob"], atol=1e-4)


def test_not_even_one_utterance_in_memory_is_an_error_that_says_what_to_do(load, train, spoken_table, tmp_path):
    with pytest.raises(IltError, match=r"single utterance of \d+ frames.*lora\.encoder: false"):
        train(_shrink(load(), 10), tmp_path / "none")
    assert not (tmp_path / "none").exists()
    recogniser = _shrink(load(), 10)
    store = FeatureStore(spoken_table, recogniser.extractor, limit_mb=0)
    with pytest.raises(IltError, match=r"single utterance.*model\.dtype: bfloat16"):
        transcribe_table(recogniser, spoken_table, store, Decoding(Batching(4)))


@pytest.mark.parametrize(
    ("stage", "raised", "said"),
    [
        ("fix", "torch.OutOfMemoryError('CUDA out of memory. Tried 2 GiB')", "Tried 2 GiB): `ilt doctor`"),
        ("label", "torch.OutOfMemoryError('CUDA out of memory. Tried 2 GiB')", "Tried 2 GiB): `ilt doctor`"),
        ("select", "MemoryError()", "(no memory): it holds tables"),
        ("fix", "RuntimeError('shapes cannot be multiplied')", None),
    ],
)
def test_a_stage_that_is_out_of_memory_says_what_to_do(tmp_path, stage, raised, said):
    """Where it is not a batch that is too much: while weights are loaded, in the optimiser's first step."""
    code = f"""
from dataclasses import replace
import torch
from ilt import paths
from ilt.stages._stage import Plan, run_stage, stage_named
def body(run):
    raise {raised}
stage = replace(stage_named("{stage}"), body=body, iterated=False, plan=Plan)
paths.write_json(paths.plan("{stage}"), {{"parameters": {{}}, "code": stage.code(Plan())}})
run_stage(stage)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    if said is None:
        assert "Traceback" in done.stderr and "ilt doctor" not in done.stderr
    else:
        assert "Traceback" not in done.stderr
        assert f"ERROR: {stage} is out of memory (" in done.stderr
        assert said in done.stderr
        assert ("lora.r" in done.stderr) == (stage == "fix")


def test_other_errors_of_torch_are_not_taken_for_want_of_memory(load, train, tmp_path):
    recogniser = load()

    class Broken(type(recogniser.model)):
        def forward(self, **_):
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    recogniser.model.__class__ = Broken
    with pytest.raises(RuntimeError, match="mat1"):
        train(recogniser, tmp_path / "broken")


def test_a_real_limit_on_memory_is_recognised(base_folder):
    """The system itself refuses the memory: 256 utterances take six times what is left."""
    code = f"""
import resource, torch
from ilt.asr.batching import Batching, MemoryLimit
from ilt.asr.lineage import base_lineage
from ilt.asr.families import load_recogniser
from ilt.asr.transcribe import Decoding, _transcribe
from ilt.params import RecogniserParams
folder = {str(base_folder)!r}
model = load_recogniser(base_lineage(folder, None), RecogniserParams(
    id=folder, max_chars_per_second=1.0
))
features = [torch.randn(80, 200) for _ in range(256)]
model.transcribe(features[:1], ["en"])
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 60 * 2**20, -1))
found = _transcribe(model, features, ["en"] * 256, Decoding(Batching(256)), MemoryLimit("take less", "none"))
print(len(found))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "256", done.stderr
    assert "out of memory on 256 utterances" in done.stderr


def test_batches_by_seconds_hold_the_budget_and_the_share_of_gold():
    gold = [Example(f"g{n}", "en", "two") for n in range(30)]
    pool = [Example(f"p{n}", "en", "two") for n in range(90)]
    lengths = {e.id: 40 + 37 * int(e.id[1:]) % 400 for e in [*gold, *pool]} | {"p7": 5000}
    data, composition = TrainingData(gold, pool), Composition(1, 2000.0, 0.25)
    plan = plan_batches(data, lengths, composition, 60, 3)
    assert len(plan) == 60
    assert plan == plan_batches(data, lengths, composition, 60, 3)
    for batch in plan:
        assert len(batch) == 1 or len(batch) * max(lengths[e.id] for e in batch) <= 2000
    sizes = {len(batch) for batch in plan}
    assert max(sizes) > 10 and len(sizes) > 3
    everything = [example for batch in plan for example in batch]
    share = sum(example.id.startswith("g") for example in everything) / len(everything)
    assert share == pytest.approx(0.25, abs=0.08)


def test_decoding_by_seconds_gives_the_same_texts(load, spoken_table):
    recogniser = load(audio_context="full")
    store = FeatureStore(spoken_table, recogniser.extractor, limit_mb=0)
    by_count = transcribe_table(recogniser, spoken_table, store, Decoding(Batching(6)))
    by_seconds = transcribe_table(recogniser, spoken_table, store, Decoding(Batching(6, seconds=3.0, workers=2)))
    assert by_seconds["text"].equals(by_count["text"])
    assert cut_batches([1, 2, 3, 9], float, 2, 6.0) == [[1, 2], [3], [9]]


def test_memory_that_was_too_little_is_remembered():
    limit = MemoryLimit("", "")
    assert list(limit.parts([10, 10, 12, 12])) == [slice(0, 4)]
    limit.halve()
    assert list(limit.parts([10, 10, 12, 12])) == [slice(0, 2), slice(2, 4)]
    assert list(limit.parts([4] * 8)) == [slice(0, 6), slice(6, 8)]
    assert list(limit.parts([30])) == [slice(0, 1)]


def test_an_epoch_by_seconds_is_a_pass_over_the_seconds_of_gold():
    params = TRAIN.model_copy(update={"steps": None, "epochs": 2.0, "batch_seconds": 10.0, "gold_share": 0.5})
    assert total_steps(params, 7, 100.0) == 20  # 2 x 100 s, 10 s twice a step, half of it gold
