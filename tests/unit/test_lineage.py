"""Lineages: adapters merge as PEFT merges them, and files that are not what they should be are refused."""

from __future__ import annotations

import copy
import os
import shutil
import subprocess
import sys

import pytest
import torch

from ilt.asr.families import load_recogniser
from ilt.asr.lineage import AdapterLink, Lineage, adapter_hash, base_lineage, merge_adapters, read_lineage
from ilt.errors import IltError
from ilt.params import RecogniserParams

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def base_model(load_model):
    return load_model().model


def test_a_branch_of_a_hub_model_is_followed_to_its_commit(base_folder, tmp_path):
    """As the hub's cache holds a model; so a branch that moves on does not change what is built on it."""
    folder = tmp_path / "models--me--small"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(COMMIT)
    shutil.copytree(base_folder, folder / "snapshots" / COMMIT)
    # In a process of its own, since the hub's client reads the environment when it is imported.
    code = """
from ilt.asr.families import load_recogniser
from ilt.asr.lineage import base_lineage
from ilt.errors import IltError
from ilt.params import RecogniserParams
lineage = base_lineage("me/small", None)
print(lineage.revision, base_lineage("me/small", "main").revision)
print(load_recogniser(lineage, RecogniserParams(id="me/small")).lineage.hash == lineage.hash)
for name, revision in (("me/small", "v1"), ("me/other", None)):
    try:
        base_lineage(name, revision)
    except IltError as error:
        print(error)
"""
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    commits, loaded, tag, other = done.stdout.splitlines()
    assert (commits, loaded) == (f"{COMMIT} {COMMIT}", "True")
    assert "'me/small' at 'v1'" in tag and "'me/other' at 'main'" in other
    for message in (tag, other):
        assert message.startswith("model.revision: ")
        assert "model.revision=COMMIT" in message and "model.id=FOLDER" in message


def test_a_commit_needs_no_hub():
    assert base_lineage("me/small", COMMIT).revision == COMMIT


def test_a_misspelt_folder_is_not_taken_for_a_hub_model(tmp_path):
    with pytest.raises(IltError, match="no such folder"):
        base_lineage(str(tmp_path / "base"), None)


@pytest.fixture(scope="module")
def adapters(base_model, tmp_path_factory):
    """Two LoRA adapters of different ranks and modules, with random weights, as PEFT saves them."""
    from peft import LoraConfig, get_peft_model

    folders = []
    for number, modules in enumerate((["q_proj", "v_proj", "fc1"], ["k_proj", "out_proj", "fc1", "fc2"])):
        torch.manual_seed(number)
        config = LoraConfig(r=4 + number, lora_alpha=12, target_modules=modules)
        peft_model = get_peft_model(copy.deepcopy(base_model), config)
        for name, parameter in peft_model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.1)
        folders.append(tmp_path_factory.mktemp("adapters") / f"adapter{number}")
        peft_model.save_pretrained(str(folders[-1]))
    return folders


def _merged_by_peft(model, folders):
    from peft import PeftModel

    model = copy.deepcopy(model)
    for folder in folders:
        model = PeftModel.from_pretrained(model, str(folder)).merge_and_unload()
    return model.state_dict()


@pytest.mark.parametrize("chosen", [[0], [1], [0, 1]])
def test_merging_is_that_of_peft(base_model, adapters, chosen):
    folders = [adapters[number] for number in chosen]
    ours = copy.deepcopy(base_model)
    merge_adapters(ours, folders)
    theirs, before = _merged_by_peft(base_model, folders), base_model.state_dict()
    assert set(ours.state_dict()) == set(theirs)
    for name, weight in ours.state_dict().items():
        assert torch.allclose(weight, theirs[name], atol=1e-5), name
    assert any(not torch.allclose(before[name], theirs[name], atol=1e-2) for name in before)


def test_merging_into_bfloat16_rounds_once(base_model, adapters):
    half = copy.deepcopy(base_model).bfloat16()
    whole = copy.deepcopy(half).float()
    merge_adapters(half, adapters)
    merge_adapters(whole, adapters)
    for name, weight in whole.bfloat16().state_dict().items():
        assert torch.equal(weight, half.state_dict()[name]), name


def test_a_lineage_loads_with_its_adapters_merged(load_model, base_folder, base_model, adapters):
    lineage = base_lineage(str(base_folder), None)
    for folder in adapters:
        lineage = lineage.with_adapter(folder)
    loaded, theirs = load_model(lineage=lineage).model.state_dict(), _merged_by_peft(base_model, adapters)
    assert all(torch.allclose(loaded[name], theirs[name], atol=1e-5) for name in theirs)


