"""Exported models: the same weights and texts as the lineage, loading as their cards say, never half done."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import re
import shutil
import sys

import polars as pl
import pytest
import soundfile
import torch
import yaml
from typer.testing import CliRunner

from ilt import paths
from ilt.asr.lineage import AdapterLink, Lineage, base_lineage, merge_adapters, read_lineage
from ilt.cli import app
from ilt.corpus.intake import INTAKE_TABLE
from ilt.corpus.table import UTTERANCE_TABLE
from ilt.errors import IltError
from ilt.params import RecogniserParams
from ilt.tools.export.combine import combine, truncate, write_adapter
from ilt.tools.export.decoding import decode_exported, decode_with_pipeline
from ilt.tools.export.options import ExportOptions
from ilt.tools.export.parity import measure
from ilt.tools.export.source import Source, base_config
from ilt.tools.export.write import write_form

NEEDS_EXPORT = "the extra `export` is not installed"


@pytest.fixture(scope="module")
def base_model(load_model):
    return load_model().model


@pytest.fixture(scope="module")
def chain(base_folder, base_model, tmp_path_factory):
    """The root of a repository with a lineage of three adapters: other ranks, alphas and modules in each."""
    from peft import LoraConfig, get_peft_model

    root = tmp_path_factory.mktemp("chain")
    (root / "data" / "models").mkdir(parents=True)
    (root / "data" / "models" / "demo-whisper").symlink_to(base_folder.resolve())
    shapes = (
        ("focus", 4, 8.0, ["q_proj", "v_proj", "fc1"]),
        ("feedback", 6, 3.0, ["k_proj", "out_proj", "fc1", "fc2"]),
        ("fix", 2, 4.0, r"model\.decoder\.layers\.1\..*(q_proj|fc1)"),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        lineage = base_lineage("data/models/demo-whisper", None)
        for number, (stage, rank, alpha, modules) in enumerate(shapes):
            torch.manual_seed(number)
            config = LoraConfig(r=rank, lora_alpha=alpha, target_modules=modules)
            peft_model = get_peft_model(copy.deepcopy(base_model), config)
            for name, parameter in peft_model.named_parameters():
                if "lora_B" in name:
                    torch.nn.init.normal_(parameter, std=0.6)
            folder = paths.adapter("it1", stage)
            peft_model.save_pretrained(str(folder))
            lineage = lineage.with_adapter(folder)
        lineage.write(paths.lineage("it1"))
        base_lineage("data/models/demo-whisper", None).write(paths.lineage("base"))
    return root


def _write_utterances(table):
    """The utterance table and what takes part in it1, which is all of it."""
    UTTERANCE_TABLE.write(table, paths.UTTERANCES)
    paths.intake("it1").parent.mkdir(parents=True, exist_ok=True)
    INTAKE_TABLE.write(INTAKE_TABLE.conform(table.drop("audio")), paths.intake("it1"))


@pytest.fixture(scope="module")
def repository(chain, spoken_table, write_params):
    """The chain with what an export reads beside: utterances, label tables, an evaluation, parameters."""
    write_params(chain, {"model.decode_batch": 4})
    gain = {"micro": 0.2, "low": 0.1, "high": 0.3}
    rates = {"micro": 0.25, "macro": 0.3}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(chain)
        paths.CORPUS.mkdir(parents=True, exist_ok=True)
        _write_utterances(spoken_table.with_columns(split=pl.lit("dev")))
        for name in ("selected", "corrected"):
            paths.labels("it1", name).parent.mkdir(parents=True, exist_ok=True)
            spoken_table.select("id", "text").write_parquet(paths.labels("it1", name))
        figures = {"test": rates, "dev": rates, "retention": {"micro": None, "macro": None}, "gain": gain}
        paths.write_json(paths.evaluation("it1"), figures)
        audio = spoken_table["audio"].struct.field("bytes")[0]
        (chain / "speech.flac").write_bytes(audio)
        samples, rate = soundfile.read(chain / "speech.flac")
        soundfile.write(chain / "speech.wav", samples, rate)
    return chain


@pytest.fixture
def within(repository, monkeypatch):
    monkeypatch.chdir(repository)
    return repository


def _export(*options):
    return CliRunner().invoke(app, ["export", *options], catch_exceptions=False)


def _exported(form, folder, *more):
    done = _export("it1", "--to", form, "--output", str(folder), "--license", "cc-by-4.0", *more)
    assert done.exit_code == 0, done.output
    return done.output


def _weights_with_adapter(base_model, folder):
    from peft import PeftModel

    return PeftModel.from_pretrained(copy.deepcopy(base_model), str(folder)).merge_and_unload().state_dict()


def _difference(weights, others):
    """Frobenius norm of the difference of two sets of weights."""
    return sum(float((weights[name] - others[name]).double().square().sum()) for name in weights) ** 0.5


@pytest.fixture(scope="module")
def merged_weights(base_model, chain):
    """The weights as a stage has them: each adapter merged before the next."""
    model = copy.deepcopy(base_model)
    for stage in ("focus", "feedback", "fix"):
        merge_adapters(model, [chain / paths.adapter("it1", stage)])
    return model.state_dict()


def test_one_adapter_is_the_whole_lineage(base_model, chain, merged_weights, tmp_path, monkeypatch):
    monkeypatch.chdir(chain)
    lineage = read_lineage(paths.lineage("it1"))
    whole = combine(lineage)
    write_adapter(whole, lineage, tmp_path)
    weights = _weights_with_adapter(base_model, tmp_path)
    assert set(weights) == set(merged_weights)
    for name, weight in merged_weights.items():
        torch.testing.assert_close(weights[name], weight, atol=1e-5, rtol=0)
    assert _difference(merged_weights, base_model.state_dict()) > 1
    ranks = whole.ranks
    assert ranks["model.encoder.layers.0.fc1"] == 10
    assert ranks["model.decoder.layers.1.fc1"] == 12
    assert ranks["model.encoder.layers.0.fc2"] == 6


def test_a_cut_adapter_is_the_nearest_one_and_says_what_it_lacks(
    base_model, chain, merged_weights, tmp_path, monkeypatch
):
    monkeypatch.chdir(chain)
    lineage = read_lineage(paths.lineage("it1"))
    whole = combine(lineage)
    assert truncate(whole, 12).error == pytest.approx(0, abs=1e-6)
    before = base_model.state_dict()
    errors = []
    for rank in (8, 3):
        cut = truncate(whole, rank)
        write_adapter(cut, lineage, tmp_path / str(rank))
        weights = _weights_with_adapter(base_model, tmp_path / str(rank))
        true = _difference(weights, merged_weights) / _difference(merged_weights, before)
        assert cut.error == pytest.approx(true, rel=1e-3)
        errors.append(cut.error)
        assert max(cut.ranks.values()) <= rank
        # The best that any adapter of this rank can do, from the singular values of the update in full.
        name = "model.decoder.layers.1.fc1"
        values = torch.linalg.svdvals((merged_weights[f"{name}.weight"] - before[f"{name}.weight"]).double())
        lacking = (merged_weights[f"{name}.weight"] - weights[f"{name}.weight"]).double().norm()
        assert float(lacking) == pytest.approx(float(values[rank:].square().sum().sqrt()), rel=1e-2)
    assert 0 < errors[0] < errors[1] < 1


@pytest.mark.usefixtures("within")
def test_no_adapter_for_the_base_itself():
    with pytest.raises(IltError, match="without adapters"):
        combine(base_lineage("data/models/demo-whisper", None))


def test_other_families_have_one_adapter_too(tmp_path):
    """Of a Qwen2-Audio, where q_proj is adapted in the language model and not in the audio tower."""
    from peft import LoraConfig, PeftModel, get_peft_model
    from transformers import Qwen2AudioConfig, Qwen2AudioForConditionalGeneration

    torch.manual_seed(0)
    audio = {"d_model": 16, "encoder_layers": 1, "encoder_attention_heads": 2, "encoder_ffn_dim": 32}
    text = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = Qwen2AudioConfig(
        audio_config=audio,
        text_config={"model_type": "qwen2", "vocab_size": 50, "num_key_value_heads": 2, **text},
    )
    model = Qwen2AudioForConditionalGeneration(config)
    merged, links = copy.deepcopy(model), []
    for number, modules in enumerate((r".*language_model.*\.q_proj", r".*(language_model.*\.q_proj|fc1)")):
        lora = LoraConfig(r=2 + number, lora_alpha=4, target_modules=modules)
        peft_model = get_peft_model(copy.deepcopy(model), lora)
        for name, parameter in peft_model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter)
        folder = tmp_path / str(number)
        peft_model.save_pretrained(str(folder))
        merge_adapters(merged, [folder])
        links.append(AdapterLink(str(folder), ""))
    lineage = Lineage("qwen", "main", None, tuple(links))
    write_adapter(combine(lineage), lineage, tmp_path / "all")
    weights = PeftModel.from_pretrained(model, str(tmp_path / "all")).merge_and_unload().state_dict()
    for name, weight in merged.state_dict().items():
        torch.testing.assert_close(weights[name], weight, atol=1e-5, rtol=0)


def _snippet(folder):
    return re.search(r"```python\n(.*?)```", (folder / "README.md").read_text(encoding="utf-8"), re.DOTALL)[1]


def _run_snippet(folder):
    """What the code of a model card prints, run where the folder and speech.wav lie."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(_snippet(folder), "README.md", "exec"), {"__name__": "card"})
    return printed.getvalue().strip()


