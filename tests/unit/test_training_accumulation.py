"""Gradient accumulation: however a step is cut into batches, its loss and its gradients are the same."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from ilt.asr.batching import MemoryLimit
from ilt.asr.features import FeatureStore
from ilt.params import LoraParams, MixtureParams, SpecAugmentParams, TrainParams
from ilt.training.data import Example, TrainingData
from ilt.training.gradients import add_gradients
from ilt.training.jobs import TrainJob
from ilt.training.lora import add_lora
from ilt.training.trainer import Trainer

LORA = LoraParams(r=4, target_modules=["q_proj", "v_proj", "fc1"])
PLAIN = SpecAugmentParams(time_masks=0, frequency_masks=0, speed=0, formants=0, channel=0)
TEXTS = ("nine", "two six zero four seven one", "five", "seis cero", "tres", "sieben zwei eins", "one two", "")
"""Of unlike length, down to none at all."""


@pytest.fixture(scope="module")
def examples(spoken_table):
    """Eight labelled utterances: those of the table, two of them twice, with other texts."""
    rows = [*spoken_table.select("id", "language").iter_rows()]
    return [Example(*rows[number % len(rows)], text) for number, text in enumerate(TEXTS)]


@pytest.fixture(scope="module")
def gradients(load_model, spoken_table, examples):
    """A function from sizes of batches to the loss of one step and the gradients of its LoRA."""
    recogniser = load_model("full")
    store = FeatureStore(spoken_table, recogniser.extractor, limit_mb=0)
    model = add_lora(recogniser, LORA, 1)
    torch.manual_seed(2)
    for name, weight in model.named_parameters():
        if "lora_B" in name:  # zeros would keep gradients from A
            torch.nn.init.normal_(weight, std=0.02)

    def run(sizes, label_smoothing, limit):
        rest = iter(examples)
        batches = [list(itertools.islice(rest, size)) for size in sizes]
        features = [[store[example.id] for example in batch] for batch in batches]
        model.zero_grad()
        loss = add_gradients(recogniser, batches, features, label_smoothing, limit)
        return loss, {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}

    return run


def _close(one, other):
    largest = max(float(tensor.abs().max()) for tensor in one.values())
    return one.keys() == other.keys() and all(
        float((one[name] - other[name]).abs().max()) < 1e-6 * max(1.0, largest) for name in one
    )


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
@pytest.mark.parametrize("sizes", [(2, 2, 2, 2), (1, 7), (3, 4, 1), (1,) * 8])
def test_a_step_is_the_same_in_one_batch_and_in_many(gradients, sizes, label_smoothing):
    loss, whole = gradients((8,), label_smoothing, MemoryLimit("", ""))
    cut_loss, cut = gradients(sizes, label_smoothing, MemoryLimit("", ""))
    assert cut_loss == pytest.approx(loss, abs=1e-6)
    assert all(float(gradient.abs().max()) > 0 for gradient in whole.values())
    assert _close(whole, cut)


def test_a_step_is_the_same_where_memory_cuts_the_batches_of_an_accumulation(gradients):
    loss, whole = gradients((8,), 0.1, MemoryLimit("", ""))
    small = MemoryLimit("", "")
    list(small.parts([100, 100]))
    small.halve()  # one utterance of 100 frames at a time
    cut_loss, cut = gradients((5, 3), 0.1, small)
    assert cut_loss == pytest.approx(loss, abs=1e-6)
    assert _close(whole, cut)


@pytest.mark.parametrize(("mixture", "gold_share"), [
    (MixtureParams(), 1.0),
    (MixtureParams(replay_share=0.25), 1.0),
    (MixtureParams(replay_share=0.25, temperature=3.0), 0.5),
])  # fmt: skip
def test_a_training_step_is_the_same_with_accumulation(
    load_model, spoken_table, examples, tmp_path, mixture, gold_share
):
    """Gold, pseudo-labels and replay; the gradients are read from the first moments after one step."""
    params = TrainParams(
        lora=LORA, learning_rate=1e-3, steps=1, gold_share=gold_share, evaluations=1, spec_augment=PLAIN,
        max_grad_norm=1e6,
    )  # fmt: skip
    losses, moments = [], []
    for batch_size, accumulation in ((8, 1), (2, 4), (1, 8)):
        recogniser = load_model("full")
        store = FeatureStore(spoken_table, recogniser.extractor, limit_mb=0)
        trainer = Trainer(store, lambda _, __: lambda _: (np.array([1]), np.array([2])), mixture)
        cut = params.model_copy(update={"batch_size": batch_size, "gradient_accumulation": accumulation})
        data = TrainingData(examples[:4], examples[4:6], examples[6:])
        work = tmp_path / f"{accumulation}.work"
        result = trainer.train(TrainJob(lambda r=recogniser: r, data, cut, tmp_path / f"{accumulation}", work))
        losses.append(result.history[-1]["loss"])
        tensors = load_file(work / "checkpoint.safetensors")
        moments.append({name: 10 * tensor for name, tensor in tensors.items() if name.startswith("mean.")})
    assert losses[1:] == [pytest.approx(losses[0], abs=2e-6)] * 2  # as they are logged, to six digits
    assert _close(moments[0], moments[1]) and _close(moments[0], moments[2])
