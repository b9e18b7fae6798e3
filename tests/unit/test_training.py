"""Training: plans of batches, the learning rate, masks, and a run that resumes to the same bytes."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file

from ilt.asr.features import FeatureStore
from ilt.errors import IltError
from ilt.params import LoraParams, SpecAugmentParams, TrainParams
from ilt.training.batches import Composition, plan_batches
from ilt.training.channel import compress, expand
from ilt.training.data import Example, TrainingData
from ilt.training.jobs import TrainJob
from ilt.training.schedule import averaging_steps, evaluation_steps, learning_rate_at, total_steps
from ilt.training.selection import select_checkpoint
from ilt.training.specaugment import spec_augment
from ilt.training.trainer import Trainer

MASKS = SpecAugmentParams(
    speed=0.0, formants=0.0, channel=0.0, time_masks=2, time_width=8, frequency_masks=2, frequency_width=12
)
PARAMS = TrainParams(
    seed=5,
    lora=LoraParams(r=4, alpha=8, dropout=0.1, target_modules=["q_proj", "v_proj"]),
    learning_rate=3e-3,
    steps=4,
    batch_size=2,
    gradient_accumulation=2,
    gold_share=0.5,
    label_smoothing=0.0,
    evaluations=2,
    spec_augment=MASKS,
)


def _examples(prefix, count):
    return [Example(f"{prefix}{number}", "en", "two") for number in range(count)]


GOLD, PSEUDO = _examples("g", 12), _examples("p", 40)
LENGTHS = {example.id: 50 + 7 * int(example.id[1:]) % 60 for example in [*GOLD, *PSEUDO]}


def _plan(batches, gold_share, seed=1, pseudo=PSEUDO, batch_size=4):
    return plan_batches(TrainingData(GOLD, pseudo), LENGTHS, Composition(batch_size, None, gold_share), batches, seed)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("batches", [1, 5, 8, 41])
def test_the_share_of_gold_is_held(share, batches):
    plan = _plan(batches, share)
    assert [len(batch) for batch in plan] == [4] * batches
    gold = sum(example.id.startswith("g") for batch in plan for example in batch)
    assert abs(gold - 4 * batches * share) <= 1


def test_the_same_seed_makes_the_same_plan():
    assert _plan(20, 0.3) == _plan(20, 0.3)
    assert _plan(20, 0.3) != _plan(20, 0.3, seed=2)


def test_every_gold_example_is_used_once_in_a_pass():
    ids = [example.id for batch in _plan(9, 1.0) for example in batch]
    assert sorted(ids) == sorted([example.id for example in GOLD] * 3)


def test_without_pseudo_labels_gold_fills_the_batches():
    plan = _plan(3, 0.3, pseudo=[])
    assert all(example in GOLD for batch in plan for example in batch)


def test_examples_of_like_length_share_a_batch():
    plan = _plan(8, 0.3)
    spread = [max(lengths) - min(lengths) for batch in plan if (lengths := [LENGTHS[e.id] for e in batch])]
    assert np.mean(spread) < 20


def test_an_epoch_is_a_pass_over_gold():
    assert total_steps(PARAMS, 100, 200.0) == 4
    epochs = PARAMS.model_copy(update={"steps": None, "epochs": 2.0})
    assert total_steps(epochs, 100, 200.0) == 100  # 2 x 100 gold, 4 examples a step, half of them gold
    assert total_steps(epochs, 0, 0.0) == 1


def test_the_learning_rate_warms_up_and_falls_to_a_tenth():
    params = PARAMS.model_copy(update={"warmup": 0.1, "learning_rate": 1.0})
    rates = [learning_rate_at(step, 100, params) for step in range(1, 101)]
    assert np.allclose(rates[:10], np.arange(1, 11) / 10)
    assert all(later < earlier for earlier, later in itertools.pairwise(rates[9:]))
    assert rates[-1] == pytest.approx(0.1)


@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.9])
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_the_learning_rate_of_a_short_stage_is_positive(warmup, steps):
    params = PARAMS.model_copy(update={"warmup": warmup})
    for step in range(1, steps + 1):
        assert 0 < learning_rate_at(step, steps, params) <= params.learning_rate


def test_masking_leaves_its_input_as_it_is():
    features = torch.randn(80, 60, generator=torch.Generator().manual_seed(0))
    before = features.clone()
    masked = spec_augment(features, MASKS, np.random.default_rng(1))
    assert torch.equal(features, before)
    assert masked.shape == features.shape
    assert 0 < (masked != features).float().mean() < 0.7
    assert torch.equal(masked, spec_augment(features, MASKS, np.random.default_rng(1)))


def test_masking_does_with_very_short_audio():
    assert spec_augment(torch.randn(80, 2), MASKS, np.random.default_rng(1)).shape == (80, 2)


def test_a_random_channel_changes_the_sound_and_not_its_length():
    torch.manual_seed(3)
    features = compress(torch.randn(80, 100) * 0.5)
    background = compress(torch.randn(80, 40) * 0.5)
    hard = MASKS.model_copy(
        update={"channel": 1.0, "time_masks": 0, "frequency_masks": 0, "speed": 0.0, "formants": 0.0}
    )

    def heard(seed, params=hard, other=background):
        return spec_augment(features, params, np.random.default_rng(seed), other)

    assert heard(1).shape == features.shape
    assert torch.equal(heard(1), heard(1)) and not torch.equal(heard(1), heard(2))
    assert torch.isfinite(heard(1)).all()
    assert torch.equal(heard(1, hard.model_copy(update={"channel": 0.0})), features)
    assert torch.allclose(compress(expand(features)), features, atol=1e-5)


@pytest.fixture(scope="module")
def train(load_model, spoken_table):
    """A function that trains on three gold and three pseudo-labelled utterances, on a fresh model."""
    examples = [Example(*row) for row in spoken_table.select("id", "language", "text").iter_rows()]
    gold, pseudo = examples[::2], examples[1::2]

    def run(folder, name, params=PARAMS, fail_at=None, watch=None, train_error=None, **more):
        recogniser = load_model("batch")
        store = FeatureStore(spoken_table, recogniser.extractor, limit_mb=0)
        marks = []

        def evaluate(model):
            """The loss on gold; `fail_at` is the call at which somebody presses Ctrl-C."""
            marks.append(None)
            if len(marks) == fail_at:
                raise KeyboardInterrupt
            if watch is not None:
                watch(model)
            features = [store[example.id] for example in gold]
            with torch.no_grad():
                loss = model.loss(features, [e.language for e in gold], [e.text for e in gold])
            return np.array([float(loss)]), np.ones(1)

        trainer = Trainer(store, lambda _, what: {"dev": evaluate, "gold": train_error}[what])
        sample = spoken_table if train_error else spoken_table.clear()
        data = TrainingData(gold, pseudo, gold_sample=sample)
        job = TrainJob(lambda: recogniser, data, params, folder / name, folder / f"{name}.work", **more)
        return trainer.train(job), len(marks)

    return run


def _bytes(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def uninterrupted(train, tmp_path_factory):
    folder = tmp_path_factory.mktemp("training")
    return train(folder, "whole")[0], folder / "whole"


def test_training_measures_at_its_marks_and_keeps_what_got_better(uninterrupted):
    result, folder = uninterrupted
    assert [entry["step"] for entry in result.history] == [0, 2, 4]
    assert result.kept_dev_error == min(entry["dev_error"] for entry in result.history)
    assert result.kept_step == 4
    assert result.trainable_parameters > 0
    assert set(_bytes(folder)) == {"adapter_model.safetensors", "adapter_config.json"}


def _counts(*rows):
    """Errors of two hundred rows of five units, the given number of them in each of so many rows."""
    return [(np.array([1] * wrong + [0] * (200 - wrong)), np.full(200, 5)) for wrong in rows]


def test_the_last_checkpoint_is_kept_if_it_is_not_clearly_worse_than_the_best():
    assert select_checkpoint(_counts(100)) == 0
    assert select_checkpoint(_counts(100, 80, 60)) == 2  # each better than the one before
    assert select_checkpoint(_counts(100, 60, 80)) == 1  # worse in twenty utterances, and better in none
    assert select_checkpoint(_counts(60, 100, 90)) == 0  # nothing that did harm is kept
    assert select_checkpoint(_counts(60, 60)) == 1
    assert select_checkpoint(_counts(100, 60, 60, 62), keep_best=True) == 1


def test_what_differs_much_between_utterances_is_not_clear():
    """Ten words worse in all, but many utterances are better and many worse: that may be chance."""
    rng = np.random.default_rng(1)
    one = rng.integers(0, 6, 200)
    other = rng.permutation(one)
    other[:10] += 1
    assert select_checkpoint([(one, np.full(200, 5)), (other, np.full(200, 5))]) == 1


def test_training_again_gives_the_same_bytes(train, uninterrupted, tmp_path):
    result, _ = train(tmp_path, "again")
    assert result == uninterrupted[0]
    assert _bytes(tmp_path / "again") == _bytes(uninterrupted[1])


def test_a_killed_training_resumes_and_ends_with_the_same_bytes(train, uninterrupted, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, "killed", fail_at=3)
    assert not (tmp_path / "killed").exists()
    result, evaluations = train(tmp_path, "killed")
    assert evaluations == 1  # neither the start nor the first mark was measured again
    assert result == uninterrupted[0]
    assert _bytes(tmp_path / "killed") == _bytes(uninterrupted[1])


def test_a_training_that_was_killed_at_the_very_end_only_saves(train, uninterrupted, tmp_path):
    train(tmp_path, "done")
    result, evaluations = train(tmp_path, "done")
    assert evaluations == 0
    assert result == uninterrupted[0]
    assert _bytes(tmp_path / "done") == _bytes(uninterrupted[1])


def test_measuring_the_training_error_changes_no_byte_of_the_adapter(train, uninterrupted, tmp_path):
    def train_error(model):
        torch.rand(3), np.random.random()  # decoding may draw what it likes
        return np.array([2 if model.model.training else 1]), np.array([8])

    result, _ = train(tmp_path, "measured", train_error=train_error)
    assert _bytes(tmp_path / "measured") == _bytes(uninterrupted[1])
    assert [entry.pop("train_error") for entry in result.history] == [0.125] * 3
    assert result.gold_units == 8
    assert dataclasses.replace(result, gold_units=0) == uninterrupted[0]


def _logged(path, column):
    return list(pl.read_csv(path).select("step", column).drop_nulls().iter_rows())


def test_a_training_can_be_watched_while_it_runs_and_after_a_kill(train, uninterrupted, tmp_path):
    log = tmp_path / "log" / "focus.csv"
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, "killed", fail_at=3, log=log)
    history = uninterrupted[0].history
    dev = [(entry["step"], entry["dev_error"]) for entry in history]
    assert _logged(log, "dev_error") == dev[:2]
    assert [step for step, _ in _logged(log, "loss")] == [1, 2, 3]
    result, _ = train(tmp_path, "killed", log=log)
    assert result == uninterrupted[0]
    assert _logged(log, "dev_error") == dev
    losses = _logged(log, "loss")
    assert losses == [(2, history[1]["loss"]), (3, losses[1][1]), (4, history[2]["loss"])]
    assert log.read_text(encoding="utf-8").splitlines()[0] == "step,loss,dev_error,train_error"
    assert _logged(log, "train_error") == []


def test_points_of_an_average_are_equally_spaced_in_the_second_half():
    assert averaging_steps(100, 4) == {64, 76, 88, 100}
    assert averaging_steps(10, 5) == {6, 7, 8, 9, 10}
    assert averaging_steps(100, 1) == averaging_steps(1, 1) == set()
    assert averaging_steps(4, 50) == {3, 4}  # no more than there are
    assert averaging_steps(1, 3) == {1}


def test_evaluations_are_equally_spaced_up_to_the_last_step():
    assert evaluation_steps(100, 4) == {25, 50, 75, 100}
    assert 3 in evaluation_steps(3, 7)


AVERAGED = PARAMS.model_copy(update={"steps": 8, "evaluations": 4, "average": 3})  # over steps 6, 7 and 8


def _weights(into):
    def watch(recogniser):
        into.append({n: p.detach().clone() for n, p in recogniser.model.named_parameters() if "lora_" in n})

    return watch


def test_candidates_are_means_over_the_points_and_training_does_not_notice(train, tmp_path):
    plain, averaged = [], []
    every = AVERAGED.model_copy(update={"evaluations": 8})
    alone, _ = train(tmp_path, "alone", every.model_copy(update={"average": 1}), watch=_weights(plain))
    result, _ = train(tmp_path, "averaged", every, watch=_weights(averaged))
    for step in range(9):
        points = [plain[at] for at in range(6, step + 1)] or [plain[step]]
        for name, weight in averaged[step].items():
            expected = torch.stack([point[name] for point in points]).mean(0)
            assert torch.allclose(weight, expected, atol=1e-7), (step, name)
    assert [e.get("loss") for e in result.history] == [e.get("loss") for e in alone.history]
    saved = load_file(tmp_path / "averaged" / "adapter_model.safetensors")
    candidate = {
        f"base_model.model.{name.replace('.default', '')}": weight
        for name, weight in averaged[result.kept_step].items()
    }
    assert saved.keys() == candidate.keys()
    assert all(torch.equal(saved[name], candidate[name]) for name in saved)


def test_a_candidate_between_two_points_has_the_weights_of_its_own_step_too(train, tmp_path):
    plain, averaged = [], []
    sparse = PARAMS.model_copy(update={"steps": 8, "evaluations": 8, "average": 2})  # over steps 6 and 8
    train(tmp_path, "alone", sparse.model_copy(update={"average": 1}), watch=_weights(plain))
    train(tmp_path, "averaged", sparse, watch=_weights(averaged))
    for step, points in {5: [5], 6: [6], 7: [6, 7], 8: [6, 8]}.items():
        for name, weight in averaged[step].items():
            expected = torch.stack([plain[at][name] for at in points]).mean(0)
            assert torch.allclose(weight, expected, atol=1e-7), (step, name)


@pytest.mark.parametrize("fail_at", [3, 4, 5])
def test_a_killed_training_resumes_to_the_same_bytes_with_averaging_on(train, tmp_path, fail_at):
    whole, _ = train(tmp_path, "whole", AVERAGED)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, "killed", AVERAGED, fail_at=fail_at)
    result, evaluations = train(tmp_path, "killed", AVERAGED)
    assert evaluations == 5 - (fail_at - 1)
    assert result == whole
    assert _bytes(tmp_path / "killed") == _bytes(tmp_path / "whole")


def test_an_average_of_one_changes_nothing(train, uninterrupted, tmp_path):
    assert PARAMS.average == TrainParams(steps=1).average == 1
    result, _ = train(tmp_path, "one", PARAMS.model_copy(update={"average": 1}))
    assert result == uninterrupted[0]
    assert _bytes(tmp_path / "one") == _bytes(uninterrupted[1])
    tensors = load_file(tmp_path / "one.work" / "checkpoint.safetensors")
    assert not any(name.startswith("average.") for name in tensors)


def test_a_loss_that_is_not_finite_is_an_error(train, tmp_path):
    params = PARAMS.model_copy(update={"learning_rate": 1e30, "warmup": 0.0})
    with pytest.raises(IltError, match="diverged"):
        train(tmp_path, "diverged", params)
    assert not (tmp_path / "diverged").exists()


def test_modules_that_the_model_does_not_have_are_an_error(train, tmp_path):
    lora = PARAMS.lora.model_copy(update={"target_modules": ["nonsense"]})
    with pytest.raises(IltError, match=r"lora\.target_modules"):
        train(tmp_path, "nonsense", PARAMS.model_copy(update={"lora": lora}))


def test_an_output_layer_that_is_the_embedding_is_refused(train, tmp_path):
    lora = PARAMS.lora.model_copy(update={"target_modules": ["q_proj", "proj_out"]})
    with pytest.raises(IltError, match=r"lora\.target_modules: proj_out of .* shares its weight with another"):
        train(tmp_path, "tied", PARAMS.model_copy(update={"lora": lora}))


def test_the_loss_of_a_short_run_is_a_number(uninterrupted):
    assert all(math.isfinite(entry["loss"]) for entry in uninterrupted[0].history[1:])
