"""ilt explain: one utterance through all iterations."""

from __future__ import annotations

import json
import unicodedata

import numpy as np
import polars as pl
import pytest
import soundfile
from typer.testing import CliRunner

from ilt import paths
from ilt.cli import app
from ilt.corpus.audio import RATE, audio_hash, encode_flac
from ilt.corpus.table import POOL_REFERENCE_TABLE, UTTERANCE_TABLE
from ilt.errors import IltError
from ilt.labels.table import CORRECTIONS_TABLE, LABEL_TABLE, PREDICTION_TABLE


def label(iteration, stage, text, **more):
    return {
        "id": "p/1", "language": "ar", "split": "pool", "iteration": iteration, "stage": stage, "text": text,
        "source": "pseudo", "flags": [], "lineage": "feedfacefeedface", **more,
    }  # fmt: skip


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    """A pool utterance in two tables of it1, and a test utterance that base and it1 were scored on."""
    monkeypatch.chdir(tmp_path)
    samples = np.sin(np.arange(RATE) * 0.05).astype(np.float32) * 0.3
    audio = {"path": None, "bytes": encode_flac(samples)}
    common = {"language": "ar", "duration": 1.0, "audio": audio, "audio_hash": audio_hash(samples)}
    rows = [
        {"id": "p/1", "speaker": "s1", "split": "pool", "text": None, **common},
        {"id": "t-1", "speaker": "s2", "split": "test", "text": "واحد", **common},
    ]
    UTTERANCE_TABLE.write(pl.DataFrame(rows, schema=UTTERANCE_TABLE.schema), paths.UTTERANCES)
    POOL_REFERENCE_TABLE.write(pl.DataFrame({"id": ["p/1"], "text": ["واحد اثنين"]}), paths.POOL_REFERENCE)
    for table, row in {
        "pseudo": label("it1", "label", "واحد اثنان", avg_logprob=-0.25, perturbed_text="واحد"),
        "selected": label(
            "it1", "select", "واحد اثنان", expected_error=0.4, selected=False,
            reason="dropped: rank 9",
        ),
        "corrected": label(
            "it1", "correct", "واحد اثنين", avg_logprob=-0.1, expected_error=0.1, selected=True,
            source="corrected", reason="kept: rank 2; label corrected (by vote)", flags=["loop"],
        ),
    }.items():  # fmt: skip
        frame = pl.DataFrame([row], schema_overrides={"flags": pl.List(pl.String)})
        LABEL_TABLE.write(frame, paths.labels("it1", table))
    for name, text in (("base", "اثنين"), ("it1", "واحد")):
        row = {"id": "t-1", "language": "ar", "split": "test", "reference": "واحد", "hypothesis": text}
        PREDICTION_TABLE.write(pl.DataFrame([row]), paths.predictions(name))
    lineage = {
        "id": "data/models/demo-whisper",
        "hash": "feedfacefeedface",
        "adapters": [{"path": "data/iterations/it1/adapters/focus", "hash": "x"}],
    }
    paths.write_json(paths.lineage("it1", "focus"), lineage)
    return tmp_path


