"""`ilt init` and `ilt upgrade`, as a user types them: real git, real DVC."""

import json
import subprocess
from pathlib import Path

import pytest
import soundfile
import yaml

from ilt.params import load_params
from ilt.stages._dvc import render
from project import ROOT, environment, run

OLD = Path(__file__).resolve().parents[1] / "helpers" / "old"


@pytest.fixture
def manifest(tmp_path, speech):
    """A manifest of a few utterances in all splits."""
    clips = tmp_path / "clips"
    clips.mkdir()
    rows = []
    for number, split in enumerate(["gold", "gold", "pool", "pool", "dev", "test"]):
        samples = speech(("en", f"{['one', 'two', 'three', 'four', 'five', 'six'][number]} nine"))[0]
        soundfile.write(clips / f"{number}.wav", samples, 16_000)
        row = {"audio_filepath": f"clips/{number}.wav", "lang": "en", "speaker": f"s{number}", "split": split}
        rows.append(row if split == "pool" else row | {"text": "words"})
    path = tmp_path / "manifest.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def tracked(folder):
    return set(run(folder, "git", "ls-files").split())


def test_a_project_holds_all_that_dvc_needs_and_no_code(tmp_path, manifest, base_folder):
    output = run(tmp_path, "ilt", "init", "mine", "--model", str(base_folder), "--manifest", str(manifest))
    folder = tmp_path / "mine"
    assert tracked(folder) == {
        ".dvc/.gitignore", ".dvc/config", ".dvcignore", ".gitignore", "README.md",
        "data/corrections/corrections.parquet", "dvc.yaml", "params.yaml",
    }  # fmt: skip
    assert run(folder, "git", "status", "--short") == ""
    assert (folder / "dvc.yaml").read_text(encoding="utf-8") == render()
    params = load_params(folder / "params.yaml")
    assert (params.model.id, params.corpus.manifest) == (str(base_folder.resolve()), str(manifest))
    for shown in ("gold 2", "pool 2", "learning rate: 0.0016", "measured on the demo models", "retention: none given"):
        assert shown in output
    assert "cd mine && dvc repro" in output
    run(folder, "dvc", "repro", "corpus")
    assert "baseline" in run(folder, "dvc", "status")


def test_every_key_that_is_likely_to_be_changed_can_be(tmp_path, manifest, base_folder):
    run(tmp_path, "ilt", "init", "mine", "--model", str(base_folder), "--manifest", str(manifest))
    changes = ["train.learning_rate=1e-4", "select.keep=0.3", "+iterations.it2={prev: it1}", "fix.lora.r=4"]
    arguments = [part for change in changes for part in ("-S", change)]
    run(tmp_path / "mine", "dvc", "exp", "run", *arguments, "plan")
    params = load_params(tmp_path / "mine" / "params.yaml")
    assert params.train["learning_rate"] == 1e-4 and list(params.iterations) == ["it1", "it2"]


def test_a_repository_that_is_there_gets_what_is_missing(tmp_path, manifest, base_folder):
    folder = tmp_path / "theirs"
    folder.mkdir()
    run(folder, "git", "init", "-q")
    (folder / "README.md").write_text("ours\n", encoding="utf-8")
    (folder / ".gitignore").write_text("*.tmp", encoding="utf-8")
    (folder / "notes.txt").write_text("not to be committed\n", encoding="utf-8")
    output = run(folder, "ilt", "init", ".", "--model", str(base_folder), "--manifest", str(manifest))
    assert (folder / "README.md").read_text(encoding="utf-8") == "ours\n"
    assert "kept as it was: README.md" in output
    assert (folder / ".gitignore").read_text(encoding="utf-8").startswith("*.tmp\n/data/corpus/\n")
    assert "notes.txt" not in tracked(folder) and "dvc.yaml" in tracked(folder)
    refused = run(folder, "ilt", "init", ".", "--demo", status=2)
    assert "params.yaml: in the way, and nothing is overwritten" in refused
    assert not (folder / "data" / "models").exists()


def test_a_folder_within_a_repository_is_a_project_of_its_own(tmp_path):
    run(tmp_path, "git", "init", "-q")
    run(tmp_path, "ilt", "init", "speech", "--demo")
    assert (tmp_path / "speech" / ".dvc" / "config").is_file()
    run(tmp_path / "speech", "dvc", "repro", "plan")
    assert (tmp_path / "speech" / "data" / "plan" / "it1" / "focus.json").is_file()


