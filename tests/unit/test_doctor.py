"""`ilt doctor`: what it says of this machine, of models that cannot run, and whether its estimates hold."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from types import SimpleNamespace

import polars as pl
import psutil
import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import (
    AutoConfig,
    Qwen2AudioConfig,
    Qwen2AudioForConditionalGeneration,
    Qwen2Config,
    WhisperForConditionalGeneration,
)
from typer.testing import CliRunner

from ilt import paths
from ilt.asr.families import load_recogniser
from ilt.asr.lineage import Lineage
from ilt.asr.qwen2_audio.recogniser import Qwen2AudioRecogniser
from ilt.cli import app
from ilt.demo.recipes.qwen2_audio import Qwen2AudioRecipe, build_model, build_processor
from ilt.errors import IltError
from ilt.params import LoraParams, ModelInfo, RecogniserParams, Resolved, TrainParams, load_params
from ilt.stages import corpus
from ilt.stages._stage import Run
from ilt.stages.plan import write_plan
from ilt.tools.doctor.checks import programs
from ilt.tools.doctor.machine import GIB
from ilt.tools.doctor.memory import Batch, estimate_labelling, estimate_loading, estimate_training
from ilt.tools.doctor.plan import plan_for_machine
from ilt.tools.doctor.shape import RELEASED, released_shape, shape_of
from small_whisper import CHECKPOINTS, build

MODULES = ["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"]
SWIGLU = ["o_proj", "gate_proj", "up_proj", "down_proj"]
QWEN2_AUDIO = "Qwen/Qwen2-Audio-7B-Instruct"

INSTRUCT = {
    "model_type": "qwen2_audio",
    "audio_config": {
        "model_type": "qwen2_audio_encoder", "num_mel_bins": 128, "encoder_layers": 32,
        "encoder_attention_heads": 20, "encoder_ffn_dim": 5120, "d_model": 1280, "max_source_positions": 1500,
    },
    "audio_token_index": 151646,
    "text_config": {
        "model_type": "qwen2", "intermediate_size": 11008, "max_position_embeddings": 8192,
        "torch_dtype": "bfloat16", "use_mrope": False, "vocab_size": 156032,
    },
    "vocab_size": 156032,
}  # fmt: skip
"""What config.json of the released Qwen2-Audio-7B-Instruct says of shapes: less than there is to know."""


@pytest.fixture
def doctor(tmp_path, monkeypatch, write_params, base_folder):
    """A function that runs `ilt doctor` in a folder of its own, with changed parameters."""

    def run(changes=(), *options):
        write_params(tmp_path, {"model.id": str(base_folder)} | dict(changes))
        monkeypatch.chdir(tmp_path)
        return CliRunner().invoke(app, ["doctor", *options])

    return run


def _findings(result):
    return {one["name"]: one for one in json.loads(result.stdout)["findings"]}


def test_the_default_can_run_here_and_everything_has_a_line(doctor):
    result = doctor()
    assert result.exit_code == 0, result.output
    for what in ("machine: cpu", "languages: de, en, es, fr, ko", "git:", "libsndfile:", "openai/whisper-large-v3"):
        assert what in result.output
    findings = _findings(doctor((), "--format", "json"))
    assert {findings[name]["state"] for name in ("model", "languages")} == {"ok"}


def test_a_language_that_cannot_be_had_is_broken_and_a_mapped_one_is_said(doctor, tmp_path):
    english = str(build(tmp_path / "english", CHECKPOINTS["tiny.en to medium.en"]))
    model = {"model.id": english, "corpus.demo.languages": ["de", "en"]}
    result = doctor(model)
    assert result.exit_code == 1
    assert "does not know the language 'de'; it has English alone" in result.output
    assert "languages.de.as" in result.output
    mapped = doctor(model | {"languages": {"de": {"as": "en"}}})
    assert mapped.exit_code == 0
    assert "de decoded as en" in mapped.output


def test_the_languages_of_another_corpus_are_not_asked_for(doctor, tmp_path):
    english = str(build(tmp_path / "english", CHECKPOINTS["tiny.en to medium.en"]))
    mine = {"corpus.source": "manifest", "corpus.manifest": "mine.jsonl", "model.id": english}
    doctor(mine)  # which writes params.yaml
    write_plan()
    paths.UTTERANCES.parent.mkdir(parents=True)
    pl.DataFrame({"language": ["de", "en"]}).write_parquet(paths.UTTERANCES)
    result = doctor(mine)
    assert result.exit_code == 1 and "does not know the language 'de'" in result.output
    other = doctor(mine | {"corpus.manifest": "other.jsonl"})
    assert other.exit_code == 0, other.output
    assert "`ilt validate` checks those of the corpus" in other.output.replace("\n", " ")


def test_a_model_that_is_not_there_is_broken(doctor, tmp_path):
    result = doctor({"model.id": "openai/whisper-large-v3"}, "--format", "json")
    assert result.exit_code == 1
    assert "hf download openai/whisper-large-v3" in _findings(result)["model"]["what"]
    (own,) = [one for one in json.loads(result.stdout)["verdicts"] if one["model"] == "openai/whisper-large-v3"]
    assert own["parameters"] == 1543490560  # estimated all the same
    (tmp_path / "empty").mkdir()
    result = doctor({"model.id": str(tmp_path / "empty")})
    assert result.exit_code == 1 and "no config.json with *.safetensors" in result.output


def _run_corpus(params):
    """The stage `corpus`, as if `plan` had not noticed what is wrong with the model."""
    plan = corpus.resolve(Resolved(params, ModelInfo("whisper", None)), "base")
    corpus.body(Run(corpus.STAGE, "base", plan, ""))


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
                _run_corpus(load_params())
            if name == "config.json":
                with pytest.raises(IltError, match=re.escape(message)):
                    load_recogniser(Lineage(where, None, None), RecogniserParams(id=where))
        shutil.copy(base_folder / name, broken / name)


def test_a_model_that_is_too_large_for_the_machine_is_broken(doctor, base_folder, tmp_path):
    folder = shutil.copytree(base_folder, tmp_path / "huge")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"d_model": 192 * 2**9}))
    result = doctor({"model.id": str(folder)})
    assert result.exit_code == 1 and "does not fit, not even one utterance at a time" in result.output


def test_batches_that_are_too_large_are_only_a_hint(doctor):
    result = doctor({"model.decode_batch": 65_536}, "--format", "json")
    assert result.exit_code == 0
    assert "lower decode_batch" in _findings(result)["memory"]["what"]


def test_a_missing_program_is_said_with_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    findings = {finding.name: finding for finding in programs()}
    assert findings["git"].state == "missing" and "apt-get install git" in findings["git"].what


def test_a_wrong_device_is_one_clear_error(doctor, monkeypatch):
    monkeypatch.setenv("ILT_DEVICE", "cuda:99")
    result = doctor()
    assert result.exit_code != 0
    assert "ILT_DEVICE='cuda:99'" in str(result.exception)


def _counted(model, lora):
    """Weights of a model on the meta device, and of a LoRA on it, as training puts it on."""
    every = sum(p.numel() for p in model.parameters())
    prefix = {"whisper": "model.encoder.", "qwen2_audio": Qwen2AudioRecogniser.encoder_prefix}
    encoder = prefix[model.config.model_type]
    targets = [
        name
        for name, part in model.named_modules()
        if isinstance(part, torch.nn.Linear)
        and name.rpartition(".")[2] in lora.target_modules
        and (lora.encoder or not name.startswith(encoder))
    ]
    adapted = get_peft_model(model, LoraConfig(r=lora.r, target_modules=targets))
    return every, sum(p.numel() for p in adapted.parameters() if p.requires_grad)


@pytest.mark.parametrize("encoder", [True, False])
@pytest.mark.parametrize("name", ["data/models/demo-whisper", "openai/whisper-tiny", "distil-whisper/distil-large-v3"])
def test_parameters_are_counted_exactly(base_folder, name, encoder):
    """Beside the class on the CPU or the meta device, and PEFT's own LoRA on it."""
    if name == "data/models/demo-whisper":
        values = json.loads((base_folder / "config.json").read_text())
    else:
        values = RELEASED[name]
    shape = shape_of(values, name)
    lora = LoraParams(r=16, target_modules=[*MODULES, *SWIGLU], encoder=encoder)
    with torch.device("meta"):
        counted = _counted(WhisperForConditionalGeneration(AutoConfig.for_model(**values)), lora)
    assert counted == (shape.parameters, shape.adapter_parameters(lora))


