"""Jobs of a stage: one for each language, and what they come to together."""

from __future__ import annotations

import polars as pl
import pytest

from ilt.errors import IltError
from ilt.params import TrainParams
from ilt.training.data import Example, TrainingData, even_rows, examples_of
from ilt.training.jobs import TrainJob, split_by_language
from ilt.training.results import TrainResult, report

COUNTS = {"de": 30, "ko": 10}


def _rows(count):
    return pl.DataFrame(
        [{"id": f"{code}{n:03}", "language": code, "text": "x"} for code in COUNTS for n in range(count)]
    )


@pytest.fixture
def job(tmp_path):
    """A job of two languages; a third has pseudo-labels alone."""
    gold = [Example(f"{code}{n}", code, "x") for code, count in COUNTS.items() for n in range(count)]
    pseudo = [Example("fr0", "fr", "x"), Example("ko-p", "ko", "x")]
    data = TrainingData(gold, pseudo, [Example("r0", "de", "x")], dev=_rows(3), gold_sample=_rows(2))
    return TrainJob(
        lambda: None, data, TrainParams(seed=3, epochs=2.0), tmp_path / "focus", tmp_path / "work",
        tmp_path / "log" / "focus.csv",
    )  # fmt: skip


def test_each_language_with_gold_has_a_job_of_its_own(job, tmp_path):
    jobs = split_by_language(job, 41, 1.0, lambda language: f"the model of {language}")
    assert [each.language for each in jobs] == ["de", "ko"]
    assert [each.load() for each in jobs] == ["the model of de", "the model of ko"]
    assert [each.params.steps for each in jobs] == [30, 11]
    assert all(each.params.epochs is None for each in jobs)
    assert len({job.params.seed, *(each.params.seed for each in jobs)}) == 3
    german, korean = jobs
    assert [len(german.data.gold), len(german.data.pseudo), len(german.data.replay)] == [30, 0, 1]
    assert [len(korean.data.gold), len(korean.data.pseudo), len(korean.data.replay)] == [10, 1, 0]
    assert set(korean.data.dev["language"]) == set(korean.data.gold_sample["language"]) == {"ko"}
    assert korean.folder == tmp_path / "focus" / "ko" and korean.work == tmp_path / "work" / "ko"
    assert korean.log == tmp_path / "log" / "focus.ko.csv"


def test_a_language_that_nothing_can_choose_an_adapter_for_is_an_error(job):
    without = TrainingData(job.data.gold, dev=_rows(3).filter(language="de"), gold_sample=_rows(2))
    with pytest.raises(IltError, match=r"ko has no dev utterances.*adapter\.scope: shared"):
        without.of("ko")
    path = TrainingData([Example("a", "../x", "x")], dev=pl.DataFrame({"language": ["../x"]}), gold_sample=_rows(1))
    with pytest.raises(IltError, match="cannot name a folder"):
        path.of("../x")


def _result(steps, errors, gold, units):
    history = [
        {"step": step, "dev_error": dev, "train_error": train} | ({"loss": 2 * dev} if step else {})
        for step, dev, train in zip(steps, errors, gold, strict=True)
    ]
    return TrainResult(steps[-1], steps[-1], errors[-1], history, 100, units, 2 * units)


def test_a_stage_of_languages_reports_micro_errors_over_all_of_them(job):
    jobs = split_by_language(job, 40, 1.0, lambda _: None)
    results = [
        _result([0, 10, 30], [0.5, 0.4, 0.2], [0.5, 0.3, 0.1], 30),
        _result([0, 10], [0.9, 0.6], [0.8, 0.6], 10),
    ]
    told = report(jobs, results)
    assert {key: told[key] for key in ("steps", "kept_step", "kept_dev_error", "trainable_parameters")} == {
        "steps": 40, "kept_step": 40, "kept_dev_error": 0.3, "trainable_parameters": 200,
    }  # fmt: skip
    assert told["history"] == [
        {"step": 0, "dev_error": 0.6, "train_error": 0.575},
        {"step": 20, "dev_error": 0.45, "train_error": 0.375, "loss": 0.9},
        {"step": 40, "dev_error": 0.3, "train_error": 0.225, "loss": 0.6},
    ]
    assert told["languages"]["ko"] == {
        "steps": 10, "kept_step": 10, "kept_dev_error": 0.6, "history": results[1].history, "gold": 10, "pseudo": 1,
    }  # fmt: skip


def test_a_shared_training_is_reported_as_it_is(job):
    result = _result([0, 10], [0.9, 0.6], [0.8, 0.6], 10)
    assert report([job], [result]) == {
        "steps": 10, "kept_step": 10, "kept_dev_error": 0.6, "history": result.history, "trainable_parameters": 100,
    }  # fmt: skip


def test_rows_are_thinned_evenly_over_languages():
    rows = _rows(20)
    assert even_rows(rows.reverse(), 100).equals(rows)
    some = even_rows(rows.reverse(), 10)
    assert len(some) == 10 and some["id"].is_sorted()
    assert some["language"].value_counts().sort("language")["count"].to_list() == [5, 5]
    assert [example.id for example in examples_of(some.reverse())] == some["id"].to_list()
