"""Leaks, offsets, cuts by voice activity, and the one list of everything that is wrong."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import soundfile

from ilt.corpus.audio import RATE, audio_hash, read_audio, read_blocks
from ilt.corpus.cuts import Cutter, cut_spans, speech_frames
from ilt.corpus.formats.manifest import Manifest
from ilt.corpus.formats.row import Row
from ilt.corpus.importing import Limits, import_rows
from ilt.corpus.leaks import shared_speakers
from ilt.corpus.table import QUARANTINE_TABLE, UTTERANCE_TABLE
from ilt.corpus.vad import FRAME, VoiceActivity
from ilt.errors import IltError, Problem
from ilt.params import CutParams

VAD = CutParams(method="vad")


def _noise(path, seed, seconds=1.0):
    noise = 0.1 * np.random.default_rng(seed).standard_normal(round(seconds * RATE))
    soundfile.write(path, noise.astype(np.float32), RATE)
    return path


def _manifest(folder, lines):
    path = folder / "manifest.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


@pytest.fixture
def project(tmp_path, base_folder, write_params):
    """A function that runs stages or the command in a project on a manifest with these lines."""
    (tmp_path / "data" / "models").mkdir(parents=True)
    (tmp_path / "data" / "models" / "demo-whisper").symlink_to(base_folder.resolve())

    def run(lines, *commands, **corpus):
        changes = {"source": "manifest", "manifest": str(_manifest(tmp_path, lines)), **corpus}
        write_params(tmp_path, {f"corpus.{name}": value for name, value in changes.items()})
        for command in commands:
            call = [sys.executable, "-m", *command.split()]
            result = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, check=False)
        return result

    run.folder = tmp_path
    return run


STAGES = ("ilt.stages.plan", "ilt.stages.corpus")


def _corpus_with_a_shared_speaker(folder):
    splits = ["gold", "pool", "dev", "test", "gold"]
    return [
        {
            "audio_filepath": _noise(folder / f"{n}.wav", n).name, "lang": "en", "split": split,
            "text": "two", "id": f"u{n}", "speaker": speaker,
        }
        for n, (split, speaker) in enumerate(zip(splits, ["ann", "bob", "bob", "ann", "cid"], strict=True))
    ]  # fmt: skip


def test_a_speaker_who_is_learned_from_and_scored_is_a_leak_with_the_ids_named(project):
    lines = _corpus_with_a_shared_speaker(project.folder)
    refused = project(lines, *STAGES)
    assert refused.returncode == 1
    assert "manifest.jsonl:1: u0: the speaker 'ann' is in gold here, and in u3 (test): a leak" in refused.stderr
    assert "manifest.jsonl:2: u1: the speaker 'bob' is in pool here, and in u2 (dev): a leak" in refused.stderr
    assert "(2 found)" in refused.stderr
    assert not (project.folder / "data/corpus/utterances.parquet").exists()
    allowed = project(lines, *STAGES, shared_speakers="allow")
    assert allowed.returncode == 0, allowed.stderr
    assert len(UTTERANCE_TABLE.read(project.folder / "data/corpus/utterances.parquet")) == 5


def test_the_quarantine_takes_what_is_learned_from_and_leaves_what_is_scored(project):
    lines = _corpus_with_a_shared_speaker(project.folder)
    extra = {
        **lines[1],
        "id": "p",
        "speaker": "dan",
        "audio_filepath": _noise(project.folder / "9.wav", 9).name,
    }
    result = project([*lines, extra], *STAGES, on_invalid="quarantine")
    assert result.returncode == 0, result.stderr
    kept = UTTERANCE_TABLE.read(project.folder / "data/corpus/utterances.parquet")
    assert kept["id"].to_list() == ["p", "u2", "u3", "u4"]
    skipped = QUARANTINE_TABLE.read(project.folder / "data/corpus/quarantine.parquet")
    assert skipped["utterance"].to_list() == ["u0", "u1"]
    assert [where.rsplit("/", 1)[-1] for where in skipped["where"]] == [
        "manifest.jsonl:1",
        "manifest.jsonl:2",
    ]


def test_many_rows_of_a_shared_speaker_are_summed_up():
    rows = pl.DataFrame(
        [("g", "ann", "gold"), ("n", None, "gold"), ("e", "", "pool"), ("m", None, "dev"), ("x", "", "test")]
        + [(f"t{n}", "ann", "test") for n in range(5)],
        schema=["id", "speaker", "split"],
        orient="row",
    )
    ((key, what),) = shared_speakers(rows)
    assert key == "g"
    assert "in t0 (test), t1 (test), t2 (test) and 2 more: a leak" in what


def test_replay_must_not_keep_the_voices_of_retention_in_mind():
    rows = pl.DataFrame(
        [("g", "ann", "gold"), ("r", "ann", "replay"), ("o", "bo", "replay"), ("f", "ann", "retention")],
        schema=["id", "speaker", "split"],
        orient="row",
    )
    ((key, what),) = shared_speakers(rows)
    assert key == "r"
    assert "is in replay here, and in f (retention): a leak" in what


def test_validate_lists_everything_and_writes_nothing(project):
    lines = [
        *_corpus_with_a_shared_speaker(project.folder),
        *({"audio_filepath": f"no{n}.wav", "lang": "en", "split": "pool", "id": f"x{n}"} for n in range(60)),
    ]
    result = project(lines, "ilt.cli validate --output problems.csv")
    assert result.returncode == 1, result.stderr
    named = re.findall(r"manifest\.jsonl:(\d+): (\w+): ", result.stdout)
    assert named == [*((str(n + 6), f"x{n}") for n in range(60)), ("1", "u0"), ("2", "u1")]
    assert "the split 'pool' has no utterances" in result.stdout
    assert "3 utterances are good, 62 problems, listed in problems.csv" in result.stdout
    listed = pl.read_csv(project.folder / "problems.csv")
    assert listed.columns == ["id", "where", "utterance", "problem"]
    assert sorted(listed["utterance"]) == sorted(key for _, key in named)
    assert not (project.folder / "data/corpus").exists()
    good = [line for line in lines[:5] if line["id"] not in ("u0", "u1")]
    pool = {**lines[1], "speaker": None}
    assert project([*good, pool], "ilt.cli validate").returncode == 0


@pytest.mark.parametrize(("suffix", "rate"), [("wav", 16_000), ("flac", 44_100), ("mp3", 16_000), ("mp3", 44_100)])
def test_a_part_of_a_file_is_what_the_whole_file_has_there(tmp_path, suffix, rate):
    """For mp3 this takes the frames before: a tone fills the bit reservoir."""
    times = np.arange(20 * rate)
    soundfile.write(tmp_path / f"a.{suffix}", 0.4 * np.sin(times * 0.05 * np.linspace(0.1, 1, len(times))), rate)
    with soundfile.SoundFile(tmp_path / f"a.{suffix}") as file:
        whole = file.read(dtype="float32")
    for offset in (0.5, 3.7, 17.123):
        part = read_audio(tmp_path / f"a.{suffix}", offset, 0.5)
        expected = whole[round(offset * rate) :][: rate // 2]
        if rate == RATE:
            assert np.abs(part - expected).max() < 1e-4
        else:
            soundfile.write(tmp_path / "part.wav", expected, rate, subtype="FLOAT")
            assert np.abs(part - read_audio(tmp_path / "part.wav")).max() < 1e-4


@pytest.mark.parametrize(("suffix", "rate"), [("wav", 16_000), ("wav", 44_100), ("mp3", 16_000), ("mp3", 44_100)])
def test_blocks_are_the_file_in_one_stream(tmp_path, suffix, rate):
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, 0.3 * np.sin(np.arange(70 * rate) * 0.01), rate)
    blocks = list(read_blocks(path, 2.0, 65.0))
    assert len(blocks) == 3
    joined, whole = np.concatenate(blocks), read_audio(path, 2.0, 65.0)
    assert abs(len(joined) - len(whole)) <= 1
    assert np.abs(joined[:-100] - whole[: len(joined) - 100]).max() < 1e-3


def test_a_recording_that_is_far_too_long_is_not_even_read(tmp_path):
    with soundfile.SoundFile(tmp_path / "day.wav", "w", 8_000, 1, "PCM_U8") as file:
        for _ in range(3):
            file.write(np.zeros(8_000 * 3600, np.float32))
    code = (
        "import resource, sys; from ilt.corpus.importing import *; from ilt.corpus.formats.row import Row; "
        "from pathlib import Path; row = Row('x:1', 'x', Path('day.wav'), 'day.wav', 'en', None, 'pool'); "
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss; before = peak(); "
        "print(import_rows([row], Limits(0.1, 30)).problems[0].what); print(peak() - before)"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    what, grown = run.stdout.splitlines()
    assert what.startswith("10800.00 s is too long; expected at most 30 s")
    assert int(grown) < 64 * 1024  # kilobytes; the samples alone would be 337,000


@pytest.mark.parametrize("seed", range(8))
def test_cuts_lose_no_frame_of_speech_and_are_never_too_long(seed):
    rng = np.random.default_rng(seed)
    steps = rng.normal(0, 0.35 if seed % 2 else 0.05, 6_000)
    probabilities = np.clip(0.5 + np.abs(np.cumsum(steps) % 2 - 1) - 0.5 + (seed == 3), 0, 1)
    limit, params = 6.0, CutParams(padding=0.1 * (seed % 3), pause=0.3)
    spans = cut_spans(probabilities, params, limit)
    frames = np.flatnonzero(speech_frames(probabilities, params.threshold)) * FRAME / RATE
    for frame in frames:
        assert any(start <= frame + 1e-9 and frame + FRAME / RATE <= end + 1e-9 for start, end in spans)
    assert all(0 <= start < end and end - start <= limit + 1e-9 for start, end in spans)
    assert spans == sorted(spans)
    assert spans[-1][1] <= len(probabilities) * FRAME / RATE


def test_a_cut_ends_at_a_pause_and_keeps_its_padding():
    probabilities = np.zeros(1000)
    probabilities[100:200] = probabilities[210:300] = probabilities[400:500] = 0.9
    second = FRAME / RATE
    spans = cut_spans(probabilities, VAD, 30.0)
    assert spans == [(100 * second - 0.2, 300 * second + 0.2), (400 * second - 0.2, 500 * second + 0.2)]
    tight = cut_spans(probabilities, VAD, 6.0)
    assert tight[0] == pytest.approx((100 * second - 0.2, 205 * second + 0.2))  # the middle of the quiet
    with pytest.raises(IltError, match=r"corpus\.cut\.padding"):
        cut_spans(probabilities, CutParams(padding=3.0), 6.0)


@pytest.fixture(scope="module")
def recording(speech, tmp_path_factory):
    """A minute of speech with pauses at 22.05 kHz, and where each utterance lies in it, in seconds."""
    spoken = speech(*(("en", text) for text in ("two six zero", "five one eight four", "nine", "seven three")))
    rate, parts, places, at = 22_050, [], [], 0.0
    import soxr

    for number in range(24):
        pause = 0.2 if 8 <= number < 16 else 1.0  # in the middle nobody stops for long
        samples = soxr.resample(spoken[number % len(spoken)], RATE, rate)
        parts += [np.zeros(round(pause * rate), np.float32), samples]
        loud = np.flatnonzero(np.abs(samples) > 0.02)
        places.append((at + pause + loud[0] / rate, at + pause + loud[-1] / rate))
        at += (len(parts[-1]) + len(parts[-2])) / rate
    path = tmp_path_factory.mktemp("long") / "talk.wav"
    soundfile.write(path, np.concatenate([*parts, np.zeros(rate, np.float32)]), rate)
    return path, places


def test_speech_is_judged_in_blocks_as_the_model_judges_the_whole(recording):
    pytest.importorskip("onnxruntime")
    silero = pytest.importorskip("silero_vad")
    samples = read_audio(recording[0])
    whole = silero.load_silero_vad(sequence=True).audio_forward(samples)
    probabilities = VoiceActivity("a test").probabilities(
        samples[at : at + 10_007] for at in range(0, len(samples), 10_007)
    )
    assert len(probabilities) == len(whole)
    assert np.abs(probabilities - whole).max() < 1e-4
    assert VoiceActivity("a test").probabilities([]).shape == (0,)


@pytest.mark.parametrize("limit", [6.0, 30.0])
def test_a_long_recording_of_the_pool_becomes_rows_with_offsets(recording, limit):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("silero_vad")
    path, places = recording
    row = Row("m:1", "talk", path, "talk.wav", "en", "ann", "pool", "what was said in all of it")
    imported = import_rows([row], Limits(0.1, limit), Cutter(VAD, limit))
    assert imported.problems == []
    rows = imported.rows
    assert rows["duration"].max() <= limit
    assert rows["cut_of"].unique().to_list() == ["talk"]
    assert rows["text"].null_count() == len(rows)
    assert rows["id"].str.contains(r"^talk-\d{8}-\d{8}$").all()
    spans = [(start, start + seconds) for start, seconds in rows.select("offset", "duration").iter_rows()]
    for start, end in places:  # every utterance, from its first to its last loud sample
        inside = sorted((max(start, a), min(end, b)) for a, b in spans if a < end and b > start)
        reached = start
        for a, b in inside:
            assert a <= reached + 1e-3, "a gap between two cuts"
            reached = max(reached, b)
        assert reached >= end - 1e-3
    for key, offset, seconds, digest in rows.select("id", "offset", "duration", "audio_hash").iter_rows():
        assert audio_hash(read_audio(path, offset, seconds)) == digest, key


def test_only_the_pool_is_cut_and_silence_is_a_problem(recording, tmp_path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("silero_vad")
    path, _ = recording
    cut = Cutter(VAD, 6.0)
    gold = Row("m:1", "g", path, "talk.wav", "en", None, "gold", "two")
    assert list(cut(gold)) == [gold]
    short = Row("m:2", "s", _noise(tmp_path / "short.wav", 0), "short.wav", "en", None, "pool")
    assert list(cut(short)) == [short]
    soundfile.write(tmp_path / "still.wav", np.zeros(20 * RATE), RATE)
    still = Row("m:3", "q", tmp_path / "still.wav", "still.wav", "en", None, "pool")
    (problem,) = cut(still)
    assert isinstance(problem, Problem)
    assert "no speech was found in 20.0 s" in problem.what
    behind = Row("m:5", "b", tmp_path / "still.wav", "still.wav", "en", None, "pool", None, 40.0, 30.0)
    (problem,) = cut(behind)
    assert problem.what == "offset 40.0 s is behind the end (20.00 s) (still.wav)"
    part = Row("m:4", "p", path, "talk.wav", "en", None, "pool", offset=10.0, duration=20.0)
    offsets = [row.offset for row in cut(part)]
    assert min(offsets) >= 10.0 and max(offsets) < 30.0


def test_a_cut_whose_id_another_row_has_is_a_duplicate(tmp_path):
    rows = [
        Row(f"m:{n}", key, _noise(tmp_path / f"{n}.wav", n), f"{n}.wav", "en", None, "pool")
        for n, key in enumerate(("a-1", "a"))
    ]

    def cut(row):
        yield from [row] if row.id == "a-1" else (replace(row, id=f"a-{n}", offset=n / 4) for n in (1, 2))

    imported = import_rows(rows, Limits(0.1, 6.0), cut)
    assert imported.rows["id"].to_list() == ["a-1", "a-2"]
    assert [str(problem) for problem in imported.problems] == [
        "m:1: a-1: duplicate id, already used at m:0; ids must differ"
    ]


def test_cutting_without_its_package_is_one_clear_error(monkeypatch):
    monkeypatch.setitem(sys.modules, "silero_vad", None)
    with pytest.raises(
        IltError,
        match=r"needs the packages silero-vad and onnxruntime; in the clone, "
        r"pip install -e '\.\[vad\]'",
    ):
        Cutter(VAD, 6.0)


def test_many_utterances_are_written_in_parts_in_the_order_of_their_ids(tmp_path, monkeypatch):
    monkeypatch.setattr("ilt.corpus.imported.GROUP_BYTES", 100_000)
    monkeypatch.chdir(tmp_path)
    lines = [
        {
            "audio_filepath": _noise(tmp_path / f"{n}.wav", n).name,
            "lang": "en",
            "split": "pool",
            "id": f"u{9 - n}",
        }
        for n in range(10)
    ]
    imported = import_rows(Manifest(_manifest(tmp_path, lines)).rows(), Limits(0.1, 6.0))
    imported.write(tmp_path / "table.parquet")
    import pyarrow.parquet as pq

    assert pq.read_metadata(tmp_path / "table.parquet").num_row_groups > 2
    table = UTTERANCE_TABLE.read(tmp_path / "table.parquet")
    assert table["id"].to_list() == [f"u{n}" for n in range(10)]
    assert table.equals(imported.table())
    again = tmp_path / "again.parquet"
    import_rows(Manifest(_manifest(tmp_path, lines[::-1])).rows(), Limits(0.1, 6.0)).write(again)
    assert again.read_bytes() == (tmp_path / "table.parquet").read_bytes()
