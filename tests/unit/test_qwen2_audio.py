"""Qwen2-Audio: what transformers and its processor would do, in batches; a chat model; learning by heart."""

from __future__ import annotations

import json
import math
import os
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoProcessor

from conftest import ROOT
from ilt.asr.batching import Batching
from ilt.asr.families import load_recogniser
from ilt.asr.features import FeatureStore
from ilt.asr.lineage import base_lineage, merge_adapters
from ilt.asr.qwen2_audio.prompts import AUDIO, BASE_PROMPT
from ilt.asr.qwen2_audio.texts import load_texts
from ilt.asr.transcribe import Decoding, transcribe_table
from ilt.corpus.audio import decode_flac
from ilt.errors import IltError
from ilt.evaluation.scoring import frame_errors, rate
from ilt.params import LoraParams, RecogniserParams, SpecAugmentParams, TrainParams
from ilt.training.data import Example, TrainingData
from ilt.training.jobs import TrainJob
from ilt.training.trainer import Trainer

FOLDER = Path(os.environ.get("ILT_TEST_QWEN2_AUDIO", ROOT / "data" / "models" / "demo-qwen2-audio"))


def load(folder=FOLDER, **settings):
    model = RecogniserParams(id=str(folder), **{"audio_context": "full", **settings})
    return load_recogniser(base_lineage(model.id, None), model)


@pytest.fixture(scope="module")
def model():
    return load()


@pytest.fixture(scope="module")
def chat_folder(tmp_path_factory):
    """The same weights as a chat model: as the Instruct model differs from the base model on the hub."""
    folder = tmp_path_factory.mktemp("instruct") / "model"
    shutil.copytree(FOLDER, folder)
    path = folder / "generation_config.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    tokenizer = AutoProcessor.from_pretrained(FOLDER).tokenizer
    ends = tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"])
    path.write_text(json.dumps({**settings, "eos_token_id": ends}), encoding="utf-8")
    return folder


def test_the_import_of_a_corpus_counts_tokens_as_training_does(model):
    texts = load_texts(str(FOLDER), None, {})
    assert texts.max_tokens == model.max_tokens
    for text in ("two six zero", "hallo <|im_end|>", "<|AUDIO|>", ""):
        assert texts.encode(text, "en") == model.vocabulary.encode(text)


@pytest.fixture(scope="module")
def store(model, spoken_table):
    return FeatureStore(spoken_table, model.extractor, limit_mb=0)


@pytest.fixture(scope="module")
def batch(store, spoken_table):
    return [store[key] for key in spoken_table["id"]], spoken_table["language"].to_list()


@pytest.fixture(scope="module")
def hypotheses(model, batch):
    return model.transcribe(*batch, embed=True)


@pytest.fixture(scope="module")
def official(spoken_table):
    """The inputs that the model's own processor makes of one utterance and, if given, an answer."""
    processor = AutoProcessor.from_pretrained(FOLDER)

    def make(row, answer=""):
        audio = decode_flac(spoken_table["audio"].struct.field("bytes")[row])
        prompt = AUDIO + BASE_PROMPT.format(code=spoken_table["language"][row])
        both = [processor(text=prompt + end, audio=audio, return_tensors="pt") for end in ("", answer)]
        return both[1], both[0]["input_ids"].shape[1]

    return make


def test_a_batch_of_mixed_lengths_gives_the_texts_of_each_alone(model, batch, hypotheses):
    assert len({feature.shape[1] for feature in batch[0]}) > 3
    for feature, language, together in zip(*batch, hypotheses, strict=True):
        (alone,) = model.transcribe([feature], [language], embed=True)
        assert alone.text == together.text
        assert alone.avg_logprob == pytest.approx(together.avg_logprob, abs=1e-3)
        assert np.allclose(alone.embedding, together.embedding, atol=1e-3)


def test_decoding_is_that_of_transformers_and_its_processor(model, hypotheses, official):
    for row, ours in enumerate(hypotheses):
        inputs, length = official(row)
        tokens = model.model.generate(**inputs, do_sample=False, max_new_tokens=60)
        (theirs,) = model.tokenizer.batch_decode(tokens[:, length:], skip_special_tokens=True)
        assert ours.text == " ".join(theirs.split())


def test_the_loss_covers_exactly_the_answer(model, batch, official, spoken_table):
    features, languages = batch
    for row, text in enumerate(spoken_table["text"]):
        inputs, length = official(row, text + "<|endoftext|>")
        labels = inputs["input_ids"].clone()
        labels[:, :length] = -100
        with torch.no_grad():
            theirs = model.model(**inputs, labels=labels).loss.item()
            ours = model.loss([features[row]], [languages[row]], [text]).item()
        assert ours == pytest.approx(theirs, rel=2e-3)  # features are kept in half precision
    with torch.no_grad():
        together = model.loss(features, languages, spoken_table["text"].to_list()).item()
    assert math.isfinite(together)


def test_the_small_model_writes_some_texts_right(hypotheses, spoken_table):
    right = sum(one.text == text for one, text in zip(hypotheses, spoken_table["text"], strict=True))
    assert right >= 3