@pytest.mark.parametrize("form", ["merged", "adapter", "ctranslate2"])
def test_each_form_is_checked_documented_and_loads_as_its_card_says(within, form):
    if form == "ctranslate2":
        pytest.importorskip("faster_whisper", reason=NEEDS_EXPORT)
    folder = within / f"it1-{form}"
    shown = _exported(form, f"it1-{form}", "--tolerance", "1000", "--rows", "4")
    record = json.loads((folder / "ilt_export.json").read_text(encoding="utf-8"))
    assert f"{100 * record['parity']['identical']:.1f} % of 4 dev texts identical" in shown
    card = (folder / "README.md").read_text(encoding="utf-8")
    if form == "adapter":
        assert record["parity"]["identical"] == 1
    # Only of an adapter: its card's code is not what dev was decoded with.
    assert ("not by the code above" in card) == (form == "adapter")
    assert ("audio_context: full" in card) == (form == "adapter")
    head = yaml.safe_load(card.split("---\n")[1])
    assert head["base_model"] == "data/models/demo-whisper"
    assert head["language"] == ["de", "en", "es"]
    assert head["license"] == "cc-by-4.0"
    assert head["pipeline_tag"] == "automatic-speech-recognition"
    assert head["library_name"] == {"merged": "transformers", "adapter": "peft"}.get(form, form)
    assert head["model-index"][0]["results"][0]["metrics"][0]["value"] == 25.0
    lineage = read_lineage(paths.lineage("it1"))
    for fact in (lineage.hash, lineage.content, record["data"]["data"], "[+10.0, +30.0]"):
        assert fact in card
    assert all(link.hash in card for link in lineage.adapters)
    assert _run_snippet(folder)
    assert not list(within.glob(".*tmp*"))


