"""When to stop: the rule, and what one more iteration is expected to gain."""

from __future__ import annotations

import pytest

from ilt.evaluation.stopping import stop_reason
from ilt.report.forecast import expected_after_each, how_it_did


def gain(micro, spread=0.01):
    return {"micro": micro, "low": micro - spread, "high": micro + spread}


@pytest.mark.parametrize(
    ("micro", "least", "stops"),
    [(0.05, None, False), (-0.05, None, False), (0.05, 0.0, False), (0.005, 0.0, True), (0.05, 0.04, True)],
)
def test_only_an_interval_above_the_least_gain_goes_on(micro, least, stops):
    why = stop_reason("it2", gain(micro), least, "dev")
    assert (why is not None) == stops
    if why:
        assert why.startswith("stopped after it2: its gain on dev, ")


def test_the_next_gain_follows_the_trend_of_the_last_two():
    assert expected_after_each([0.3, 0.04, 0.02])[-1]["gain"] == pytest.approx(0.01)


def test_the_gain_over_the_base_is_no_trend():
    assert expected_after_each([0.3, 0.04])[-1]["gain"] == pytest.approx(0.02)


@pytest.mark.parametrize("last", [0.0, -0.01])
def test_nothing_is_expected_after_no_gain(last):
    assert expected_after_each([0.3, 0.04, last])[-1]["gain"] == 0


def test_gains_are_not_expected_to_grow():
    assert expected_after_each([0.3, 0.01, 0.05])[-1]["gain"] == pytest.approx(0.05)


def test_what_one_more_may_gain_is_given_after_each_iteration_from_those_so_far():
    gains = [0.3, 0.04, 0.02, -0.01]
    gains_expected = expected_after_each(gains)
    assert [one["gain"] for one in gains_expected] == [None, pytest.approx(0.02), pytest.approx(0.01), 0.0]
    assert gains_expected[0]["how"].startswith("not known") and "0.50, the ratio" in gains_expected[2]["how"]
    assert expected_after_each(gains[:2]) == gains_expected[:2]


def test_after_a_first_iteration_without_a_gain_nothing_is_expected():
    assert expected_after_each([-0.02]) == [{"gain": 0.0, "how": "nothing, since the last iteration gained nothing"}]


def test_the_rule_is_held_against_what_came():
    line = how_it_did(["it1", "it2", "it3"], [None, 0.015, 0.0], [0.265, 0.03, -0.015])
    assert line == "after it2 it said +1.5, and it3 gained -1.5"
    assert how_it_did(["it1", "it2"], [None, 0.015], [0.265, 0.03]) == ""
