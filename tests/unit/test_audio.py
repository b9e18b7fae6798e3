"""Audio files of many kinds become 16 kHz mono; files that are not audio are refused with a reason."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from ilt.corpus.audio import RATE, audio_hash, decode_flac, encode_flac, read_audio

SECONDS = 1.5


def _tone(rate, seconds=SECONDS, frequency=440.0):
    return 0.5 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)


def _pitch(samples):
    """The strongest frequency, in hertz."""
    spectrum = np.abs(np.fft.rfft(samples))
    return np.fft.rfftfreq(len(samples), 1 / RATE)[spectrum.argmax()]


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "ogg"])
@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 48_000])
def test_any_format_and_rate_becomes_16_khz_mono(tmp_path, suffix, rate):
    path = tmp_path / f"tone.{suffix}"
    soundfile.write(path, _tone(rate), rate)
    samples = read_audio(path)
    assert samples.dtype == np.float32
    assert samples.ndim == 1
    assert len(samples) / RATE == pytest.approx(SECONDS, abs=0.002)
    assert _pitch(samples) == pytest.approx(440, abs=2)
    assert np.abs(samples).max() == pytest.approx(0.5, abs=0.05)


def test_stereo_is_mixed_down(tmp_path):
    left, right = _tone(RATE, frequency=300), _tone(RATE, frequency=900)
    soundfile.write(tmp_path / "stereo.wav", np.stack([left, right], 1), RATE, subtype="FLOAT")
    assert np.allclose(read_audio(tmp_path / "stereo.wav"), (left + right) / 2, atol=1e-6)


@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_offset_and_duration_choose_a_segment(tmp_path, rate):
    samples = np.concatenate([_tone(rate, 1.0, 300), _tone(rate, 1.0, 900)])
    soundfile.write(tmp_path / "two.wav", samples, rate)
    part = read_audio(tmp_path / "two.wav", offset=1.25, duration=0.5)
    assert len(part) / RATE == pytest.approx(0.5, abs=0.001)
    assert _pitch(part) == pytest.approx(900, abs=4)


def test_an_offset_alone_reads_to_the_end(tmp_path):
    soundfile.write(tmp_path / "tone.wav", _tone(RATE), RATE)
    assert len(read_audio(tmp_path / "tone.wav", offset=1.0)) == RATE // 2


def test_flac_gives_the_samples_back_to_16_bits(speech):
    (samples,) = speech(("en", "nine"))
    back = decode_flac(encode_flac(samples))
    assert back.dtype == np.float32
    assert np.abs(back - samples).max() <= 2 / 32768


def test_equal_audio_in_different_files_has_one_hash(tmp_path, speech):
    (samples,) = speech(("en", "nine"))
    for name in ("one.wav", "two.flac"):
        soundfile.write(tmp_path / name, np.round(samples * 32768).astype(np.int16), RATE)
    assert audio_hash(read_audio(tmp_path / "one.wav")) == audio_hash(read_audio(tmp_path / "two.flac"))


def test_audio_that_went_through_the_pipeline_keeps_its_hash():
    loud = np.linspace(-1, 1, RATE, dtype=np.float32)
    once = decode_flac(encode_flac(loud))
    assert audio_hash(decode_flac(encode_flac(once))) == audio_hash(once) == audio_hash(loud)


def test_different_audio_has_different_hashes(speech):
    one, other = speech(("en", "nine"), ("en", "five"))
    assert audio_hash(one) != audio_hash(other)
    assert audio_hash(one) != audio_hash(one[:-1])


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ValueError, match="does not exist"):
        read_audio(tmp_path / "nothing.wav")


def test_an_empty_file_is_refused(tmp_path):
    (tmp_path / "empty.wav").touch()
    with pytest.raises(ValueError, match="0 bytes"):
        read_audio(tmp_path / "empty.wav")


def test_a_text_file_named_wav_is_refused(tmp_path):
    (tmp_path / "text.wav").write_text("this is not audio\n" * 50)
    with pytest.raises(ValueError, match="not audio"):
        read_audio(tmp_path / "text.wav")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_samples_that_are_not_numbers_are_refused(tmp_path, bad):
    samples = _tone(RATE)
    samples[100] = bad
    soundfile.write(tmp_path / "bad.wav", samples, RATE, subtype="FLOAT")
    with pytest.raises(ValueError, match="NaN or infinite"):
        read_audio(tmp_path / "bad.wav")


def test_a_file_without_samples_is_refused(tmp_path):
    soundfile.write(tmp_path / "none.wav", np.zeros(0), RATE)
    with pytest.raises(ValueError, match="no samples"):
        read_audio(tmp_path / "none.wav")


def test_an_offset_behind_the_end_is_refused(tmp_path):
    soundfile.write(tmp_path / "tone.wav", _tone(RATE), RATE)
    with pytest.raises(ValueError, match="behind the end"):
        read_audio(tmp_path / "tone.wav", offset=SECONDS + 1)