def test_a_merged_folder_is_a_model_like_any_other(within, merged_weights, load_model):
    """Its weights are those of the lineage, and `ilt transcribe` takes it as it takes the iteration."""
    folder = within / "again"
    _exported("merged", folder, "--tolerance", "1000", "--rows", "1")
    weights = load_model(lineage=base_lineage(str(folder), None)).model.state_dict()
    for name, weight in merged_weights.items():
        torch.testing.assert_close(weights[name], weight, atol=1e-6, rtol=0)
    texts = [
        CliRunner().invoke(app, ["transcribe", "speech.wav", "--language", "en", *chosen]).stdout
        for chosen in (["--iteration", "it1"], ["--model", str(folder)])
    ]
    assert texts[0]
    assert texts[0] == texts[1]


@pytest.mark.parametrize("form", ["merged", "adapter", "ctranslate2"])
def test_a_language_that_is_taken_for_another_is_exported_and_transcribed(
    repository, tmp_path, monkeypatch, write_params, form
):
    if form == "ctranslate2":
        pytest.importorskip("faster_whisper", reason=NEEDS_EXPORT)
    root = shutil.copytree(repository, tmp_path / "root", symlinks=True)
    monkeypatch.chdir(root)
    english = UTTERANCE_TABLE.read(paths.UTTERANCES).filter(pl.col("language") == "en")
    _write_utterances(english.with_columns(language=pl.lit("pcm")))
    write_params(root, {"languages": {"pcm": {"as": "en"}}})
    _exported(form, "out", "--tolerance", "1000")
    assert "pcm is decoded as en" in (root / "out" / "README.md").read_text(encoding="utf-8")
    assert '"en"' in _snippet(root / "out")
    assert _run_snippet(root / "out")
    if form != "merged":
        return
    for chosen in (["--iteration", "it1"], ["--model", "out"]):
        texts = [
            CliRunner().invoke(app, ["transcribe", "speech.wav", "--language", code, *chosen]).stdout
            for code in ("pcm", "en")
        ]
        assert texts[0] and texts[0] == texts[1]
    monkeypatch.chdir(tmp_path)  # where nothing says what stands for what
    with pytest.raises(IltError, match="does not know the language 'pcm'"):
        CliRunner().invoke(
            app, ["transcribe", "root/speech.wav", "--language", "pcm", "--model", "root/out"],
            catch_exceptions=False,
        )  # fmt: skip


