"""`ilt transcribe`: files of any length and form, cut in pauses, with nothing lost between the pieces."""

from __future__ import annotations

import io
import json
import re
import shutil

import numpy as np
import pytest
import soundfile
import soxr
from typer.testing import CliRunner

from ilt.cli import app
from ilt.corpus.audio import RATE, read_audio
from ilt.corpus.vad import loud_activity
from ilt.errors import IltError
from ilt.tools.transcribe.command import cut_pieces
from ilt.tools.transcribe.formats import Segment, Transcript
from ilt.tools.transcribe.reading import audio_blocks

SAID = (
    ("en", "nine"),
    ("en", "two six zero"),
    ("en", "five one eight four"),
)
PAUSES = (0.7, 1.5, 3.0, 0.9, 12.0, 0.8)


@pytest.fixture(scope="module")
def recording(speech):
    """Samples of twelve utterances with pauses of low noise between them, and begin, end and text of each."""
    rng = np.random.default_rng(0)
    parts, spoken, at = [], [], 0
    for number in range(12):
        (_, text), samples = SAID[number % 3], speech(*SAID)[number % 3]
        pause = 3e-4 * rng.standard_normal(int(RATE * PAUSES[number % 6]))
        loud = np.flatnonzero(np.abs(samples) > 0.02)
        parts += [pause, samples]
        at += len(pause)
        spoken.append(((at + loud[0]) / RATE, (at + loud[-1]) / RATE, text))
        at += len(samples)
    return np.concatenate(parts).astype(np.float32), spoken


@pytest.fixture(scope="module")
def files(recording, tmp_path_factory):
    """The recording as 44.1 kHz stereo wav, 16 kHz FLAC, 24 kHz mp3 and 48 kHz ogg."""
    folder, (samples, _) = tmp_path_factory.mktemp("files"), recording
    for name, rate in (("wav", 44_100), ("flac", RATE), ("mp3", 24_000), ("ogg", 48_000)):
        mono = samples if rate == RATE else soxr.resample(samples, RATE, rate)
        channels = 2 if name == "wav" else 1
        with soundfile.SoundFile(folder / f"talk.{name}", "w", rate, channels) as file:
            for start in range(0, len(mono), rate):  # libsndfile's Vorbis does not take much at once
                block = mono[start : start + rate]
                file.write(np.stack([block, 0.9 * block], 1) if channels == 2 else block)
    return folder


