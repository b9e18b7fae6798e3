"""Error rates against jiwer, normalisers, and the interval of a gain."""

from __future__ import annotations

import unicodedata

import jiwer
import numpy as np
import polars as pl
import pytest

from ilt.evaluation.normalise import NORMALISERS, normalise, tokens
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
        ("J\u2019ai l\u2019heure", "j'ai l'heure"),  # an apostrophe is none of the challenge's list
        ("\u201cyes\u201d \u2013 no", "\u201cyes\u201d \u2013 no"),  # not in the challenge's list
        ("¿Qué?、はい。", "quéはい"),
    ],
)
def test_the_mlc_slm_normaliser_deletes_what_the_challenge_deletes(text, scored):
    assert normalise(text, "en", "mlc-slm") == scored


def test_without_a_normaliser_only_spaces_are_collapsed():
    assert normalise("  One,\t two. ", "en", "none") == "One, two."


CASED = [
    ("tr", "DİYARBAKIR", "diyarbakır"),
    ("tr", "DI\u0307YARBAKIR", "diyarbakır"),  # NFD
    ("tr", "İSTANBUL", "istanbul"),
    ("tr", "İSTANBUL", "i\u0307stanbul"),  # what str.lower of a corpus left
    ("tr", "Iğdır", "ığdır"),
    ("tr", "ISPARTA'DA", "ısparta'da"),
    ("az", "BAKI İQLİMİ", "bakı iqlimi"),
    ("crh", "QIRIM", "qırım"),
    ("gag", "GAGAUZ DİLİ", "gagauz dili"),
    ("kk", "QAZAQ ELİ QYZY JIYNAǴY", "qazaq eli qyzy jıynaǵy"),
    ("kk", "ҚАЗАҚ IT", "қазақ it"),  # a foreign word in Cyrillic text
    ("tt", "QAZAN ŞİMBÄ TIN", "qazan şimbä tın"),
    ("en", "IN İSTANBUL", "in istanbul"),
    ("de", "IN I\u0307ZMİR", "in izmir"),
    ("lt", "ĮI\u0300 J\u0303", "įi\u0307\u0300 j\u0307\u0303"),  # the dots that SpecialCasing.txt keeps
    ("lt", "Į\u0301", "į\u0307\u0301"),
    ("el", "ΟΔΟΣ", "οδος"),
    ("ka", "ᲗᲑᲘᲚᲘᲡᲘ", "თბილისი"),
]
"""Language, capitals, small letters."""


@pytest.mark.parametrize("normaliser", ["basic", "whisper", "mlc-slm"])
@pytest.mark.parametrize(("language", "capitals", "small"), CASED)
def test_capitals_are_those_of_the_language(language, capitals, small, normaliser):
    assert normalise(capitals, language, normaliser) == normalise(small, language, normaliser)
    errors, units = error_counts([small], [capitals], [language], normaliser)
    assert (errors[0], units[0] > 0) == (0, True)


@pytest.mark.parametrize("normaliser", ["basic", "whisper", "mlc-slm"])
def test_the_two_letters_i_of_turkish_are_two_letters(normaliser):
    assert normalise("ILIK", "tr", normaliser) == "ılık"
    assert normalise("İLİK", "tr", normaliser) == "ilik"
    assert normalise("DİYARBAKIR", "tr", normaliser) == "diyarbakır"
    assert normalise("I AM IN", "en", normaliser) == "i am in"


