"""The stage `sources`: it reads whatever rows name, notices what changes, and leaves what is wrong to `corpus`."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from small_corpora import noise, utterance, write_corpus, write_lines

AUDIO = pa.struct({"bytes": pa.binary(), "path": pa.string()})


@pytest.fixture
def project(tmp_path, base_folder, write_params):
    """A function that runs the stages plan and another one on sources, in a project of its own."""
    root = tmp_path / "project"
    (root / "data" / "models").mkdir(parents=True)
    (root / "data" / "models" / "demo-whisper").symlink_to(base_folder.resolve())

    planned = []  # the params.yaml that the plan is of

    def run(stage, *sources, **corpus):
        changes = {"source": "sources", "sources": list(sources), **corpus}
        write_params(root, {f"corpus.{name}": value for name, value in changes.items()})
        params = (root / "params.yaml").read_bytes()
        stages = [stage] if planned == [params] else ["plan", stage]
        planned[:] = [params]
        for name in stages:
            command = [sys.executable, "-m", f"ilt.stages.{name}"]
            result = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
            assert "Traceback" not in result.stderr, result.stderr
        return result

    run.root = root
    return run


def _hash(project, *sources):
    result = project("sources", *sources)
    assert result.returncode == 0, result.stderr
    return json.loads((project.root / "data/corpus/sources.json").read_text())


def _shard(path, audio):
    path.parent.mkdir(parents=True, exist_ok=True)
    count = len(audio)
    columns = {"text": ["two"] * count, "language": ["en"] * count, "split": ["gold"] * count}
    pq.write_table(pa.table({"audio": audio, **columns}), path)
    return {"format": "huggingface", "path": str(path)}


def _odd_manifest(folder):
    (folder / "folder.wav").mkdir(parents=True)
    names = ["a" * 300 + ".wav", "a\x00b.wav", "folder.wav", "\ud800.wav", "no.wav", "", "/dev/null", "a.wav/b.wav"]
    noise(folder / "a.wav")
    rows = [
        {"audio_filepath": name, "lang": "en", "split": "gold", "text": "two", "id": f"u{n}"}
        for n, name in enumerate(names)
    ]
    lines = [*map(json.dumps, rows), '{"audio_filepath": 7}', '{"audio_filepath": ["a.wav"]}', "[1]", "{"]
    return {"format": "nemo", "path": str(write_lines(folder / "m.jsonl", *lines))}, len(lines)


def test_names_that_are_no_files_are_problems_of_their_rows_and_end_no_stage(tmp_path, project):
    source, count = _odd_manifest(tmp_path)
    assert _hash(project, source)["audio_files"] == 7
    result = project("corpus", source)
    assert result.returncode == 1
    for number in range(1, count + 1):
        assert f"m.jsonl:{number}: " in result.stderr, number
    assert "m.jsonl:1: u0: the audio file cannot be looked at: File name too long" in result.stderr
    assert "m.jsonl:3: u2: the audio file does not exist" in result.stderr


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        (
            "floats",
            "audio holds neither bytes nor a path, but list; expected what datasets stores as Audio: convert it",
        ),
        ("structs", "audio holds neither bytes nor a path, but wave; expected"),
        ("decoded", "audio holds neither bytes nor a path, but array and sampling_rate; expected"),
        ("numbers", "audio holds neither bytes nor a path, but int; expected"),
        ("junk", "not audio that libsndfile can read"),
        ("empty", "audio holds neither bytes nor a path"),
        ("long", "the audio file cannot be looked at: File name too long"),
    ],
)
def test_audio_of_shards_in_other_forms_is_a_problem_that_says_how_to_convert_it(tmp_path, project, kind, what):
    audio = {
        "floats": pa.array([[0.1, 0.2]] * 2, pa.list_(pa.float64())),
        "decoded": pa.array([{"array": [0.1], "path": None, "sampling_rate": 16_000}] * 2),
        "structs": pa.array([{"wave": [0.1]}] * 2),
        "numbers": pa.array([1, 2]),
        "junk": pa.array([b"no audio"] * 2, pa.binary()),
        "empty": pa.array([None, {"bytes": b"", "path": None}], AUDIO),
        "long": pa.array([{"bytes": None, "path": "a" * 300}] * 2, AUDIO),
    }[kind]
    source = _shard(tmp_path / "s.parquet", audio)
    assert _hash(project, source)["source"] == "sources"
    result = project("corpus", source)
    assert result.returncode == 1
    for number in (1, 2):
        assert f"s.parquet:{number}: s-000000{number}: {what}" in result.stderr or kind == "long"
    assert what in result.stderr


def test_audio_as_plain_bytes_is_read(tmp_path, project):
    audio = [noise(tmp_path / f"{n}.wav", n).read_bytes() for n in range(2)]
    result = project("corpus", _shard(tmp_path / "s.parquet", pa.array(audio, pa.binary())))
    assert "the corpus cannot be trained on" in result.stderr  # there is gold alone: all its rows are good
    assert "'gold'" not in result.stderr


def _changed(path):
    path.write_bytes(path.read_bytes()[:-2] + b"\x01\x02")


def _forms(folder):
    """Sources in all forms in which audio lies outside of a table, and their one file of audio."""
    inside = noise(folder / "inside.wav", 1).read_bytes()
    for kind in ("nemo", "csv", "tsv", "common-voice", "kaldi", "mlc-slm", "huggingface", "save-to-disk"):
        yield write_corpus(kind, folder / kind, [utterance("x.wav")]), folder / kind / "x.wav"
    mixed = [{"bytes": inside, "path": "inside.wav"}, {"bytes": None, "path": "x.wav"}]
    yield _shard(folder / "mixed" / "s.parquet", pa.array(mixed, AUDIO)), noise(folder / "mixed" / "x.wav")
    yield _shard(folder / "names" / "s.parquet", pa.array(["x.wav"])), noise(folder / "names" / "x.wav")


def test_replaced_audio_is_noticed_wherever_it_lies(tmp_path, project):
    for source, file in _forms(tmp_path):
        before = _hash(project, source)
        assert before["audio_files"] >= 1
        assert _hash(project, source) == before
        _changed(file)
        after = _hash(project, source)
        assert after["audio_files"] == before["audio_files"]
        assert after["hash"] != before["hash"], source


def test_bytes_within_shards_are_noticed_as_part_of_the_shard(tmp_path, project):
    samples = noise(tmp_path / "a.wav").read_bytes()
    source = _shard(tmp_path / "s.parquet", pa.array([{"bytes": samples, "path": "a.wav"}], AUDIO))
    before = _hash(project, source)
    assert before["audio_files"] == 0
    _changed(tmp_path / "a.wav")  # a file of that name beside it is another one
    assert _hash(project, source) == before
    _shard(tmp_path / "s.parquet", pa.array([{"bytes": samples[:-2] + b"\x01\x02", "path": "a.wav"}], AUDIO))
    assert _hash(project, source)["hash"] != before["hash"]


@pytest.mark.parametrize("notes", ["{", "[]", '{"x": 1}', "\x00"])
def test_damaged_notes_of_hashes_are_made_again(tmp_path, project, notes):
    source = write_corpus("nemo", tmp_path / "c", [utterance("x.wav")])
    before = _hash(project, source)
    (project.root / ".ilt/hashes.json").write_text(notes)
    assert _hash(project, source) == before


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"format": "nemo", "path": "x" * 300}, "cannot be read: File name too long"),
        ({"format": "table", "path": "x" * 300 + ".csv"}, "cannot be read: File name too long"),
        ({"format": "kaldi", "path": "x" * 300}, "cannot be opened: File name too long"),
        ({"format": "mlc-slm", "path": "x" * 300}, "cannot be opened: File name too long"),
        ({"format": "huggingface", "path": "x" * 300}, "cannot be opened: File name too long"),
        ({"format": "table", "path": "{root}/t.csv"}, "has no column 'audio' for audio"),
        ({"format": "huggingface", "path": "{root}/cut.parquet"}, "cut.parquet cannot be read"),
        ({"format": "huggingface", "path": "{root}/latin.parquet"}, "latin.parquet holds text that is not UTF-8"),
    ],
)
@pytest.mark.parametrize("stage", ["sources", pytest.param("corpus", marks=pytest.mark.full)])
def test_a_source_that_cannot_be_read_is_one_clear_error_of_either_stage(tmp_path, project, source, message, stage):
    write_lines(tmp_path / "t.csv", "file,text", "a.wav,two")
    (tmp_path / "cut.parquet").write_bytes(b"PAR1" + np.random.default_rng(0).bytes(100))
    names = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.py_buffer(np.int32([0, 1]).tobytes()), pa.py_buffer(b"\xe9")]
    )
    pq.write_table(pa.table({"audio": names}), tmp_path / "latin.parquet")
    result = project(stage, {**source, "path": source["path"].format(root=tmp_path)})
    assert result.returncode == 1
    assert result.stderr.startswith("ERROR: corpus.sources.0.path: ")
    assert message in result.stderr


def test_the_stage_counts_the_texts_that_it_cleaned(tmp_path, project):
    splits = {f"{split}{n}": split for split in ("gold", "pool", "dev", "test") for n in range(3)}
    rows = [utterance(f"{name}.wav", "two  [noise] six", split=split, speaker=None) for name, split in splits.items()]
    result = project("corpus", write_corpus("nemo", tmp_path / "c", rows))
    assert result.returncode == 0, result.stderr
    assert "  texts cleaned of line feeds, tabs, double spaces and the like: 12\n" in result.stdout
    assert "  annotations dropped from 12 texts (corpus.tags: drop), as [noise]\n" in result.stdout
    assert project("corpus", write_corpus("nemo", tmp_path / "c", rows), tags="fail").returncode == 1
