"""The estimate of an audit: numbers worked out by hand, and intervals that hold as often as they say."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from test_review import ilt

from ilt.errors import IltError
from ilt.labels.table import CORRECTIONS_TABLE
from ilt.tools.review.estimate import estimate
from ilt.tools.review.ratio import stratified_rate
from ilt.tools.review.table import REVIEW_TABLE, record_review

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))


def _record(rows, **fixed):
    """An audit's record. rows: (id, language, stratum, its size, label)."""
    frame = pl.DataFrame(rows, schema=["id", "language", "stratum", "stratum_size", "text"], orient="row").with_columns(
        sampled=pl.len().over("stratum"),
        stratum_units=2 * pl.col("stratum_size"),
        stratum_expected=0.1 * 2 * pl.col("stratum_size"),
        position=pl.int_range(pl.len()),
    )
    values = {
        "review": "it1-audit-00000001",
        "strategy": "audit",
        "iteration": "it1",
        "seed": 1,
        "budget": 6,
    } | fixed
    return REVIEW_TABLE.conform(frame.with_columns(**{name: pl.lit(value) for name, value in values.items()}))


def _corrections(answers):
    """Corrections by id: a text, or None for unusable."""
    rows = [
        {"id": key, "text": text, "verdict": "unusable" if text is None else "corrected", "reviewer": "ann"}
        for key, text in answers.items()
    ]
    return CORRECTIONS_TABLE.conform(pl.DataFrame(rows, schema_overrides={"text": pl.String}))


SAMPLE = [
    ("a1", "en", "en 1/2", 60, "one two"),
    ("a2", "en", "en 1/2", 60, "one two three"),
    ("a3", "en", "en 1/2", 60, "one two three"),
    ("b1", "en", "en 2/2", 20, "one two"),
    ("b2", "en", "en 2/2", 20, "one"),
    ("k1", "ko", "ko 1/1", 30, "\ud558\ub098"),
    ("k2", "ko", "ko 1/1", 30, "\ub458 \uc14b"),
]
ANSWERS = {"a1": "one two", "a2": "one two three", "a3": "one two four", "b1": "three two", "b2": "one two",
         "k1": "\ud558\ub098", "k2": "\ub458 \ub137"}  # fmt: skip
"""Errors and units: a1 0/2, a2 0/3, a3 1/3, b1 1/2, b2 1/2; k1 0/2, k2 1/2."""


def test_the_rate_is_weighted_by_the_strata():
    english, korean, everything = estimate(_record(SAMPLE), _corrections(ANSWERS), "basic")
    errors, units = 60 * 1 / 3 + 20 * 2 / 2, 60 * 8 / 3 + 20 * 4 / 2
    assert english.rate.rate == pytest.approx(errors / units)
    assert korean.rate.rate == pytest.approx(1 / 4)
    assert everything.rate.rate == pytest.approx((errors + 15) / (units + 60))
    assert (english.language, english.rows, english.sampled, english.answered) == ("en", 80, 5, 5)
    assert (everything.language, everything.rows, everything.expected) == (None, 110, pytest.approx(0.1))


def test_variance_and_interval_by_hand():
    from scipy.stats import t

    sizes, strata = np.array([60.0, 20.0]), np.array([0, 0, 0, 1, 1])
    errors, units = np.array([0, 0, 1, 1, 1]), np.array([2, 3, 3, 2, 2])
    rate = 40 / 200
    first = np.var([0 - 2 * rate, 0 - 3 * rate, 1 - 3 * rate], ddof=1)  # the second stratum's rows are alike
    part = 60**2 * (1 - 3 / 60) * first / 3
    variance = part / 200**2
    half = t.ppf(0.975, 2) * np.sqrt(variance) / (rate * (1 - rate))
    ends = [1 / (1 + np.exp(-(np.log(rate / (1 - rate)) + sign * half))) for sign in (-1, 1)]
    result = stratified_rate(sizes, strata, errors, units)
    assert [result.low, result.high] == pytest.approx(ends)
    drawn = 60**2 * first / 3
    times = drawn / (part / 4 + drawn - part)
    assert result.more == int(np.ceil(5 * (times - 1)))


def test_as_many_more_rows_as_it_says_halve_the_standard_error():
    rng, size = np.random.default_rng(3), np.array([5000.0])
    units = rng.integers(1, 9, 6000)
    errors = rng.binomial(units, np.where(rng.random(6000) < 0.2, 0.4, 0.0))

    def width(count):
        result = stratified_rate(size, np.zeros(count, int), errors[:count], units[:count])
        return result.high - result.low, result.more

    before, more = width(400)
    assert width(400 + more)[0] / before == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize(
    ("sizes", "errors", "units", "rate", "low", "high"),
    [
        ([50.0], [0, 0, 0, 0], [3, 3, 3, 3], 0.0, 0.0, 0.4899),  # Wilson's interval of 0 of 4
        ([4.0], [1, 0, 0, 1], [2, 2, 2, 2], 0.25, 0.25, 0.25),  # the whole population
        ([50.0], [0, 0, 0, 0], [0, 0, 0, 0], None, None, None),  # no words
    ],
)
def test_samples_without_variance(sizes, errors, units, rate, low, high):
    result = stratified_rate(np.array(sizes), np.zeros(4, int), np.array(errors), np.array(units))
    assert (result.rate, result.low, result.high) == (rate, low, pytest.approx(high, abs=1e-4) if high else high)