SAME = [
    ("vi", "Tiếng Việt rất đẹp", unicodedata.normalize("NFD", "Tiếng Việt rất đẹp")),
    ("ko", "안녕", unicodedata.normalize("NFD", "안녕")),
    ("hi", "क़लम", "\u0958लम"),
    ("zh", "金", "\uf90a"),  # a compatibility ideograph
    ("km", "ខ្ញុំ\u200bទៅ", "ខ្ញុំទៅ"),
    ("th", "ไป\u200bไหน", "ไปไหน"),
    ("my", "မြန်မာ\u200bစာ", "မြန်မာစာ"),
    ("en", "co\u00adoperate", "cooperate"),
    ("en", "\ufeffone two", "one two"),
    ("en", "one\u2060two", "onetwo"),
    ("en", "of\u200cfice", "office"),
    ("en", "one\x00two\x1b", "one two"),
    ("he", "\u200fשלום\u200e", "שלום"),
    ("ar", "\u202bمرحبا\u202c \u061cيا", "مرحبا يا"),
    ("ar", "\u2067مرحبا\u2069", "مرحبا"),
    ("ar", "مـــرحبا", "مرحبا"),
    ("ja", "葛\U000e0100", "葛"),  # variation selectors
    ("en", "ok \u2764\ufe0f", "ok \u2764"),
    ("ko", "가\u3164나", "가나"),
    ("ml", "അവൻ", "അവന്\u200d"),
    ("ml", "കാർ പാൽ മകൾ കൺ വാൿ", "കാര്\u200d പാല്\u200d മകള്\u200d കണ്\u200d വാക്\u200d"),
    ("ml", "എന്റെ", "എന്\u200dറെ"),
    ("ml", "എന്റെ", "എൻ്റെ"),
    ("ml", "എന്റെ", "എൻറെ"),
    ("ml", "തമിഴ്\u200cനാട്", "തമിഴ്നാട്"),
    ("hi", "क्\u200dष क्\u200cष", "क्ष क्ष"),
    ("mr", "दर्\u200dया", "दऱ्या"),
    ("bn", "উত্\u200dসব", "উৎসব"),
    ("bn", "র\u200cয", "রয"),
    ("bn", "র\u200c্যাব", "র\u200d্যাব"),
    ("si", "ශ්\u200dරී", "ශ්රී"),
    ("te", "సాఫ్ట్\u200cవేర్", "సాఫ్ట్వేర్"),
    ("kn", "ರ\u200d್ಯಾಂಕ್", "ರ್ಯಾಂಕ್"),
    ("fa", "کار\u200cها", "کارها"),  # reh does not join: nobody sees the joiner
    ("fa", "می\u200c خواهم\u200c", "می خواهم"),
    ("fa", "مي\u200cكنم", "می\u200cکنم"),
    ("ur", "كيا ہے", "کیا ہے"),
    ("th", "น้ำ", "นํ้า"),
    ("th", "น้ำ", "น้ํา"),
    ("th", "แม่", "เเม่"),
    ("lo", "ນ້ຳ ແມ່", "ນໍ້າ ເເມ່"),
    ("ro", "știință", "ştiinţă"),
    ("uz", "oʻzbek", "o'zbek"),
    ("uz", "oʻzbek gʻalaba", "o‘zbek g`alaba"),
    ("uz", "sanʼat", "sanʻat"),
    ("uk", "мʼята", "м'ята"),
    ("uk", "м’ята", "мʼята"),
    ("be", "сям'я", "сямʼя"),
    ("en", "don't", "don’t"),
    ("en", "don't", "don\u00b4t"),
    ("en", "don't", "don`t"),
    ("en", "don't", "don\u2032t"),
    ("en", "don't", "don\uff07t"),
    ("fr", "l'eau", "l’eau"),
    ("it", "perche'", "perche’"),
    ("haw", "Hawaiʻi", "Hawai'i"),
    ("he", "צ'ק ארה\"ב", "צ׳ק ארה״ב"),
    ("hy", "մ՚", "մ'"),
    ("de", "E\u2011Mail", "E-Mail"),
]
"""Language, and two typings of one text."""


@pytest.mark.parametrize("normaliser", NORMALISERS)
@pytest.mark.parametrize(("language", "one", "other"), SAME)
def test_what_nobody_sees_or_types_two_ways_is_no_error(language, one, other, normaliser):
    assert normalise(one, language, normaliser) == normalise(other, language, normaliser)
    errors, units = error_counts([one], [other], [language], normaliser)
    assert (errors[0], units[0] > 0) == (0, True)


DIFFERENT = [
    ("ar", "كَتَبَ", "كتب"),
    ("he", "שָׁלוֹם", "שלום"),
    ("zh", "國家", "国家"),
    ("de", "Straße", "Strasse"),
    ("fr", "cœur", "coeur"),
    ("es", "dos", "2"),
    ("fa", "۲", "2"),
    ("ru", "ёж", "еж"),
    ("vi", "hoà", "hòa"),
    ("fa", "می\u200cخواهم", "میخواهم"),
    ("fa", "می\u200cخواهم", "می خواهم"),
    ("mr", "दऱ्या", "दर्या"),
    ("bn", "র\u200d্যাব", "র্যাব"),
    ("ar", "علي", "على"),
    ("tr", "kızıl", "kizil"),
]
"""Language, and two spellings that a reader can tell apart: docs/method.md lists them."""


@pytest.mark.parametrize("normaliser", NORMALISERS)
@pytest.mark.parametrize(("language", "one", "other"), DIFFERENT)
def test_what_a_reader_tells_apart_stays_an_error(language, one, other, normaliser):
    assert error_counts([one], [other], [language], normaliser)[0][0] > 0


@pytest.mark.parametrize("normaliser", NORMALISERS)
@pytest.mark.parametrize(("language", "one"), [(language, text) for language, text, *_ in SAME + DIFFERENT])
def test_normalising_again_changes_nothing(language, one, normaliser):
    once = normalise(one, language, normaliser)
    assert normalise(once, language, normaliser) == once


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
