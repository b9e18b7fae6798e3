"""Every format gives the same utterances, and says of each line what is wrong with it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import layouts
from ilt.corpus.audio import RATE, audio_hash, read_audio
from ilt.corpus.formats.huggingface import HuggingFaceHub
from ilt.corpus.table import ORIGIN_TABLE, QUARANTINE_TABLE, UTTERANCE_TABLE
from ilt.errors import IltError
from small_corpora import assert_problems, noise, problems_of, read_sources, write_lines

COMPARED = ["id", "language", "speaker", "split", "duration", "audio_hash", "text"]


@pytest.fixture(scope="session")
def utterances(speech):
    """Utterances in two languages and all splits, in synthetic speech."""
    texts = [("en", "nine"), ("en", "two six zero"), ("en", "five one"), ("pt", "sete dois"), ("pt", "um")]
    both = [*texts, ("en", "eight, three"), ("pt", 'quatro "zero"'), ("pt", "nove"), ("en", "four four")]
    splits = ["gold", "pool", "dev", "gold", "pool", "test", "dev", "test", "pool"]
    spoken = zip(both, splits, speech(*both), strict=True)
    return layouts.utterances((lang, split, text, samples) for (lang, text), split, samples in spoken)


@pytest.fixture(scope="session")
def expected(utterances):
    rows = [
        {
            "id": u.id,
            "language": u.language,
            "speaker": u.speaker,
            "split": u.split,
            "duration": len(u.samples) / RATE,
            "audio_hash": audio_hash(u.samples / np.float32(32768)),
            "text": None if u.split == "pool" else u.text,
        }
        for u in utterances
    ]
    return pl.DataFrame(rows).sort("id")


@pytest.mark.parametrize("name", layouts.LAYOUTS)
def test_every_format_gives_the_same_utterances(name, utterances, expected, tmp_path):
    if name == "save-to-disk":
        pytest.importorskip("datasets")
    imported = read_sources(*layouts.LAYOUTS[name][1](tmp_path, utterances))
    assert imported.problems == []
    assert imported.table().select(COMPARED).equals(expected)
    references = {u.id: u.text for u in utterances if u.split == "pool"}
    assert dict(imported.references.iter_rows()) == references
    files = {line.rsplit(":", 1)[0] for line in imported.origins["where"]}
    assert all(Path(name).is_file() for name in files)


def test_the_hub_loader_gives_the_same_utterances(utterances, expected, tmp_path, monkeypatch):
    pytest.importorskip("datasets")  # what load_dataset does with a folder is what it does with an id
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    (source,) = layouts.parquet_bytes(tmp_path / "hub", utterances)
    hub = HuggingFaceHub(source["path"], "corpus.sources.0.path", source["columns"])
    rows = {row.id: row for row in hub.rows()}
    assert sorted(rows) == expected["id"].to_list()
    for key, digest in expected.select("id", "audio_hash").iter_rows():
        assert audio_hash(read_audio(rows[key].audio)) == digest
    assert {row.split for row in rows.values()} <= set(layouts.TAKEN.values())


def test_audio_of_a_hub_dataset_that_is_a_url_is_fetched(tmp_path, monkeypatch):
    pytest.importorskip("datasets")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    clip = noise(tmp_path / "there" / "a b.wav")
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    audio = pa.array([{"bytes": None, "path": f"file://{name}"} for name in (clip, tmp_path / "no.wav")], kind)
    (tmp_path / "hub").mkdir()
    pq.write_table(pa.table({"audio": audio}), tmp_path / "hub" / "train-00000-of-00001.parquet")
    rows = HuggingFaceHub(str(tmp_path / "hub"), "corpus.sources.0.path").rows()
    first = next(rows)
    assert first.audio == clip.read_bytes()
    assert first.id == "a b"
    with pytest.raises(IltError, match=r"stopped after row 2 of train \(.*no\.wav.*\); run it again"):
        next(rows)


def test_a_dataset_that_is_not_there_is_one_clear_error(tmp_path):
    pytest.importorskip("datasets")
    code = (
        "from ilt.corpus.formats.huggingface import HuggingFaceHub as H; "
        "list(H('nobody/nothing-here', 'corpus.sources.0.path').rows())"
    )
    environment = {
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(tmp_path),
        "PATH": "",
        "PYTHONPATH": ":".join(sys.path),
    }
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    assert run.stderr.splitlines()[-1].startswith(
        "ilt.errors.IltError: corpus.sources.0.path: 'nobody/nothing-here' is neither a folder here nor"
    )


def test_without_the_package_a_hub_id_is_one_clear_error(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(IltError, match=r"package datasets is missing; pip install -e '\.\[hub\]'"):
        read_sources({"format": "huggingface", "path": "some/dataset"})


def test_sources_of_different_formats_become_one_corpus(utterances, expected, tmp_path, base_folder, write_params):
    """Through the stages: gold from Kaldi, pool from Common Voice, dev from Parquet, test from MLC-SLM."""
    own = {split: [u for u in utterances if u.split == split] for split in layouts.TAKEN}
    wanted = {"gold": "kaldi-segments", "pool": "common-voice", "dev": "parquet-bytes", "test": "mlc-slm"}
    sources = []
    for split, name in wanted.items():
        for source in layouts.LAYOUTS[name][1](tmp_path / split, utterances):
            if isinstance(source["split"], dict):
                names = {layouts.TAKEN[other]: other if other == split else None for other in own}
                sources.append({**source, "split": names})
            elif source["split"] == split:
                sources.append(source)
    root = tmp_path / "project"
    (root / "data" / "models").mkdir(parents=True)
    (root / "data" / "models" / "demo-whisper").symlink_to(base_folder.resolve())
    write_params(root, {"corpus.source": "sources", "corpus.sources": sources})
    hashes = []
    for stage in ("plan", "sources", "corpus", "sources"):
        command = [sys.executable, "-m", f"ilt.stages.{stage}"]
        run = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stderr
        if stage == "sources":
            hashes.append(json.loads((root / "data/corpus/sources.json").read_text()))
            victim = tmp_path / "pool" / "clips" / f"{own['pool'][0].id}.mp3"
            victim.write_bytes(victim.read_bytes() + b"\0")
    table = UTTERANCE_TABLE.read(root / "data/corpus/utterances.parquet")
    assert table.select(COMPARED).equals(expected)
    origins = ORIGIN_TABLE.read(root / "data/corpus/origins.parquet")
    assert origins["id"].to_list() == expected["id"].to_list()
    assert origins.filter(pl.col("where").str.contains("segments:"))["offset"].min() == 0.5
    assert len(QUARANTINE_TABLE.read(root / "data/corpus/quarantine.parquet")) == 0
    assert hashes[0]["hash"] != hashes[1]["hash"], "changed audio is noticed"


def test_every_fault_of_a_kaldi_folder_is_named(tmp_path):
    noise(tmp_path / "a.wav")
    write_lines(tmp_path / "wav.scp", "a a.wav", "p flac -dc p.flac |", "k raw.ark:1042", "n", "a b.wav", "m no.wav")
    write_lines(
        tmp_path / "segments",
        "u1 a 0 0.5", "u2 p 0 0.5", "u3 k 0 0.5", "u4 n 0 0.5", "u5 x 0 0.5", "u6 a 0.5 0.5", "u7 a zero 1",
        "u8 a 0.5 2.0", "u9 m 0 0.5", "u1 a 0.5 1", "u0 a 0.5 -1", "ux a 0 0.05",
    )  # fmt: skip
    write_lines(tmp_path / "text", *(f"u{n} two" for n in (*range(1, 10), 0, "x")), "u99 lost")
    imported = read_sources({"format": "kaldi", "path": str(tmp_path), "split": "gold", "language": "en"})
    assert_problems(imported, [
        ("wav.scp:5", "a", "'a' stands at"),
        ("segments:10", "u1", "may come once in segments"),
        ("segments:2", "u2", "a piped command, which is not run ('flac -dc p.flac |')"),
        ("segments:3", "u3", "Kaldi archive"),
        ("segments:4", "u4", "expected a path"),
        ("segments:5", "u5", "the recording 'x' is not in"),
        ("segments:6", "u6", "expected RECORDING START END"),
        ("segments:7", "u7", "expected RECORDING START END"),
        ("text:12", "u99", "text names an utterance that is not in segments"),
        ("segments:8", "u8", "the segment ends at 2.00 s, the audio at 1.00 s"),
        ("segments:9", "u9", "does not exist"),
        ("segments:12", "ux", "0.050 s is too short"),
    ])  # fmt: skip
    assert imported.rows.select("id", "offset", "duration").rows() == [("u1", 0.0, 0.5), ("u0", 0.5, 0.5)]


def test_every_fault_of_a_table_is_named(tmp_path):
    for number in range(3):
        noise(tmp_path / f"{number}.wav", number)
    path = write_lines(
        tmp_path / "t.csv",
        "audio,text,language,split,offset,duration",
        '0.wav,"two, six",en,train,,',
        '1.wav,"two',
        'lines",en,train,,',
        "2.wav,two",
        ",two,en,train,,",
        "2.wav,two,xx,train,,",
        "2.wav,two,en,other,,",
        "2.wav,two,en,train,half,",
        "2.wav,,en,train,0.5,0.25",
    )
    imported = read_sources({"format": "table", "path": str(path), "split": {"train": "gold"}})
    assert_problems(imported, [
        ("t.csv:5", "", "2 fields, but the header has 6"),
        ("t.csv:6", "", "the column 'audio' is empty"),
        ("t.csv:7", "2", "does not know the language 'xx'"),
        ("t.csv:8", "2", "unknown split 'other'"),
        ("t.csv:8", "2", "duplicate id, already used at"),
        ("t.csv:9", "2", "offset must be a number of seconds, found 'half'"),
        ("t.csv:9", "2", "duplicate id"),
        ("t.csv:10", "2-0.5", "text is missing"),
    ])  # fmt: skip
    assert imported.table()["text"].to_list() == ["two, six", "two lines"]


@pytest.mark.parametrize("name", ["t.csv", "t.tsv"])
def test_a_quote_that_is_not_closed_takes_no_other_row_along(tmp_path, name):
    """Rows below it come through; of a TSV, where a line is a row, the row itself does as well."""
    for number in range(6):
        noise(tmp_path / f"{number}.wav", number)
    mark = "," if name == "t.csv" else "\t"
    texts = ["text", '"two', "six", '"nine"', 'one"', '"a ""four"" b"', '"five']
    lines = [f"{text}{mark}{n - 1}.wav" for n, text in enumerate(texts)]
    path = write_lines(tmp_path / name, f"text{mark}audio", *lines[1:])
    imported = read_sources({"format": "table", "path": str(path), "split": "gold", "language": "en"})
    rows = dict(imported.rows.select("id", "text").iter_rows())
    if name == "t.tsv":
        assert imported.problems == []
        assert [rows[str(n)] for n in range(6)] == ['"two', "six", "nine", 'one"', 'a "four" b', '"five']
        return
    assert_problems(imported, [
        ("t.csv:2", "", "expected after"), ("t.csv:7", "", "unexpected end of data; expected each \""),
    ])  # fmt: skip
    assert rows == {"1": "six", "2": "nine", "3": 'one"', "4": 'a "four" b'}
    path = write_lines(path, "audio,text", '0.wav,"two', "1.wav,six", '2.wav,nine"', "3.wav,one")
    imported = read_sources({"format": "table", "path": str(path), "split": "gold", "language": "en"})
    assert_problems(imported, [("t.csv:2", "", "a quoted field goes on to line 4 with ',' in it")])
    assert imported.rows["id"].to_list() == ["1", "2", "3"]


def test_every_fault_of_an_mlc_slm_text_is_named(tmp_path):
    folder = tmp_path / "data" / "English" / "Indian"
    noise(folder / "0517_001_phone.wav")
    write_lines(
        folder / "0517_001_phone.txt",
        "0.1\t0.5\tO1\thi Will", "0.5\t0.4\tO1\tback", "0.5 1.0 O2 no tabs here", "a\tb\tc", "0.5\t0.9\tO1",
    )  # fmt: skip
    noise(tmp_path / "data" / "Klingon" / "x.wav", 1)
    write_lines(tmp_path / "data" / "Klingon" / "x.txt", "0\t1\tO1\tnuqneH")
    write_lines(folder / "alone.txt", "0\t1\tO1\thi", "1\t2\tO1\tWill")
    write_lines(folder / "spaces.txt", "", "0 1 O1 hi")
    (tmp_path / "README.txt").write_bytes(b"Caf\xe9 recordings\n\nstart\tend\n")
    imported = read_sources({"format": "mlc-slm", "path": str(tmp_path), "split": "gold"})
    assert_problems(imported, [
        ("0517_001_phone.txt:2", "", "expected START, END"),
        ("0517_001_phone.txt:4", "", "expected START, END"),
        ("0517_001_phone.txt:5", "data-English-Indian-0517_001_phone-O1-000050-000090", "text is missing"),
        ("alone.txt:1", "", "there is no alone.wav beside this transcript"),
        ("spaces.txt:1", "", "there is no spaces.wav beside this transcript"),
        ("x.txt:1", "data-Klingon-x-O1-000000-000100", "lang is missing"),
    ])  # fmt: skip
    with pytest.raises(IltError, match=r"no \.txt below .* but README\.txt, which is no transcript"):
        (tmp_path / "notes").mkdir()
        (tmp_path / "README.txt").rename(tmp_path / "notes" / "README.txt")
        read_sources({"format": "mlc-slm", "path": str(tmp_path / "notes"), "split": "gold"})
    assert imported.rows["text"].to_list() == ["hi Will", "no tabs here"]
    assert imported.rows["speaker"].to_list()[0] == "data-English-Indian-0517_001_phone-O1"


@pytest.mark.parametrize(
    "folder",
    ["English/American", "English-American", "data/English/American/s1", "Train/English_American/x/y"],
)
def test_the_folders_of_mlc_slm_say_language_and_accent(tmp_path, folder):
    noise(tmp_path / folder / "r.wav")
    write_lines(tmp_path / folder / "r.txt", "0.1\t0.5\tO1\thi")
    source = {"format": "mlc-slm", "path": str(tmp_path), "split": "gold"}
    assert read_sources(source).rows["language"].to_list() == ["en"]
    accented = read_sources({**source, "language": {"English-American": "pt"}})
    assert accented.rows["language"].to_list() == ["pt"]
    assert len(read_sources({**source, "language": {"English": None}}).rows) == 0


def test_every_fault_of_a_parquet_shard_is_named(tmp_path):
    good = noise(tmp_path / "good.wav").read_bytes()
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    pairs = [(good, "a.wav"), (b"text", "b.wav"), (None, None), (None, "no.wav"), None, (good, None)]
    audio = [pair and {"bytes": pair[0], "path": pair[1]} for pair in pairs]
    table = pa.table({"audio": pa.array(audio, kind), "text": ["two"] * 5 + [None]})
    pq.write_table(table, tmp_path / "train-00000-of-00001.parquet")
    source = {"format": "huggingface", "path": str(tmp_path), "split": {"train": "gold"}, "language": "en"}
    shard = "train-00000-of-00001.parquet"
    imported = read_sources(source)
    assert_problems(imported, [
        (f"{shard}:3", "train-0000003", "audio holds neither bytes nor a path"),
        (f"{shard}:5", "train-0000005", "audio holds neither bytes nor a path"),
        (f"{shard}:6", "train-0000006", "text is missing"),
        (f"{shard}:2", "b", "not audio that libsndfile can read"),
        (f"{shard}:4", "no", "does not exist"),
    ])  # fmt: skip
    assert imported.rows["id"].to_list() == ["a"]


def test_overlapping_parts_of_audio_in_shards_are_a_leak_across_splits(tmp_path):
    talk = noise(tmp_path / "talk.wav", seconds=3.0).read_bytes()
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    parts = [
        ("a", 0.0, 1.0, "gold"),
        ("b", 1.0, 1.0, "test"),
        ("c", 0.5, 1.0, "dev"),
        ("d", None, None, "dev"),
    ]
    table = pa.table({
        "audio": pa.array([{"bytes": talk, "path": None}] * 4, kind), "text": ["two"] * 4,
        **{name: [part[n] for part in parts] for n, name in enumerate(("id", "offset", "duration", "split"))},
    })  # fmt: skip
    pq.write_table(table, tmp_path / "talks.parquet")
    imported = read_sources({"format": "huggingface", "path": str(tmp_path), "language": "en"})
    assert_problems(imported, [
        ("talks.parquet:3", "c", "overlaps 'a' in the same file, which is in gold: a leak"),
        ("talks.parquet:4", "d", "overlaps 'a' in the same file, which is in gold: a leak"),
    ])  # fmt: skip
    assert imported.rows["id"].to_list() == ["a", "b"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"format": "kaldi", "path": "no"}, "corpus.sources.0.path: no is no Kaldi data folder"),
        ({"format": "mlc-slm", "path": "no"}, "there is no .txt below no"),
        ({"format": "nemo", "path": "no"}, "corpus.sources.0.path: no does not exist; give the path"),
        ({"format": "table", "path": "no"}, "no does not exist; give a CSV or TSV file"),
        ({"format": "common-voice", "path": "."}, "say with split which ones to take"),
        ({"format": "common-voice", "path": "no.tsv"}, "no.tsv does not exist"),
        ({"format": "huggingface", "path": "."}, "there is no .parquet below"),
        ({"format": "table", "path": "t.csv"}, "has no column 'audio' for audio; it has a, b. Map them"),
        ({"format": "table", "path": "t.csv", "columns": {"audio": "a", "text": "c"}}, "'c' for text"),
        ({"format": "huggingface", "path": "x.parquet", "columns": {"audio": "y"}}, "no column 'y'"),
        ({"format": "huggingface", "path": "t.csv"}, "t.csv cannot be read"),
        ({"format": "table", "path": "empty.csv"}, "empty.csv is empty; expected a header such as 'audio,t"),
        ({"format": "table", "path": "quote.csv"}, "quote.csv:1: the header cannot be read: unexpected end"),
    ],
)  # fmt: skip
def test_a_source_that_cannot_be_read_names_its_parameter(tmp_path, monkeypatch, source, message):
    monkeypatch.chdir(tmp_path)
    write_lines(tmp_path / "t.csv", "a,b", "1,2")
    write_lines(tmp_path / "empty.csv", "")
    write_lines(tmp_path / "quote.csv", 'audio,"text')
    pq.write_table(pa.table({"x": [1]}), tmp_path / "x.parquet")
    if source["path"] == "." and source["format"] == "huggingface":
        (tmp_path / "x.parquet").unlink()
    with pytest.raises(IltError) as error:
        read_sources(source)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"source": "sources"}, "needs corpus.sources="),
        ({"sources": [{"format": "nemo", "path": "x", "split": "train"}]}, "there is no 'train'"),
        ({"sources": [{"format": "nemo", "path": "x", "split": {"train": "learn"}}]}, "there is no 'learn'"),
        ({"sources": [{"format": "kaldi", "path": "x", "columns": {"text": "y"}}]}, "not for kaldi"),
        (
            {"sources": [{"format": "table", "path": "x", "columns": {"txt": "y"}}]},
            "columns: there is no 'txt'",
        ),
        ({"sources": [{"format": "mlc", "path": "x"}]}, "'nemo', 'kaldi', 'common-voice', 'mlc-slm'"),
    ],
)
def test_parameters_of_sources_that_cannot_be_are_refused(tmp_path, write_params, values, message):
    from ilt.params import load_params

    path = write_params(tmp_path, {f"corpus.{name}": value for name, value in values.items()})
    with pytest.raises(IltError) as error:
        load_params(path)
    assert message in str(error.value)


def test_a_prefix_keeps_ids_and_speakers_of_two_sources_apart(tmp_path):
    for number, name in enumerate(("one", "two")):
        noise(tmp_path / name / "a.wav", number)
        write_lines(tmp_path / name / "t.csv", "audio,text,speaker", "a.wav,two,7")
    sources = [
        {
            "format": "table",
            "path": f"{tmp_path}/{name}/t.csv",
            "split": split,
            "language": "en",
            "prefix": prefix,
        }
        for name, split, prefix in (("one", "gold", ""), ("two", "test", "b-"))
    ]
    imported = read_sources(*sources)
    assert not imported.problems
    assert imported.rows.select("id", "speaker").rows() == [("a", "7"), ("b-a", "b-7")]
    (same,) = read_sources(sources[0], {**sources[1], "prefix": ""}).problems
    assert "duplicate id, already used at" in same.what
    assert str(tmp_path / "one/t.csv:2") in same.what
    (twice,) = read_sources(sources[0], sources[0]).problems
    place = f"{tmp_path}/one/t.csv:2"
    assert twice.where == place
    assert f"duplicate id, already used at {place}, which is this line: the source is listed" in twice.what


def test_a_language_that_is_no_text_matters_only_where_the_source_asks_for_it(tmp_path):
    noise(tmp_path / "a.wav")
    path = write_lines(tmp_path / "m.jsonl", '{"audio_filepath": "a.wav", "text": "two", "lang": ["en"]}')
    source = {"format": "nemo", "path": str(path)}
    assert [what for _, _, what in problems_of(read_sources(source))] == [
        "lang must be a string, found ['en']",
        "split is missing; expected one of gold, pool, dev, test, retention, replay with the row, or split: "
        "NAME for all rows of a source in corpus.sources",
    ]
    assert read_sources({**source, "language": "en", "split": "gold"}).rows["id"].to_list() == ["a"]