def _run(*options):
    done = CliRunner().invoke(app, ["transcribe", *map(str, options)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.mark.parametrize("kind", ["wav", "flac", "mp3", "ogg"])
def test_a_long_file_is_transcribed_whole_with_its_times(files, recording, base_folder, kind, tmp_path):
    output = tmp_path / "talk.json"
    _run(
        files / f"talk.{kind}",
        "--language",
        "en",
        "--model",
        base_folder,
        "--format",
        "json",
        "--output",
        output,
    )
    transcript, (samples, spoken) = json.loads(output.read_text(encoding="utf-8")), recording
    assert transcript["duration"] == pytest.approx(len(samples) / RATE, abs=0.1)
    assert transcript["text"] == " ".join(text for _, _, text in spoken)
    assert [s["text"] for s in transcript["segments"]] == [text for _, _, text in spoken]
    for segment, (start, end, _) in zip(transcript["segments"], spoken, strict=True):
        assert segment["start"] == pytest.approx(start, abs=0.15)
        assert segment["end"] == pytest.approx(end, abs=0.15)
        assert segment["finished"]
    assert not list(tmp_path.glob(".*"))


def test_blocks_are_the_file(files):
    for kind in ("wav", "flac", "ogg"):
        path = files / f"talk.{kind}"
        np.testing.assert_allclose(np.concatenate(list(audio_blocks(path))), read_audio(path), atol=2e-4)


def _clock(text):
    hours, minutes, seconds = re.split("[:]", text.replace(",", "."))
    return 3600 * int(hours) + 60 * int(minutes) + float(seconds)


@pytest.mark.parametrize(("form", "mark"), [("srt", ","), ("vtt", ".")])
def test_subtitles_are_valid(files, recording, base_folder, form, mark):
    text = _run(files / "talk.flac", "--language", "en", "--model", base_folder, "--format", form)
    blocks = text.strip().split("\n\n")
    if form == "vtt":
        assert blocks.pop(0) == "WEBVTT"
    assert len(blocks) == len(recording[1])
    last = 0.0
    for number, block in enumerate(blocks, 1):
        lines = block.split("\n")
        if form == "srt":
            assert lines.pop(0) == str(number)
        time = re.fullmatch(rf"(\d\d:\d\d:\d\d\{mark}\d{{3}}) --> (\d\d:\d\d:\d\d\{mark}\d{{3}})", lines[0])
        assert time and last <= _clock(time[1]) < _clock(time[2])
        last = _clock(time[2])
        assert lines[1:] == [recording[1][number - 1][2]]


def test_times_over_an_hour_and_marks_in_the_text():
    segment = Segment(3661.5, 3723.004, "a <b> --> c", -0.1, None, True)
    empty = Segment(3724.0, 3725.0, "", -0.1, None, True)
    transcript = Transcript("x.wav", "en", 4000.0, "0", [segment, empty])
    assert transcript.written("srt") == "1\n01:01:01,500 --> 01:02:03,004\na <b> -> c\n"
    assert transcript.written("vtt").endswith("01:01:01.500 --> 01:02:03.004\na &lt;b&gt; --&gt; c\n")
    assert transcript.written("text") == "a <b> --> c\n"
    assert len(json.loads(transcript.written("json"))["segments"]) == 2


@pytest.mark.parametrize("limit", [1.0, 6.0])
@pytest.mark.parametrize("kind", ["talk", "tone", "noise", "speech without a pause"])
def test_what_is_not_quiet_is_in_exactly_one_piece(recording, limit, kind):
    rng = np.random.default_rng(1)
    talk = recording[0]
    samples = {
        "talk": talk,
        "tone": 0.1 * np.sin(np.arange(20 * RATE) / 10),
        "noise": 0.1 * rng.standard_normal(20 * RATE),
        "speech without a pause": np.concatenate([talk[np.abs(talk) > 0.003]] * 3),
    }[kind].astype(np.float32)
    activity = loud_activity([samples[: RATE // 3], samples[RATE // 3 :]])
    assert activity.samples == len(samples)
    assert len(activity.speech) == -(-len(samples) // activity.frame)
    assert activity.speech.any()
    covered = np.zeros(len(samples), int)
    for piece in cut_pieces(activity, limit):
        assert 0 < piece.end - piece.start <= limit * RATE
        assert piece.start <= piece.speech_start < piece.speech_end <= piece.end
        covered[piece.start : piece.end] += 1
    assert covered.max() == 1
    assert covered[np.repeat(activity.speech, activity.frame)[: len(samples)]].min() == 1


def test_silence_has_no_text(tmp_path, base_folder):
    soundfile.write(tmp_path / "silence.wav", np.zeros(10 * RATE, np.float32), RATE)
    done = CliRunner().invoke(
        app, ["transcribe", str(tmp_path / "silence.wav"), "--language", "en", "--model", str(base_folder)]
    )
    assert (done.exit_code, done.stdout) == (0, "")
    assert "no speech was found" in done.stderr


def test_a_very_short_file_is_heard(tmp_path, base_folder, speech):
    soundfile.write(tmp_path / "blip.wav", speech(*SAID)[0][2000:2100], RATE)
    _run(tmp_path / "blip.wav", "--language", "en", "--model", base_folder)


def test_several_files_go_to_a_folder(files, base_folder, tmp_path, recording, monkeypatch):
    monkeypatch.chdir(tmp_path)  # no repository is needed for a model that lies in a folder
    (tmp_path / "b.flac").write_bytes((files / "talk.flac").read_bytes())
    _run(
        files / "talk.ogg", tmp_path / "b.flac", "--language", "en", "--model", base_folder,
        "--format", "vtt", "--output", tmp_path / "out",
    )  # fmt: skip
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["b.vtt", "talk.vtt"]
    shown = _run(files / "talk.ogg", tmp_path / "b.flac", "--language", "en", "--model", base_folder)
    assert shown.count("two six zero\n") == 2 * len(recording[1]) / 3
    assert shown.startswith(f"# {files / 'talk.ogg'}\n")


def test_silero_finds_the_same_speech(files, base_folder, recording):
    pytest.importorskip("silero_vad", reason="the extra `vad` is not installed")
    shown = _run(files / "talk.flac", "--language", "en", "--model", base_folder, "--vad", "silero", "--format", "json")
    segments = json.loads(shown)["segments"]
    for start, end, _ in recording[1]:
        middle = (start + end) / 2
        assert sum(s["start"] <= middle <= s["end"] for s in segments) == 1


def test_bad_input_is_named_before_anything_is_done(files, base_folder, tmp_path):
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.mp3").write_text("this is no audio, whatever its name says")
    bad = [tmp_path / "empty.wav", tmp_path / "text.mp3", tmp_path / "gone.flac"]
    output = tmp_path / "out"
    with pytest.raises(IltError, match="3 found") as caught:
        _run(files / "talk.flac", *bad, "--language", "en", "--model", base_folder, "--output", output)
    assert all(path.name in str(caught.value) for path in bad)
    assert not output.exists()
    with pytest.raises(IltError, match="this is a folder; name its audio files"):
        _run(files, "--language", "en", "--model", base_folder)


def test_an_output_that_cannot_be_is_refused_before_the_model_is_loaded(files, tmp_path):
    mine, out = tmp_path / "mine.txt", tmp_path / "out"
    mine.write_bytes((files / "talk.flac").read_bytes())
    (out / "mine.txt").mkdir(parents=True)
    (out / "mine.txt" / "notes").write_text("keep")
    (tmp_path / "link.txt").symlink_to(mine)
    before = sorted(tmp_path.rglob("*"))
    for output, message in (
        (mine, "is one of the recordings"),
        (tmp_path / "link.txt", "is one of the recordings"),
        (tmp_path, "is one of the recordings"),
        (out, "mine.txt is a folder; name a file"),
        (mine / "x.txt", "mine.txt is a file, and nothing lies below it"),
    ):
        with pytest.raises(IltError, match=message):
            _run(mine, "--language", "en", "--model", tmp_path / "no-model", "--output", output)
    assert sorted(tmp_path.rglob("*")) == before
    assert mine.read_bytes() == (files / "talk.flac").read_bytes()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--language", "en", "--format", "docx"], "text, json, srt, vtt"),
        (["--language", "en", "--vad", "magic"], "energy, silero"),
        (["--language", "en", "--iteration", "it1"], "give one of them"),
        (["--language", "xx"], "does not know the language 'xx'"),
        (["--language", "de-DE"], r"de-DE: write 'de'\Z"),
        (["--language", "English"], r"English: write 'en'\Z"),
    ],
)
def test_what_cannot_be_is_one_clear_error(files, base_folder, options, message):
    with pytest.raises(IltError, match=message):
        _run(files / "talk.flac", "--model", base_folder, *options)


def test_an_exported_form_that_is_not_a_model_is_refused(files, tmp_path):
    (tmp_path / "ilt_export.json").write_text('{"form": "ctranslate2"}')
    with pytest.raises(IltError, match="exported ctranslate2; a merged one is needed"):
        _run(files / "talk.flac", "--model", tmp_path, "--language", "en")


def test_code_that_a_model_brings_along_is_never_run_and_never_asked_for(files, base_folder, tmp_path, monkeypatch):
    """A model of an unknown type, and a Whisper whose files name classes of their own."""
    folder, mark = shutil.copytree(base_folder, tmp_path / "foreign"), tmp_path / "was-run"
    (folder / "custom.py").write_text(f"open({str(mark)!r}, 'w')\n")
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n" * 9))
    asked = []
    monkeypatch.setattr("builtins.input", lambda *prompt: asked.append(prompt) or "y")
    classes = {
        "config.json": {"AutoConfig": "custom.Config", "AutoModelForSpeechSeq2Seq": "custom.Model"},
        "processor_config.json": {"AutoProcessor": "custom.Processor"},
        "tokenizer_config.json": {"AutoTokenizer": ["custom.Tokenizer", None]},
    }
    for name, auto_map in classes.items():
        values = json.loads((folder / name).read_text()) | {"auto_map": auto_map}
        (folder / name).write_text(json.dumps(values))
    assert "two six zero" in _run(files / "talk.flac", "--language", "en", "--model", folder)
    values = json.loads((folder / "config.json").read_text()) | {"model_type": "unheard-of"}
    (folder / "config.json").write_text(json.dumps(values))
    with pytest.raises(
        IltError, match=r"'unheard-of' model; supported: .*code of its own \(auto_map\), which is never"
    ):
        _run(files / "talk.flac", "--language", "en", "--model", folder)
    assert not asked and not mark.exists()