@pytest.mark.parametrize(
    ("name", "millions"),
    [("tiny", 37.76), ("base", 72.59), ("small", 241.73), ("medium", 763.86), ("large-v3", 1543.49)],
)
def test_released_sizes_are_those_of_the_checkpoints(name, millions):
    shape = released_shape(f"openai/whisper-{name}")
    assert round(shape.parameters / 1e6, 2) == millions


GROUPED = Qwen2AudioConfig(
    audio_config={"d_model": 64, "encoder_layers": 2, "encoder_ffn_dim": 96, "encoder_attention_heads": 4},
    text_config=Qwen2Config(
        vocab_size=300, hidden_size=96, intermediate_size=160, num_hidden_layers=3, num_attention_heads=6,
        num_key_value_heads=2, tie_word_embeddings=True,
    ),
    tie_word_embeddings=True,
).to_dict()  # fmt: skip


@pytest.mark.parametrize("modules", [[*MODULES, *SWIGLU], ["v_proj", "fc1"], ["linear", "lm_head", "k_proj"]])
@pytest.mark.parametrize("encoder", [True, False])
@pytest.mark.parametrize("values", [INSTRUCT, GROUPED], ids=["released", "grouped"])
def test_parameters_of_qwen2_audio_are_counted_exactly(values, encoder, modules):
    shape, lora = shape_of(values, "qwen"), LoraParams(r=4, target_modules=modules, encoder=encoder)
    with torch.device("meta"):
        model = Qwen2AudioForConditionalGeneration(AutoConfig.for_model(**values))
        assert _counted(model, lora) == (shape.parameters, shape.adapter_parameters(lora))