def explain(*arguments):
    result = CliRunner().invoke(app, ["explain", *arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0
    return result


def test_each_stage_says_what_it_did():
    shown = explain("p/1").stdout
    steps = [shown.index(part) for part in ("it1 label  50.0 % wrong", "it1 select", "it1 correct  0.0 % wrong")]
    assert steps == sorted(steps)
    assert "reference: \u2067واحد اثنين\u2069" in shown
    assert "\u2067واحد [-اثنان-] {+اثنين+}\u2069" in shown
    assert "perturbed: \u2067واحد\u2069" in shown
    assert "log-prob -0.250" in shown
    assert "dropped: rank 9; source pseudo; expected error 40.0 %" in shown
    assert "label corrected (by vote); source corrected; expected error 10.0 %; flags loop" in shown
    assert "model feedfacefeedface: data/models/demo-whisper + it1.focus" in shown


def test_what_people_said_is_shown():
    row = {"id": "p/1", "text": "واحد اثنين", "verdict": "corrected", "reviewer": "ann"}
    CORRECTIONS_TABLE.write(pl.DataFrame([row]), paths.CORRECTIONS)
    assert "ann says corrected: \u2067واحد اثنين\u2069" in explain("p/1").stdout


def test_a_test_utterance_shows_predictions():
    shown = explain("t-1").stdout
    assert shown.index("base  100.0 % wrong") < shown.index("it1 predict  0.0 % wrong")


def test_json_has_every_column():
    story = json.loads(explain("p/1", "--format", "json").stdout)
    assert [step["table"] for step in story["steps"]] == ["pseudo", "selected", "corrected"]
    assert set(story["steps"][0]["row"]) == set(LABEL_TABLE.schema)


def test_play_writes_the_audio(project):
    assert explain("p/1", "--play").stderr.strip() == "audio: .ilt/audio/p_1.flac"
    samples, rate = soundfile.read(project / ".ilt/audio/p_1.flac")
    assert (len(samples), rate) == (RATE, RATE)


def test_an_unknown_id_names_the_nearest():
    with pytest.raises(IltError, match=r"no utterance 'p1'.*nearest ids are p/1"):
        explain("p1")


def test_without_a_corpus_it_says_what_to_do(project):
    (project / paths.UTTERANCES).unlink()
    with pytest.raises(IltError, match="run `dvc repro`"):
        explain("p/1")


STEERING = "\x1b]0;owned\x07 \x9b31m \u202egpj \u2066x \x7f"
"""Sets a terminal's title, its colour (C1), and the direction of the rest of the line."""


def rewrite(table, path, key, **cells):
    """Change the cells of one row of a table."""
    here = pl.col("id") == key
    frame = table.read(path).with_columns(
        pl.when(here).then(pl.lit(value, table.schema[name])).otherwise(name).alias(name)
        for name, value in cells.items()
    )
    table.write(frame, path)


@pytest.mark.parametrize("form", ["text", "json"])
def test_nothing_of_the_data_steers_the_terminal(form):
    key = f"p/1{STEERING}"
    rewrite(UTTERANCE_TABLE, paths.UTTERANCES, "p/1", id=key, speaker=STEERING)
    rewrite(POOL_REFERENCE_TABLE, paths.POOL_REFERENCE, "p/1", id=key, text=STEERING)
    for name in ("pseudo", "selected", "corrected"):
        cells = {"id": key, "text": f"{name} {STEERING}", "perturbed_text": STEERING, "reason": STEERING}
        rewrite(LABEL_TABLE, paths.labels("it1", name), "p/1", **cells)
    row = {"id": key, "text": STEERING, "verdict": "corrected", "reviewer": STEERING}
    CORRECTIONS_TABLE.write(pl.DataFrame([row]), paths.CORRECTIONS)
    shown = explain(key, "--format", form).stdout
    steering = [c for c in shown if c != "\n" and (unicodedata.category(c) == "Cc" or c in "\u202e\u2066")]
    assert not steering
    assert shown.count(r"\u001b]0;owned\u0007") >= 9
    if form == "json":
        assert json.loads(shown)["utterance"]["id"] == key


@pytest.mark.parametrize(
    "path",
    [
        paths.UTTERANCES,
        paths.POOL_REFERENCE,
        paths.CORRECTIONS,
        paths.labels("it1", "pseudo"),
        paths.predictions("it1"),
    ],
)
@pytest.mark.parametrize("content", [b"", b"PAR1 and no more", "half"])
def test_a_damaged_table_is_named_with_what_restores_it(path, content):
    CORRECTIONS_TABLE.write(CORRECTIONS_TABLE.empty(), paths.CORRECTIONS)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if content == "half" else content)
    with pytest.raises(IltError, match=rf"^{path} is damaged .*dvc checkout --force {path}"):
        explain("p/1")


def test_damage_within_a_table_is_named_too():
    path = paths.labels("it1", "corrected")
    content = bytearray(path.read_bytes())
    content[4:400] = bytes(396)
    path.write_bytes(content)
    with pytest.raises(IltError, match=f"^{path} is damaged"):
        explain("p/1")


@pytest.mark.parametrize("path", [paths.lineage("it1", "focus"), paths.plan("report")])
@pytest.mark.parametrize("content", [b"", b'{"id": ', b"\xff\xfe", b"null", b"[]", b"{}", b"[" * 100_000])
def test_damaged_json_is_named_with_what_restores_it(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    with pytest.raises(IltError, match=rf"^{path} is damaged .*dvc checkout --force {path}"):
        explain("p/1")


def test_a_long_id_has_audio_of_a_shorter_name():
    key = "ㄱ/" * 1500
    rewrite(UTTERANCE_TABLE, paths.UTTERANCES, "p/1", id=key)
    path = explain(key, "--play").stderr.strip().removeprefix("audio: ")
    assert soundfile.info(path).frames == RATE