def test_evidence_is_complete_but_for_the_probability_of_no_speech(model, batch, hypotheses):
    for one in [*hypotheses, *model.transcribe(*batch, beams=2)]:
        assert one.min_logprob <= one.avg_logprob <= 0 <= one.token_entropy
        assert one.no_speech_prob is None
        assert 0 < one.detected_probability <= 1
    detected = sum(one.detected_language == code for one, code in zip(hypotheses, batch[1], strict=True))
    assert detected >= 4


def test_a_cut_context_gives_the_same_texts(batch, hypotheses):
    cut = load(audio_context="batch").transcribe(*batch)
    assert sum(one.text == other.text for one, other in zip(cut, hypotheses, strict=True)) >= 5


def test_a_chat_model_is_asked_through_its_template(chat_folder, batch):
    model = load(chat_folder)
    prompt = model.vocabulary.prompt("es")
    assert prompt.startswith("<|im_start|>system") and prompt.endswith("<|im_start|>assistant\n")
    assert prompt.count("<|AUDIO|>") == 1 and "Transcribe the Spanish speech" in prompt
    for one in model.transcribe(batch[0][:2], batch[1][:2]):
        assert one.detected_language is None and math.isfinite(one.avg_logprob)


@pytest.mark.parametrize(
    "text", ["<|startoftranscript|><|de|> hallo", "hallo <|endoftext|> welt", "<|im_start|>user", "<|AUDIO|><|im_end|>"]
)
def test_the_names_of_control_tokens_are_text_but_in_prompts(model, text):
    vocabulary = model.vocabulary
    ids = vocabulary.tokenizer.get_vocab()
    control = {index for token, index in ids.items() if token.startswith("<|") and token.endswith("|>")}
    tokens = vocabulary.encode(text)
    assert not control & set(tokens)
    assert vocabulary.tokenizer.decode(tokens) == text
    (prompt,) = vocabulary.prefixes(["de"], [2])
    names = ("audio_bos", "AUDIO", "AUDIO", "audio_eos", "de")
    assert [token for token in prompt if token in control] == [ids[f"<|{name}|>"] for name in names]


def test_prompts_are_the_users_by_language(chat_folder):
    model = load(chat_folder, prompts={"default": "Say it in {language}:", "pcm": "Say it in Naija:"})
    assert "Say it in German:" in model.vocabulary.prompt("de")
    assert "Say it in Naija:" in model.vocabulary.prompt("pcm")
    with pytest.raises(IltError, match=r"model\.prompts\.xyz"):
        model.vocabulary.prompt("xyz")
    with pytest.raises(IltError, match="once"):
        load(prompts={"default": f"{AUDIO} and {AUDIO}: <|{{code}}|>"}).loss([torch.zeros(80, 60)], ["en"], ["a"])


@pytest.mark.parametrize("encoder", [False, True])
def test_the_audio_tower_is_adapted_if_asked(encoder, store, spoken_table, tmp_path):
    examples = [Example(*row) for row in spoken_table.select("id", "language", "text").iter_rows()]
    lora = LoraParams(r=2, target_modules=["q_proj", "fc1", "gate_proj"], encoder=encoder)
    params = TrainParams(
        lora=lora, learning_rate=1e-3, steps=1, batch_size=2, evaluations=1, spec_augment=SpecAugmentParams()
    )
    trainer = Trainer(store, lambda *_: lambda _: (np.array([1]), np.array([2])))
    trainer.train(TrainJob(load, TrainingData(examples), params, tmp_path / "lora", tmp_path / "work"))
    names = set(load_file(tmp_path / "lora" / "adapter_model.safetensors"))
    assert any("language_model" in name and "gate_proj" in name for name in names)
    assert any("audio_tower" in name for name in names) == encoder


@pytest.mark.parametrize("chat", [False, pytest.param(True, marks=pytest.mark.full)])
def test_a_few_utterances_can_be_learnt_by_heart(chat, chat_folder, store, spoken_table, tmp_path):
    """Digits with their words swapped for others, which nobody could know: LoRA learns them to 0 % WER."""
    folder = chat_folder if chat else FOLDER
    table = spoken_table.head(4).with_columns(text=pl.Series(["blue", "tango nine blue", "green hat", "rojo"]))
    examples = [Example(*row) for row in table.select("id", "language", "text").iter_rows()]
    targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    params = TrainParams(
        lora=LoraParams(r=16, target_modules=targets), learning_rate=4e-3, steps=160, batch_size=4,
        evaluations=1, spec_augment=SpecAugmentParams(time_masks=0, frequency_masks=0, speed=0, formants=0),
    )  # fmt: skip

    def errors(recogniser):
        decoded = transcribe_table(recogniser, table, store, Decoding(Batching(8)))
        return frame_errors(table.with_columns(hypothesis=decoded["text"]), "text", "hypothesis", "basic")

    model = load(folder, audio_context="batch")
    assert rate(*errors(model)) > 0.5
    job = TrainJob(lambda: model, TrainingData(examples), params, tmp_path / "lora", tmp_path / "work")
    assert Trainer(store, lambda *_: errors).train(job).kept_dev_error == 0
    merged = load(folder, audio_context="batch")
    merge_adapters(merged.model, [tmp_path / "lora"])
    assert rate(*errors(merged)) == 0
