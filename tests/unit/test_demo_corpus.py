"""The demo corpus: the same for the same seed, its splits apart, its pool without text."""

from __future__ import annotations

import time

import numpy as np
import polars as pl
import pytest

from ilt.corpus.audio import RATE, audio_hash, decode_flac
from ilt.corpus.table import SPLITS, UTTERANCE_TABLE
from ilt.demo import espeak
from ilt.demo.corpus import demo_corpus
from ilt.demo.espeak import Voice
from ilt.demo.speech import Utterance, render
from ilt.errors import IltError
from ilt.params import DemoParams, DomainParams
from ilt.tools.doctor.checks import programs

PARAMS = DemoParams(
    languages=["en", "ko"],
    gold=4,
    pool=6,
    dev=3,
    test=4,
    retention=2,
    source=DomainParams(patterns=["digits"], accents="source"),
    target={
        "patterns": ["date", "amount"],
        "telephone": 0.5,
        "noise_snr": (10.0, 20.0),
        "babble_snr": (8.0, 20.0),
    },
)


@pytest.fixture(scope="module")
def corpus():
    return demo_corpus(PARAMS, seed=3, max_duration=6.0)


def test_the_same_seed_gives_the_same_corpus(corpus):
    time.sleep(1.1)  # in another second of the clock
    again = demo_corpus(PARAMS, seed=3, max_duration=6.0)
    assert all(one.equals(other) for one, other in zip(corpus, again, strict=True))


@pytest.mark.parametrize("library", ["missing.so", "text.so"])
def test_without_espeak_the_demo_says_what_to_install(monkeypatch, tmp_path, library):
    (tmp_path / "text.so").write_text("no library")
    monkeypatch.setattr("espeakng_loader.get_library_path", lambda: str(tmp_path / library))
    espeak._library.cache_clear()
    try:
        with pytest.raises(IltError, match=rf"{library}.*pip install .*espeakng-loader.*corpus\.source"):
            espeak.synthesise("one", Voice("en-us"))
        checks = {one.name: one for one in programs()}
        assert checks["espeak-ng"].state == "missing" and library in checks["espeak-ng"].what
    finally:
        espeak._library.cache_clear()


def test_breathy_voices_do_not_depend_on_the_clock():
    texts = [Utterance("nine one", "en", Voice("en-us", name), seed=5) for name in ("whisper", "f2", "Alicia")]
    before = list(render(texts))
    time.sleep(1.1)
    assert all(np.array_equal(one, other) for one, other in zip(before, render(texts), strict=True))


def test_another_seed_gives_another_corpus(corpus):
    rows, _ = demo_corpus(PARAMS, seed=4, max_duration=6.0)
    assert not set(rows["audio_hash"]) & set(corpus[0]["audio_hash"])


def test_every_split_of_every_language_has_its_count(corpus):
    rows = UTTERANCE_TABLE.conform(corpus[0])
    counts = {(language, split): n for language, split, n in rows.group_by("language", "split").len().iter_rows()}
    assert counts == {
        (code, split): getattr(PARAMS, split) for code in ("en", "ko") for split in SPLITS if split != "replay"
    }


@pytest.mark.parametrize("column", ["speaker", "audio_hash"])
def test_nothing_is_shared_between_splits(corpus, column):
    splits = corpus[0].group_by(column).agg(pl.col("split").n_unique())
    assert splits["split"].max() == 1


def test_the_pool_has_no_text_and_a_complete_reference(corpus):
    rows, references = corpus
    pool = rows.filter(pl.col("split") == "pool")
    assert pool["text"].null_count() == len(pool)
    assert sorted(references["id"]) == sorted(pool["id"])
    assert all(text.strip() for text in references["text"])
    assert rows.filter(pl.col("split") != "pool")["text"].null_count() == 0


def test_audio_decodes_to_the_stated_duration(corpus):
    for row in corpus[0].iter_rows(named=True):
        samples = decode_flac(row["audio"]["bytes"])
        assert len(samples) / RATE == row["duration"] <= 6.0
        assert abs(samples).max() > 0.05


def test_the_hash_is_that_of_the_stored_audio(corpus):
    for data, digest in zip(corpus[0]["audio"].struct.field("bytes"), corpus[0]["audio_hash"], strict=True):
        assert audio_hash(decode_flac(data)) == digest


def test_strays_change_a_share_of_the_pool_and_nothing_else():
    few = PARAMS.model_copy(update={"pool": 40})
    (rows, texts), (strayed, texts_now) = (
        demo_corpus(few.model_copy(update={"strays": share}), seed=3, max_duration=9.0) for share in (0.0, 0.6)
    )
    both = rows.join(strayed, on="id", suffix="_now")
    assert len(both) == len(rows) == len(strayed)
    changed = both.filter(pl.col("audio_hash") != pl.col("audio_hash_now"))
    assert changed["split"].unique().to_list() == ["pool"]
    assert both.filter(pl.col("language") != pl.col("language_now")).is_empty()
    assert 0.45 < len(changed) / len(texts) < 0.75

    korean = pl.col("text").str.contains(r"\p{Hangul}")
    filed = texts_now.filter(korean != pl.col("id").str.starts_with("ko"))
    assert not len(texts.filter(korean != pl.col("id").str.starts_with("ko")))
    assert 0.1 < len(filed) / len(texts) < 0.3  # a third of the 0.6
    assert set(filed["id"]) < set(changed["id"])

    # The others have their words, but under a voice or a noise that is as loud.
    for row in changed.filter(~pl.col("id").is_in(filed["id"].to_list())).iter_rows(named=True):
        before, now = (decode_flac(row[name]["bytes"]) for name in ("audio", "audio_now"))
        assert abs(np.corrcoef(before, now)[0, 1]) < 0.95


def test_what_is_too_long_is_left_out(corpus):
    limit = float(corpus[0]["duration"].median())
    rows, references = demo_corpus(PARAMS, seed=3, max_duration=limit)
    assert 0 < len(rows) < len(corpus[0])
    assert rows["duration"].max() <= limit
    assert set(references["id"]) == set(rows.filter(pl.col("split") == "pool")["id"])


def test_an_unknown_language_is_refused():
    with pytest.raises(IltError, match="xx"):
        demo_corpus(PARAMS.model_copy(update={"languages": ["en", "xx"]}), seed=1, max_duration=6.0)