def test_the_base_in_ctranslate2_says_what_the_base_says(within, spoken_table):
    """The demo's base has a vocabulary and a context of its own, which faster-whisper knows nothing of."""
    pytest.importorskip("faster_whisper", reason=NEEDS_EXPORT)
    lineage = base_lineage("data/models/demo-whisper", None)
    model = RecogniserParams(id="data/models/demo-whisper", decode_batch=1)
    source = Source("base", lineage, *base_config(lineage), model, spoken_table, ["de", "en", "es"])
    folder = within / "base-int8"
    write_form(ExportOptions("ctranslate2", folder, quantization="int8"), source, folder)
    ours = decode_with_pipeline(lineage, spoken_table, model, "pipeline")
    theirs = decode_exported("ctranslate2", folder, source)
    parity = measure(spoken_table, ours, theirs, "basic")
    assert parity.pipeline < 0.2  # it does know these voices
    assert parity.identical >= 5 / 6
    from faster_whisper import WhisperModel

    assert WhisperModel(str(folder)).model.is_multilingual


def test_over_the_tolerance_nothing_is_written(within, spoken_table, monkeypatch):
    """A rank of 1 loses what the adapters do. The references are the texts of the model itself."""
    model = RecogniserParams(id="data/models/demo-whisper")
    texts = decode_with_pipeline(read_lineage(paths.lineage("it1")), spoken_table, model, "pipeline")
    assert texts != spoken_table["text"].to_list()
    monkeypatch.setattr(paths, "UTTERANCES", paths.CORPUS / "own.parquet")
    own = spoken_table.with_columns(split=pl.lit("dev"), text=pl.Series(texts))
    monkeypatch.setattr(paths, "intake", lambda _: paths.CORPUS / "own.intake.parquet")
    _write_utterances(own)
    done = _export("it1", "--to", "adapter", "--rank", "1", "--output", "cut")
    assert done.exit_code == 1
    assert "--tolerance is 0.5 points. Nothing was written." in done.output
    assert not (within / "cut").exists()
    assert not list(within.glob(".cut*"))


def test_what_is_there_is_not_overwritten(within):
    (within / "mine").mkdir()
    (within / "mine" / "notes.txt").write_text("keep")
    for more, message in (([], "say --force"), (["--force"], "does not delete other folders")):
        with pytest.raises(IltError, match=message):
            _export("it1", "--to", "adapter", "--output", "mine", *more)
    assert (within / "mine" / "notes.txt").is_file()
    _exported("adapter", within / "twice", "--rows", "1")
    with pytest.raises(IltError, match="say --force"):
        _export("it1", "--to", "adapter", "--output", "twice")
    _exported("adapter", within / "twice", "--rows", "1", "--rank", "12", "--tolerance", "1000", "--force")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["it9", "--to", "merged"], r"no model of 'it9'.*base, it1"),
        (["it1", "--to", "onnx"], "merged, adapter, ctranslate2"),
        (["it1", "--to", "merged", "--rank", "4"], "--rank is for --to adapter"),
        (["it1", "--to", "adapter", "--rank", "0"], "1 or more"),
        (["it1", "--to", "ctranslate2", "--quantization", "int4"], "float32, float16, int8"),
        (["it1", "--to", "merged", "--tolerance", "-1"], "0 or more points"),
        (["base", "--to", "merged"], "nothing was measured of base"),
        (["it1", "--to", "merged", "--output", "params.yaml/x/y"], "params.yaml is a file, and nothing lies"),
        (["it1", "--to", "merged", "--output", "params.yaml"], "params.yaml is a file; name a folder"),
    ],
)
def test_what_cannot_be_is_one_clear_error(within, options, message):
    with pytest.raises(IltError, match=message):
        _export("--output", "never", *options)
    assert not (within / "never").exists()


@pytest.mark.usefixtures("within")
def test_a_missing_extra_is_named_with_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "faster_whisper", None)
    with pytest.raises(
        IltError,
        match=r"needs faster_whisper, which is not installed; in the clone, "
        r"\.venv/bin/python -m pip install -c constraints\.txt -e '\.\[export\]'",
    ):
        _export("it1", "--to", "ctranslate2", "--output", "never")


@pytest.mark.usefixtures("within")
def test_a_missing_table_is_named(monkeypatch):
    monkeypatch.setattr(paths, "UTTERANCES", paths.CORPUS / "gone.parquet")
    with pytest.raises(IltError, match=r"gone.parquet is missing.*dvc pull"):
        _export("it1", "--to", "adapter", "--output", "never")


@pytest.mark.usefixtures("within")
def test_a_family_without_the_form_is_refused(tmp_path):
    """A Qwen2-Audio has no place in faster-whisper; nothing is loaded to say so."""
    from transformers import Qwen2AudioConfig

    (tmp_path / "qwen").mkdir()
    Qwen2AudioConfig().save_pretrained(str(tmp_path / "qwen"))
    (tmp_path / "qwen" / "model.safetensors").write_bytes(b"")
    base_lineage(str(tmp_path / "qwen"), None).write(paths.lineage("other"))
    with pytest.raises(IltError, match=r"no such form of a qwen2_audio model.*--to merged and --to adapter"):
        _export("other", "--to", "ctranslate2", "--output", "never")