def test_a_lineage_is_read_back_as_it_was_written(base_folder, adapters, tmp_path):
    lineage = base_lineage(str(base_folder), None).with_adapter(adapters[0])
    lineage.write(tmp_path / "it1.json")
    assert read_lineage(tmp_path / "it1.json") == lineage


@pytest.fixture
def written(base_folder, adapters, tmp_path):
    """A lineage file over copies of the base and of one adapter, that a test may spoil."""
    shutil.copytree(base_folder, tmp_path / "base")
    shutil.copytree(adapters[0], tmp_path / "adapter")
    lineage = base_lineage(str(tmp_path / "base"), None).with_adapter(tmp_path / "adapter")
    lineage.write(tmp_path / "lineage.json")
    return tmp_path / "lineage.json"


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "adapter_config.json"])
def test_a_tampered_adapter_is_refused(written, name):
    path = written.parent / "adapter" / name
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(IltError, match=r"adapter.* is not the one"):
        read_lineage(written)


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "adapter_config.json"])
def test_a_missing_adapter_file_is_named(written, name):
    (written.parent / "adapter" / name).unlink()
    with pytest.raises(IltError, match=f"{name} is missing"):
        read_lineage(written)


@pytest.mark.parametrize(
    "name",
    ["config.json", "generation_config.json", "processor_config.json", "tokenizer.json", "tokenizer_config.json"],
)
def test_a_tampered_base_is_refused(written, name):
    path = written.parent / "base" / name
    path.write_text(path.read_text() + "\n")
    with pytest.raises(IltError, match=r"the base .* is not the one"):
        read_lineage(written)


@pytest.mark.parametrize("name", ["chat_template.jinja", "merges.txt", "preprocessor_config.json", "vocab.json"])
def test_every_file_that_decides_texts_is_part_of_the_base(written, name):
    before = base_lineage(str(written.parent / "base"), None)
    (written.parent / "base" / name).write_text("{}")
    assert base_lineage(str(written.parent / "base"), None).hash != before.hash
    (written.parent / "base" / "notes.md").write_text("a model")
    (written.parent / "base" / name).unlink()
    assert base_lineage(str(written.parent / "base"), None) == before


def test_a_missing_base_is_named(written):
    shutil.rmtree(written.parent / "base")
    with pytest.raises(IltError, match=r"the base .*base of this lineage is missing"):
        read_lineage(written)


def test_a_missing_lineage_is_an_error(tmp_path):
    with pytest.raises(IltError, match="is missing"):
        read_lineage(tmp_path / "it9.json")


def test_pickled_weights_are_not_read(base_folder, tmp_path):
    shutil.copy(base_folder / "config.json", tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x02")
    with pytest.raises(IltError, match="pickled weights are not read"):
        base_lineage(str(tmp_path), None)


def test_an_adapter_for_another_model_is_refused(adapters):
    with pytest.raises(IltError, match="another model"):
        merge_adapters(torch.nn.Linear(3, 3), [adapters[0]])


def test_an_adapter_of_an_embedding_is_refused(base_model, tmp_path):
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(r=2, target_modules=["embed_tokens"])
    get_peft_model(copy.deepcopy(base_model), config).save_pretrained(str(tmp_path))
    with pytest.raises(IltError):
        merge_adapters(copy.deepcopy(base_model), [tmp_path])


def test_the_hash_names_the_adapters_and_their_order(base_folder, adapters):
    base = base_lineage(str(base_folder), None)
    one, other = adapters
    chains = [[], [one], [other], [one, other], [other, one], [one, one]]
    hashes = set()
    for chain in chains:
        lineage = base
        for folder in chain:
            lineage = lineage.with_adapter(folder)
        hashes.add(lineage.hash)
    assert len(hashes) == len(chains)


def test_the_hash_does_not_depend_on_where_the_files_lie(base_folder, adapters, written):
    here = base_lineage(str(base_folder), None).with_adapter(adapters[0])
    assert read_lineage(written).id != here.id
    assert read_lineage(written).hash == here.hash
    assert adapter_hash(written.parent / "adapter") == adapter_hash(adapters[0])


def test_the_hash_of_a_hub_model_names_its_revision():
    hashes = {base_lineage("openai/whisper-tiny", revision).hash for revision in (COMMIT, COMMIT[::-1])}
    assert len(hashes) == 2
    assert AdapterLink("a", "1") != AdapterLink("a", "2")


def test_a_model_that_is_not_there_is_an_error():
    params = RecogniserParams(id="nobody/nothing")
    with pytest.raises(IltError, match="cannot load 'nobody/nothing'"):
        load_recogniser(Lineage("nobody/nothing", "main", None), params)


def test_a_model_that_is_no_whisper_is_an_error(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    params = RecogniserParams(id=str(tmp_path))
    with pytest.raises(IltError, match=r"supported: .*whisper"):
        load_recogniser(Lineage(str(tmp_path), None, "0"), params)