def test_the_released_qwen2_audio_is_known_without_its_files():
    real, known = shape_of(INSTRUCT, QWEN2_AUDIO), released_shape(QWEN2_AUDIO)
    assert RELEASED[QWEN2_AUDIO] == RELEASED["Qwen/Qwen2-Audio-7B"]
    assert real.parameters == known.parameters == 8_397_094_912
    assert (real.positions, real.tokens, real.mels, real.stored) == (1500, 448, 128, "bfloat16")
    assert (known.positions, known.tokens, known.mels, known.stored) == (1500, 448, 128, "bfloat16")


def test_what_is_stored_as_it_is_used_needs_no_float32_to_load():
    qwen, whisper = released_shape(QWEN2_AUDIO), released_shape("openai/whisper-large-v3")
    assert estimate_loading(qwen, "bfloat16", 2) == 2 * qwen.parameters
    assert estimate_loading(qwen, "float32", 4) == 4 * qwen.parameters
    assert estimate_loading(whisper, "bfloat16", 2) == 4 * whisper.parameters


def test_qwen2_audio_has_a_row_that_says_what_is_lacking(doctor, tmp_path):
    huge = INSTRUCT | {"text_config": INSTRUCT["text_config"] | {"hidden_size": 2**20}}
    (tmp_path / "huge").mkdir()
    (tmp_path / "huge" / "config.json").write_text(json.dumps(huge))
    result = doctor({"model.id": str(tmp_path / "huge")})
    assert result.exit_code == 1
    assert re.search(r"not even one utterance at a time: \d+\.\d GiB of memory are needed", result.output)
    rows = [line for line in result.output.splitlines() if "│" in line]
    assert "no: memory" in rows[0]
    assert any(QWEN2_AUDIO in row and "8397.1 M" in row for row in rows)


def test_a_qwen2_audio_on_disk_is_estimated(doctor, tmp_path, base_folder):
    recipe = Qwen2AudioRecipe(encoder=str(base_folder))
    processor = build_processor(recipe)
    build_model(recipe, processor).save_pretrained(tmp_path / "small")
    processor.save_pretrained(tmp_path / "small")
    result = doctor({"model.id": str(tmp_path / "small")}, "--format", "json")
    assert result.exit_code == 0, result.output
    own = json.loads(result.stdout)["verdicts"][0]
    assert own["parameters"] == 4_508_928 and own["fits"] == "yes" and own["lacks"] == []


