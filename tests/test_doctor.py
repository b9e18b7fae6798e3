"""`ilt doctor`: what it says of this machine, of models that cannot run, and whether its estimates hold."""

from __future__ import annotations

import json
import re
import shutil

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoConfig, WhisperConfig, WhisperForConditionalGeneration
from typer.testing import CliRunner

from ilt.asr.lineage import Lineage
from ilt.asr.recogniser import load_recogniser
from ilt.cli import app
from ilt.doctor.checks import programs
from ilt.doctor.memory import RELEASED, estimate_labelling, estimate_training, shape_of
from ilt.errors import IltError
from ilt.params import load_params
from ilt.stages import corpus
from ilt.stages._stage import Stage
from ilt.stages.plan import resolve
from small_whisper import CHECKPOINTS, build

MODULES = ["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"]


@pytest.fixture
def doctor(tmp_path, monkeypatch, write_params, base_folder):
    """A function that runs `ilt doctor` in a folder of its own, with changed parameters."""

    def run(changes=(), *options):
        where = {"model.id": str(base_folder), "model.files": str(base_folder), "model.device": "cpu"}
        write_params(tmp_path, where | dict(changes))
        monkeypatch.chdir(tmp_path)
        return CliRunner().invoke(app, ["doctor", *options])

    return run


def _findings(result):
    return {one["name"]: one for one in json.loads(result.stdout)["findings"]}


def test_the_default_can_run_here_and_everything_has_a_line(doctor):
    result = doctor()
    assert result.exit_code == 0, result.output
    for what in ("machine: cpu", "languages: ar, bn, de", "git:", "libsndfile:", "openai/whisper-large-v3"):
        assert what in result.output
    found = _findings(doctor((), "--format", "json"))
    assert {found[name]["state"] for name in ("model", "languages")} == {"ok"}


def test_a_language_that_cannot_be_had_is_broken_and_a_mapped_one_is_said(doctor, tmp_path):
    english = str(build(tmp_path / "english", CHECKPOINTS["tiny.en to medium.en"]))
    model = {"model.id": english, "corpus.demo.languages": ["de", "en"]}
    result = doctor(model)
    assert result.exit_code == 1
    assert "does not know the language 'de'; it has English alone" in result.output
    assert "languages.de.as" in result.output
    mapped = doctor(model | {"languages": {"de": {"as": "en"}}})
    assert mapped.exit_code == 0
    assert "de taken for en" in mapped.output


def test_a_model_that_is_not_there_is_broken(doctor, tmp_path):
    result = doctor({"model.id": "openai/whisper-large-v3"}, "--format", "json")
    assert result.exit_code == 1
    assert "hf download openai/whisper-large-v3" in _findings(result)["model"]["what"]
    (own,) = [
        one for one in json.loads(result.stdout)["verdicts"] if one["model"] == "openai/whisper-large-v3"
    ]
    assert own["parameters"] == 1543490560  # estimated all the same
    (tmp_path / "empty").mkdir()
    result = doctor({"model.id": str(tmp_path / "empty")})
    assert result.exit_code == 1 and "no config.json with *.safetensors" in result.output


def test_a_mistyped_folder_and_a_broken_file_are_one_clear_error_everywhere(doctor, tmp_path, base_folder):
    """In `ilt doctor`, in `ilt validate`, in the corpus, and where the model is loaded."""
    manifest = {"corpus.source": "manifest", "corpus.manifest": "m.jsonl"}
    broken = shutil.copytree(base_folder, tmp_path / "broken")
    for name in ("config.json", "processor_config.json"):
        (broken / name).write_text('{"model_type": ')
        for where, message in (
            (f"{tmp_path}/no/such", "there is no such folder, and this is no hub id"),
            ("data/bsae", "HF_HUB_OFFLINE, a proxy, no network, a misspelt path or id?"),
            (str(broken), f"{broken / name} is not JSON"),
        ):
            result = doctor(manifest | {"model.id": where})
            assert result.exit_code == 1
            assert message in result.output.replace("\n", " ")
            with pytest.raises(IltError, match=re.escape(message)):
                CliRunner().invoke(app, ["validate"], catch_exceptions=False)
            with pytest.raises(IltError, match=re.escape(message)):
                corpus.body(Stage("corpus", "base", resolve(load_params())["corpus"]))
            if name == "config.json":
                with pytest.raises(IltError, match=re.escape(message)):
                    load_recogniser(Lineage(where, None, None), load_params().recogniser_model)
        shutil.copy(base_folder / name, broken / name)


def test_a_model_that_is_too_large_for_the_machine_is_broken(doctor, base_folder, tmp_path):
    folder = shutil.copytree(base_folder, tmp_path / "huge")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"d_model": 192 * 2**9}))
    result = doctor({"model.id": str(folder)})
    assert result.exit_code == 1 and "does not fit, not even one utterance at a time" in result.output


def test_batches_that_are_too_large_are_only_a_hint(doctor):
    result = doctor({"model.decode_batch": 10**9}, "--format", "json")
    assert result.exit_code == 0
    assert "lower decode_batch" in _findings(result)["memory"]["what"]


def test_a_missing_program_is_said_with_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    found = {one.name: one for one in programs()}
    assert found["git"].state == "missing" and "apt-get install git" in found["git"].what
    assert found["ffmpeg"].state == "missing" and "apt-get install ffmpeg" in found["ffmpeg"].what


def test_a_wrong_device_is_one_clear_error(doctor):
    result = doctor({"model.device": "cuda:99"})
    assert result.exit_code != 0
    assert "model.device" in str(result.exception) and "cuda:99" in str(result.exception)


@pytest.mark.parametrize("name", ["data/base", "openai/whisper-tiny", "distil-whisper/distil-large-v3"])
def test_parameters_are_counted_exactly(base_folder, name):
    if name == "data/base":
        config = AutoConfig.from_pretrained(base_folder)
        shape = shape_of(json.loads((base_folder / "config.json").read_text()))
    else:
        shape = RELEASED[name]
        config = WhisperConfig(
            vocab_size=shape.vocabulary, num_mel_bins=shape.mels, d_model=shape.width,
            encoder_layers=shape.encoder_layers, decoder_layers=shape.decoder_layers,
            encoder_attention_heads=shape.heads, decoder_attention_heads=shape.heads,
            encoder_ffn_dim=shape.feed_forward, decoder_ffn_dim=shape.feed_forward,
        )  # fmt: skip
    with torch.device("meta"):
        model = WhisperForConditionalGeneration(config)
        assert sum(p.numel() for p in model.parameters()) == shape.parameters
        adapted = get_peft_model(model, LoraConfig(r=16, target_modules=MODULES))
    trained = sum(p.numel() for p in adapted.parameters() if p.requires_grad)
    assert trained == shape.adapter_parameters(16, MODULES)


def test_estimates_fall_with_what_saves_memory():
    shape, train = RELEASED["openai/whisper-large-v3"], load_params().focus
    saving = train.model_copy(update={"gradient_checkpointing": True})
    plain = estimate_training(shape, train, 8, 500, 60, 4, eager=True)
    sdpa = estimate_training(shape, train, 8, 500, 60, 4, eager=False)
    half = estimate_training(shape, train, 8, 500, 60, 2, eager=False)
    least = estimate_training(shape, saving, 8, 500, 60, 2, eager=False)
    assert plain.total > sdpa.total > half.total > least.total > least.weights + least.adapter
    assert half.weights == 2 * shape.parameters and half.adapter == plain.adapter
    long, short = (estimate_labelling(shape, 8, n, 60, 2, eager=False) for n in (1500, 300))
    assert long.cache > short.cache and long.weights == short.weights