def test_rates_above_one_have_an_interval():
    result = stratified_rate(np.array([50.0]), np.zeros(4, int), np.array([9, 2, 3, 1]), np.full(4, 2))
    assert result.rate > 1 and result.low < result.rate < result.high


def test_unusable_rows_are_told_apart():
    estimates = estimate(_record(SAMPLE), _corrections(ANSWERS | {"a3": None, "k2": None}), "basic")
    english = estimates[0]
    assert english.rate.rate == pytest.approx(20 / (60 * 5 / 3 + 40))
    assert english.unusable == pytest.approx(60 / 3 / 80)
    assert estimates[-1].unusable == pytest.approx((20 + 15) / 110)


def test_an_accepted_label_needs_no_text():
    accepted = _corrections(ANSWERS).with_columns(text=pl.lit(None, pl.String), verdict=pl.lit("accepted"))
    assert estimate(_record(SAMPLE), accepted, "basic")[-1].rate.rate == 0


def test_bands_with_too_few_answers_are_taken_together():
    answers = {key: text for key, text in ANSWERS.items() if key != "b2"}
    english = estimate(_record(SAMPLE), _corrections(answers), "basic")[0]
    assert english.answered == 4 and english.rate.rate == pytest.approx(2 / 10)


def test_a_thin_band_is_joined_to_its_neighbour_alone():
    """Bands are drawn at different rates: one skipped row must not mix the easy with the hard ones."""
    bands = [("e", 100, 4), ("f", 100, 4), ("g", 100, 4)]
    rows = [
        (f"{name}{n}", "en", f"en {number}/3", size, "one two")
        for number, (name, size, count) in enumerate(bands, 1)
        for n in range(count)
    ]
    answers = {key: "one two" if key[0] == "e" else "one three" if key[0] == "f" else "four" for key, *_ in rows}
    whole = estimate(_record(rows), _corrections(answers), "basic")[0].rate.rate
    fewer = {key: text for key, text in answers.items() if key not in ("e1", "e2", "e3")}
    assert estimate(_record(rows), _corrections(fewer), "basic")[0].answered == 9
    one_left = estimate(_record(rows), _corrections(fewer), "basic")[0].rate.rate
    # e (1 row of no errors) and f (4 rows, 1 of 2 wrong) become one stratum of 200; g stays as it is.
    assert whole == pytest.approx((0 * 100 + 1 * 100 + 2 * 100) / (2 * 100 + 2 * 100 + 1 * 100))
    assert one_left == pytest.approx((4 / 5 * 200 + 2 * 100) / (2 * 200 + 1 * 100))
    last = {key: text for key, text in answers.items() if key not in ("g1", "g2", "g3")}
    # f (4 rows, 1 of 2 wrong) and g (1 row, 2 errors of 1 word) are one stratum; e has no errors.
    last_left = estimate(_record(rows), _corrections(last), "basic")[0].rate.rate
    assert last_left == pytest.approx((6 / 5 * 200) / (2 * 100 + 9 / 5 * 200))


def test_a_language_without_answers_is_named():
    answers = {key: text for key, text in ANSWERS.items() if not key.startswith("k")}
    with pytest.raises(IltError, match=r"ko \(0\)"):
        estimate(_record(SAMPLE), _corrections(answers), "basic")


def test_chosen_rows_say_nothing_of_the_others():
    with pytest.raises(IltError, match="not an audit"):
        estimate(_record(SAMPLE, strategy="improve"), _corrections(ANSWERS), "basic")


def test_the_command_takes_the_last_audit_with_answers(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(IltError, match="no audit has answers"):
        ilt("estimate")
    for name in ("it2-audit-00000001", "it10-audit-00000001"):
        record_review(_record(SAMPLE, review=name, iteration=name.split("-")[0]))
    record_review(_record([(f"{row[0]}x", *row[1:]) for row in SAMPLE], review="it11-audit-00000001"))
    record_review(_record(SAMPLE[3:], review="it10-audit-99999999", iteration="it10"))
    record_review(_record(SAMPLE, review="it12-improve-00000001", strategy="improve"))
    CORRECTIONS_TABLE.write(_corrections(ANSWERS), Path("data/corrections/corrections.parquet"))
    shown = ilt("estimate")
    assert "it10-audit-00000001" in shown and "20.0" in shown and "10.0" in shown
    assert "it2-audit-00000001" in ilt("estimate", "--review", "it2-audit-00000001")


@pytest.mark.parametrize("budget", [60, 100])
def test_the_interval_holds_the_truth_as_often_as_it_says(budget):
    from review_coverage import Setting, coverage

    share = coverage(Setting(languages=3, rows=400, budget=budget, wrong=0.08, spoilt=0.3), audits=600)
    assert 0.93 <= share["overall"] <= 0.97
