"""Whisper: the same text alone or in a batch, as transformers decodes it; cut contexts; features."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
import torch

from ilt.asr.context import audio_context
from ilt.asr.features import FeatureStore, pad_features
from ilt.corpus.audio import RATE, decode_flac
from ilt.errors import IltError


@pytest.fixture(scope="module")
def model(load_model):
    return load_model("full")


@pytest.fixture(scope="module")
def store(model, spoken_table):
    return FeatureStore(spoken_table, model.extractor, limit_mb=0)


@pytest.fixture(scope="module")
def batch(store, spoken_table):
    return [store[key] for key in spoken_table["id"]], spoken_table["language"].to_list()


@pytest.fixture(scope="module")
def hypotheses(model, batch):
    return model.transcribe(*batch, embed=True)


def test_a_batch_of_mixed_lengths_gives_the_texts_of_each_alone(model, batch, hypotheses):
    assert len({feature.shape[1] for feature in batch[0]}) > 3
    for feature, language, together in zip(*batch, hypotheses, strict=True):
        (alone,) = model.transcribe([feature], [language], embed=True)
        assert alone.text == together.text
        assert alone.avg_logprob == pytest.approx(together.avg_logprob, abs=1e-3)
        assert np.allclose(alone.embedding, together.embedding, atol=1e-3)


def test_greedy_decoding_is_that_of_transformers(model, batch, hypotheses):
    for feature, language, ours in zip(*batch, hypotheses, strict=True):
        tokens = model.model.generate(
            pad_features([feature], model.max_frames), language=language, task="transcribe", num_beams=1
        )
        (theirs,) = model.tokenizer.batch_decode(tokens, skip_special_tokens=True)
        assert ours.text == " ".join(theirs.split())


def test_decoding_stops_where_nobody_can_speak_as_fast(model, batch, hypotheses, monkeypatch):
    slow = model.params.model_copy(update={"max_chars_per_second": 1.0})
    monkeypatch.setattr(model, "params", slow)
    for one, whole, feature in zip(model.transcribe(*batch), hypotheses, batch[0], strict=True):
        limit = 4 + feature.shape[1] / 50
        if len(whole.text) <= limit:
            assert (one.text, one.finished) == (whole.text, True)
        else:
            assert whole.text.startswith(one.text)
            assert len(one.text) <= limit
            assert whole.finished and not one.finished


def test_the_base_writes_some_texts_right(hypotheses, spoken_table):
    right = sum(one.text == text for one, text in zip(hypotheses, spoken_table["text"], strict=True))
    assert right >= 2


def _check_evidence(hypotheses):
    for one in hypotheses:
        numbers = (one.avg_logprob, one.min_logprob, one.token_entropy, one.compression_ratio)
        assert all(math.isfinite(number) for number in numbers)
        assert one.min_logprob <= one.avg_logprob <= 0 <= one.token_entropy
        assert 0 <= one.no_speech_prob <= 1
        assert 0 < one.detected_probability <= 1


def test_greedy_evidence_is_finite_and_the_language_is_detected(hypotheses, spoken_table):
    _check_evidence(hypotheses)
    right = sum(one.detected_language == code for one, code in zip(hypotheses, spoken_table["language"], strict=True))
    assert right >= 4


def test_beam_search_runs_and_its_evidence_is_finite(model, batch):
    features, languages = batch
    searched = model.transcribe(features[1:4], languages[1:4], beams=2)
    assert len(searched) == 3
    assert all(one.text for one in searched)
    _check_evidence(searched)


def test_evidence_by_teacher_forcing_is_that_of_decoding(model, batch, hypotheses):
    (loss,) = [model.loss(batch[0][:1], batch[1][:1], [hypotheses[0].text]).item()]
    # The mask takes time stamps and special tokens from what is decoded, so that the loss is a little larger.
    assert loss == pytest.approx(-hypotheses[0].avg_logprob, abs=0.02)


def test_a_cut_context_gives_as_many_texts(load_model, batch, hypotheses):
    cut = load_model("batch").transcribe(*batch)
    assert len(cut) == len(hypotheses)
    _check_evidence(cut)


def test_the_context_is_cut_within_the_block_alone(model):
    encoder, full = model.model.get_encoder(), model.max_frames
    positions = encoder.embed_positions
    for fail in (False, True):
        try:
            with audio_context(model.model, full // 2):
                assert encoder(torch.zeros(1, 80, full // 2)).last_hidden_state.shape[1] == full // 4
                assert model.max_frames == full // 2
                if fail:
                    raise KeyboardInterrupt
        except KeyboardInterrupt:
            pass
        assert encoder.embed_positions is positions
        assert model.max_frames == full


@pytest.mark.parametrize("more", [-1, 1, 2])
def test_an_odd_or_too_long_context_is_refused(model, more):
    frames = model.max_frames + more
    with pytest.raises(ValueError, match=str(frames)), audio_context(model.model, frames):
        pass


def test_an_unknown_language_is_refused(model, batch):
    with pytest.raises(IltError, match="'xx'"):
        model.transcribe(batch[0][:1], ["xx"])


@pytest.mark.parametrize("limit_mb", [0, 64], ids=["computed", "from the file"])
def test_stored_features_are_those_of_whispers_extractor(model, spoken_table, tmp_path, monkeypatch, limit_mb):
    monkeypatch.chdir(tmp_path)
    for _ in range(2):  # the second finds the file of the first
        stored = FeatureStore(spoken_table, model.extractor, limit_mb)
        for key, audio in spoken_table.select("id", pl.col("audio").struct.field("bytes")).iter_rows():
            samples = decode_flac(audio)
            whole = model.extractor(samples, sampling_rate=RATE, return_tensors="pt").input_features[0]
            frames = -(-len(samples) // model.extractor.hop_length)
            assert stored[key].shape == (80, frames) == (80, stored.frames[key])
            assert torch.allclose(stored[key], whole[:, :frames], atol=2e-3)
    assert len(list(tmp_path.rglob("*.f16"))) == (1 if limit_mb else 0)


@pytest.fixture
def stored(model, spoken_table, tmp_path, monkeypatch):
    """A function that opens the store of a folder, as a process that starts would, and the file that it keeps."""
    monkeypatch.chdir(tmp_path)

    def opened():
        monkeypatch.setattr("ilt.asr.features._checked", set())
        store = FeatureStore(spoken_table, model.extractor, limit_mb=64)
        (path,) = tmp_path.rglob("*.f16")
        return store, path

    return opened


def _cut(path):
    path.write_bytes(path.read_bytes()[:-1000])


def _zero_half(path):
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2] + bytes(len(data) - len(data) // 2))


def _flip_a_bit(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("spoil", [_cut, _zero_half, _flip_a_bit, lambda path: path.write_bytes(b"")])
def test_damaged_features_are_made_again_with_a_message(stored, store, spoken_table, capsys, spoil):
    _, path = stored()
    whole = path.read_bytes()
    assert capsys.readouterr().err == ""
    spoil(path)
    again, _ = stored()
    message = capsys.readouterr().err
    assert message.count("\n") == 1 and f"{path.name} is damaged (" in message
    assert path.read_bytes() == whole
    assert all(again[key].equal(store[key]) for key in spoken_table["id"])
    stored()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("spoil", [lambda path: path.unlink(), lambda path: path.write_bytes(b"\xff"), _zero_half])
def test_features_without_their_checksum_are_made_again(stored, capsys, spoil):
    """As a process leaves them that is killed between the two files."""
    _, path = stored()
    checksum = path.with_name(f"{path.name}.sha256")
    right = checksum.read_bytes()
    spoil(checksum)
    stored()
    assert "is damaged (" in capsys.readouterr().err
    assert checksum.read_bytes() == right


def test_features_are_read_for_their_checksum_once_in_a_process(stored, model, spoken_table, capsys):
    _, path = stored()
    for _ in range(2):
        FeatureStore(spoken_table, model.extractor, limit_mb=64)
    before = path.stat()
    _flip_a_bit(path)
    FeatureStore(spoken_table, model.extractor, limit_mb=64)  # the time of change tells
    assert "its checksum is another" in capsys.readouterr().err
    assert path.stat().st_size == before.st_size


def test_padded_features_are_those_of_padded_audio(model, spoken_table, store):
    samples = decode_flac(spoken_table["audio"].struct.field("bytes")[0])
    whole = model.extractor(samples, sampling_rate=RATE, return_tensors="pt").input_features
    padded = pad_features([store["u0"]], model.max_frames)
    frames = store.frames["u0"]
    assert padded.shape == whole.shape
    # A window at the edge still covers the end of the audio; after it there is silence.
    assert torch.allclose(padded[..., frames + 2 :], whole[..., frames + 2 :], atol=2e-3)