@pytest.mark.parametrize("name", ["openai/whisper-large-v3", QWEN2_AUDIO])
def test_estimates_fall_with_what_saves_memory(name):
    shape, train = released_shape(name), TrainParams(steps=1)
    saving = train.model_copy(update={"gradient_checkpointing": True})
    frozen = train.model_copy(update={"lora": train.lora.model_copy(update={"encoder": False})})
    batch = Batch(8, 500, 60, 300 if shape.prompted else 0)
    plain = estimate_training(shape, train, batch, 4, eager=True)
    sdpa = estimate_training(shape, train, batch, 4, eager=False)
    half = estimate_training(shape, train, batch, 2, eager=False)
    least = estimate_training(shape, saving, batch, 2, eager=False)
    assert plain.total > sdpa.total > half.total > least.total > least.weights + least.adapter
    assert half.weights == 2 * shape.parameters and half.adapter == plain.adapter
    frozen_encoder = estimate_training(shape, frozen, batch, 2, eager=False)
    assert frozen_encoder.adapter < half.adapter and frozen_encoder.activations < half.activations
    whole = estimate_training(shape, train, batch, 2, eager=False, full=True)
    assert whole.adapter == 8 * shape.parameters > half.adapter
    assert whole.activations <= half.activations  # no copies of inputs for a LoRA
    beams = estimate_labelling(shape, batch, 2, eager=False, beams=4)
    assert beams.cache == 4 * estimate_labelling(shape, batch, 2, eager=False).cache
    longer = replace(batch, positions=1500, prompt=2 * batch.prompt)
    long, short = (estimate_labelling(shape, one, 2, eager=False) for one in (longer, batch))
    assert long.cache > short.cache and long.weights == short.weights


def test_a_family_that_is_not_supported_is_broken(doctor, tmp_path, base_folder):
    folder = shutil.copytree(base_folder, tmp_path / "other")
    config = json.loads((folder / "config.json").read_text()) | {"model_type": "wav2vec2"}
    (folder / "config.json").write_text(json.dumps(config))
    result = doctor({"model.id": str(folder)})
    assert result.exit_code == 1
    assert "is a 'wav2vec2' model; supported: qwen2_audio, whisper" in result.output


def test_numbers_that_make_no_model_are_one_clear_error(doctor, tmp_path, base_folder):
    folder = shutil.copytree(base_folder, tmp_path / "odd")
    config = json.loads((folder / "config.json").read_text())
    for change in ({"d_model": 7}, {"encoder_layers": 0}, {"decoder_attention_heads": 0}):
        (folder / "config.json").write_text(json.dumps(config | change))
        result = doctor({"model.id": str(folder)})
        assert result.exit_code == 1 and "no model can be built from config.json" in result.output


@pytest.mark.parametrize(
    ("targets", "message"),
    [(["qkv"], "has no linear layer of such a name"), (["q_proj", "proj_out"], "shares its weight with another")],
)
def test_target_modules_that_cannot_be_adapted_are_broken(doctor, targets, message):
    result = doctor({"train.lora.target_modules": targets}, "--format", "json")
    assert result.exit_code == 1
    assert message in _findings(result)["adapter"]["what"]


@pytest.fixture
def memory_of(monkeypatch):
    """A function that makes the machine one with so many GiB of free memory."""

    def set_memory(gib):
        monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=int(gib * GIB)))

    return set_memory


def test_a_plan_takes_the_fastest_settings_that_fit(memory_of, base_folder):
    memory_of(64)
    plan = plan_for_machine(str(base_folder), None, 6.0)
    assert (plan.batch_size, plan.gradient_accumulation, plan.decode_batch, plan.dtype) == (8, 1, 16, "auto")
    assert plan.fits and not plan.gradient_checkpointing
    assert "a batch of 8 takes" in plan.reason and "64.0 GiB free" in plan.reason
    plans = []
    for gib in (64, 18, 14, 11, 2):
        memory_of(gib)
        plans.append(plan_for_machine("openai/whisper-large-v3", None, 30.0))
    roomy, tight, tighter, half, none = plans
    assert roomy.fits and roomy.gradient_checkpointing and roomy.batch_size == 8
    assert tight.batch_size > tighter.batch_size >= 1 and tight.dtype == "auto"
    assert half.fits and half.dtype == "bfloat16"
    assert not none.fits and "even for one utterance at a time" in none.reason
    assert all(plan.batch_size * plan.gradient_accumulation == 8 for plan in plans)


def test_a_plan_for_an_unknown_model_has_the_usual_settings():
    plan = plan_for_machine("nobody/nothing", None, 30.0)
    assert plan.fits and "cannot be estimated" in plan.reason
