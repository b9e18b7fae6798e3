"""Error rates against jiwer, normalisers, and the interval of a gain."""

from __future__ import annotations

import jiwer
import numpy as np
import polars as pl
import pytest

from ilt.evaluation.normalise import normalise, tokens
from ilt.evaluation.scoring import error_counts, gain_interval, rate, rates, utterance_errors

PAIRS = [
    ("one two three", "one two three"),
    ("one two three", "one too three"),
    ("one two three", "one three"),
    ("one two three", "zero one two two three"),
    ("a b c d", "d c b a"),
    ("one two three", ""),
]


def _frame(*rows):
    return pl.DataFrame(rows, schema=["language", "reference", "hypothesis"], orient="row")


@pytest.mark.parametrize(("reference", "hypothesis"), PAIRS)
def test_wer_of_an_utterance_is_jiwers(reference, hypothesis):
    errors, units = error_counts([reference], [hypothesis], ["en"])
    assert rate(errors, units) == pytest.approx(jiwer.wer(reference, hypothesis))


def test_wer_of_a_set_is_jiwers():
    references, hypotheses = map(list, zip(*PAIRS, strict=True))
    errors, units = error_counts(references, hypotheses, ["en"] * len(PAIRS))
    assert rate(errors, units) == pytest.approx(jiwer.wer(references, hypotheses))


@pytest.mark.parametrize("hypothesis", ["안녕하세요 여러분", "안녕하세오 여러분", "안녕 하세요여러 분", "여러분", ""])
def test_korean_is_scored_by_characters_without_spaces(hypothesis):
    reference = "안녕하세요 여러분"
    errors, units = error_counts([reference], [hypothesis], ["ko"])
    expected = jiwer.cer(reference.replace(" ", ""), hypothesis.replace(" ", ""))
    assert rate(errors, units) == pytest.approx(expected)
    assert units[0] == 8


def test_an_empty_hypothesis_is_all_deletions():
    errors, units = error_counts(["one two three"], [""], ["en"])
    assert (errors[0], units[0]) == (3, 3)


def test_an_empty_reference_counts_the_insertions_and_no_units():
    errors, units = error_counts(["", ""], ["one two", ""], ["en", "en"])
    assert errors.tolist() == [2, 0]
    assert units.tolist() == [0, 0]
    assert utterance_errors(["", ""], ["one two", ""], ["en", "en"]).tolist() == [1.0, 0.0]


def test_the_error_of_one_utterance_is_at_most_one():
    assert utterance_errors(["one"], ["two three four"], ["en"])[0] == 1.0


def test_micro_weighs_words_and_macro_weighs_languages():
    scores = rates(
        _frame(("en", "a b c d e f g h", "a b c d e f g h"), ("de", "eins zwei", "eins"), ("ko", "네", "아")),
        "basic",
    )
    assert scores["by_language"] == {"de": 0.5, "en": 0.0, "ko": 1.0}
    assert scores["micro"] == pytest.approx(2 / 11, abs=1e-6)
    assert scores["macro"] == pytest.approx(0.5)
    assert scores["utterances"] == 3


def test_unnormalised_rates_see_case_and_punctuation():
    scores = rates(_frame(("en", "One, two.", "one two")), "basic")
    assert (scores["micro"], scores["unnormalised"]) == (0.0, 1.0)


def test_the_basic_normaliser_drops_case_and_punctuation():
    assert normalise("Eins,  ZWEI!", "de") == "eins zwei"


def test_the_basic_normaliser_keeps_bengali_words_whole():
    assert tokens(normalise("দুই, তিন।", "bn"), "bn") == ["দুই", "তিন"]


def test_the_basic_normaliser_keeps_english_number_words():
    assert normalise("two six zero", "en") == "two six zero"


def test_whispers_english_normaliser_joins_digits():
    assert normalise("two six zero", "en", "whisper") == "260"


def test_whispers_english_normaliser_is_for_english_alone():
    assert normalise("Dos seis cero", "es", "whisper") == "dos seis cero"


def test_the_mlc_slm_normaliser_keeps_apostrophe_and_hyphen():
    assert normalise("Don't -- WELL-known (yes)!", "en", "mlc-slm") == "don't -- well-known yes"


@pytest.mark.parametrize(
    ("text", "scored"),
    [
        ("The U.S.A. is 3.5 points", "the usa is 35 points"),  # deleted, not made a space
        ("J\u2019ai l\u2019heure", "j\u2019ai l\u2019heure"),  # not in the challenge's list
        ("¿Qué?、はい。", "quéはい"),
    ],
)
def test_the_mlc_slm_normaliser_deletes_what_the_challenge_deletes(text, scored):
    assert normalise(text, "en", "mlc-slm") == scored


def test_without_a_normaliser_only_spaces_are_collapsed():
    assert normalise("  One,\t two. ", "en", "none") == "One, two."


def test_an_unknown_normaliser_is_refused():
    with pytest.raises(ValueError, match="nonsense"):
        normalise("one", "en", "nonsense")


def _systems():
    rng = np.random.default_rng(5)
    units = rng.integers(3, 8, 200)
    before = rng.binomial(units, 0.5)
    return (before, units), (rng.binomial(before, 0.7), units)


def test_a_better_system_has_a_positive_gain_within_its_interval():
    before, after = _systems()
    gain = gain_interval(before, after, 300, seed=1)
    assert 0 < gain["low"] < gain["micro"] < gain["high"]
    assert gain["micro"] == pytest.approx(rate(*before) - rate(*after), abs=1e-6)


def test_a_worse_system_has_a_negative_gain():
    before, after = _systems()
    gain = gain_interval(after, before, 300, seed=1)
    assert gain["low"] < gain["micro"] < gain["high"] < 0


def test_the_same_seed_gives_the_same_interval():
    before, after = _systems()
    assert gain_interval(before, after, 200, seed=3) == gain_interval(before, after, 200, seed=3)
    assert gain_interval(before, after, 200, seed=3) != gain_interval(before, after, 200, seed=4)


def test_a_system_compared_with_itself_gains_nothing():
    before, _ = _systems()
    assert gain_interval(before, before, 200, seed=1) == {"micro": 0.0, "low": 0.0, "high": 0.0}