def test_the_demo_brings_its_model_and_is_what_this_repository_runs(tmp_path):
    run(tmp_path, "ilt", "init", "demo", "--demo")
    folder = tmp_path / "demo"
    for name in ("dvc.yaml", "params.yaml"):
        assert (folder / name).read_bytes() == (ROOT / name).read_bytes()
    model = folder / "data" / "models" / "demo-whisper" / "model.safetensors"
    assert model.read_bytes() == (ROOT / "data" / "models" / "demo-whisper" / "model.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "say which model to adapt"),
        (["--model", "BASE"], "say what to train on"),
        (["--model", "nobody/nothing", "--manifest", "M"], "nobody/nothing"),
        (["--model", "BASE", "--manifest", "missing.jsonl"], "missing.jsonl does not exist"),
        (["--model", "BASE", "--source", "kaldy:/x"], "format"),
        (["--model", "BASE", "--manifest", "M", "--language-as", "en"], "expected CODE=CODE"),
        (["--model", "BASE", "--manifest", "M", "--language-as", "xx=de"], "the corpus has no such language"),
        (["--model", "BASE", "--manifest", "FOREIGN"], "--language-as pcm=CODE"),
        (["--model", "BASE", "--manifest", "OTHER"], "en_US: write 'en'"),
        (["--model", "BASE", "--manifest", "FOREIGN", "--language-as", "pcm=EN"], "pcm='EN' is no language of it"),
        (["--demo", "--model", "BASE"], "brings its own model"),
    ],
)
def test_what_cannot_be_is_one_message_and_nothing_is_written(tmp_path, manifest, base_folder, arguments, message):
    foreign = tmp_path / "foreign.jsonl"
    foreign.write_text(manifest.read_text(encoding="utf-8").replace('"en"', '"pcm"'), encoding="utf-8")
    other = tmp_path / "other.jsonl"
    other.write_text(manifest.read_text(encoding="utf-8").replace('"en"', '"en_US"'), encoding="utf-8")
    names = {"BASE": str(base_folder), "M": str(manifest), "FOREIGN": str(foreign), "OTHER": str(other)}
    output = run(tmp_path, "ilt", "init", "mine", *(names.get(one, one) for one in arguments), status=2)
    assert message in output and "Traceback" not in output
    assert not (tmp_path / "mine").exists()


def test_a_language_that_the_model_does_not_know_is_mapped(tmp_path, manifest, base_folder):
    manifest.write_text(manifest.read_text(encoding="utf-8").replace('"en"', '"pcm"'), encoding="utf-8")
    command = ["ilt", "init", "mine", "--model", str(base_folder), "--manifest", str(manifest)]
    run(tmp_path, *command, "--language-as", "pcm=en")
    assert load_params(tmp_path / "mine" / "params.yaml").languages["pcm"].as_ == "en"


def test_without_an_identity_of_git_the_files_are_there_and_it_says_so(tmp_path):
    bare = {key: value for key, value in environment().items() if not key.startswith("GIT_")}
    bare |= {"HOME": str(tmp_path), "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
    bare |= {"EMAIL": "", "GIT_AUTHOR_NAME": "", "GIT_COMMITTER_NAME": ""}
    told = subprocess.run(
        ["ilt", "init", "demo", "--demo"], cwd=tmp_path, env=bare, check=False, text=True, capture_output=True
    )
    assert told.returncode == 0, told.stderr
    assert "not committed:" in told.stdout and (tmp_path / "demo" / "dvc.yaml").is_file()


@pytest.fixture
def old_project(tmp_path):
    folder = tmp_path / "old"
    folder.mkdir()
    for name in ("params", "dvc"):
        (folder / f"{name}.yaml").write_bytes((OLD / f"{name}-0.1.yaml").read_bytes())
    return folder


def test_parameters_of_an_older_version_are_refused_with_their_new_names(old_project):
    output = run(old_project, "python", "-m", "ilt.stages.plan", status=1)
    assert "focus.learning_rate: now train.learning_rate" in output
    assert "iterations.it2.fix.learning_rate" in output and "model.files: gone" in output
    assert "`ilt upgrade` shows what changes" in output


def test_an_older_project_is_upgraded_once_it_was_shown(old_project):
    before = (old_project / "params.yaml").read_text(encoding="utf-8")
    shown = run(old_project, "ilt", "upgrade", status=1)
    assert (old_project / "params.yaml").read_text(encoding="utf-8") == before
    assert "-  learning_rate: 3.0e-4" in shown and "lr_factor" in shown and "nothing was written" in shown
    assert run(old_project, "ilt", "upgrade", "--write").splitlines()[-1].startswith("written: ")
    assert (old_project / "dvc.yaml").read_text(encoding="utf-8") == render()
    values = yaml.safe_load((old_project / "params.yaml").read_text(encoding="utf-8"))
    assert values["train"]["learning_rate"] == 1.6e-3
    assert values["iterations"]["it2"]["feedback"]["lr_factor"] == 0.75
    assert "# Every value can be overridden" in (old_project / "params.yaml").read_text(encoding="utf-8")
    load_params(old_project / "params.yaml")
    assert "of this version already" in run(old_project, "ilt", "upgrade")
