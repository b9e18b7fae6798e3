"""ilt summary: the table of iterations, what stands below it, and files that are damaged."""

from __future__ import annotations

import re

import pytest
from typer.testing import CliRunner

from ilt import paths
from ilt.cli import app
from ilt.errors import IltError


def rates(error, **more):
    by_language = {"de": error, "ko": error + 0.1}
    return {"micro": error, "macro": error + 0.05, "unnormalised": error, "by_language": by_language, **more}


def scores(error, gain, **more):
    """What `evaluate` writes, as far as the summary reads it."""
    change = {"micro": gain, "low": gain - 0.01, "high": gain + 0.01}
    return {
        "test": rates(error), "dev": rates(error), "retention": rates(0.2), "gold": rates(0.1), "train_dev_gap": 0.05,
        "labels": {"pool_error": 0.3, "selected_error": 0.125}, "gain": change, "gain_over_previous": change, **more,
    }  # fmt: skip


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    """A clone after three iterations: the summary that git keeps, and no more."""
    monkeypatch.chdir(tmp_path)
    entries = {
        "base": scores(0.6, 0.0),
        "it1": scores(0.4, 0.2, expected_next={"gain": None, "how": "not known"}),
        "it2": scores(0.3, 0.1, expected_next={"gain": 0.05, "how": "half of it"}),
        "it3": scores(0.3, 0.0, skipped="stopped after it2"),
    }
    paths.write_json(paths.SUMMARY, entries, sort_keys=False)
    return tmp_path


def summary(*options, status=0):
    result = CliRunner().invoke(app, ["summary", *options])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == status
    return result.output


def row(table, name):
    line = next(line for line in table.splitlines() if line.startswith(f"│ {name} "))
    return [cell.strip() for cell in line[1:-1].split("│")]


def test_each_iteration_has_its_figures():
    shown = summary()
    assert row(shown, "base") == ["base", "60.0", "65.0", "60.0", "20.0", "", "5.0", "30.0", "12.5", "", ""]
    assert row(shown, "it1")[5] == "+20.0 [+19.0, +21.0]"
    assert row(shown, "it3")[5] == "skipped"
    assert "it3: skipped, stopped after it2" in shown
    assert "one more iteration: perhaps +5.0 points (half of it)" in shown
    assert "it3 over the base, on test: +0.0" in shown


def test_languages_have_a_table_for_each_split():
    on_test, on_retention = summary("--languages").split("Test error in % by language")[1].split("Retention error")
    assert row(on_test, "it1") == ["it1", "40.0", "50.0"]
    assert row(on_retention, "it3 (skipped)") == ["it3 (skipped)", "20.0", "30.0"]


def test_costs_are_shown_where_they_are_known():
    assert "computing" not in summary()
    costs = {"base": {}, "it1": {"focus": {"seconds": 90}}, "it2": {"fix": {"seconds": 30}}}
    paths.write_json(paths.METRICS / "costs.json", costs)
    assert re.search("computing: it1 1.5 minutes, it2 30 seconds, .*together 2.0 minutes", summary())


def test_without_results_it_says_what_to_do(project):
    (project / paths.SUMMARY).unlink()
    assert "run `dvc repro` first" in summary(status=1)


def test_nothing_of_the_data_steers_the_terminal():
    entries = paths.read_json(paths.SUMMARY)
    entries["it3"]["skipped"] = "\x1b]0;owned\x07 [red]stopped[/red] \u202e"
    paths.write_json(paths.SUMMARY, entries, sort_keys=False)
    assert r"it3: skipped, \u001b]0;owned\u0007 [red]stopped[/red] \u202e" in summary()


@pytest.mark.parametrize("content", [b"", b'{"base": ', b"\xff", b"null", b"{}"])
def test_a_damaged_summary_is_named_with_what_restores_it(content):
    paths.SUMMARY.write_bytes(content)
    with pytest.raises(IltError, match=f"^{paths.SUMMARY} is damaged .*git restore {paths.SUMMARY}"):
        summary()


@pytest.mark.parametrize("content", [b"", b'{"test": ', b"\xff", b"[" * 100_000, b"null", b"{}"])
@pytest.mark.parametrize("path", [paths.evaluation("base"), paths.plan("report")])
def test_damaged_files_of_a_run_are_named_with_what_restores_them(path, content):
    paths.write_json(paths.evaluation("base"), scores(0.6, 0.0))
    paths.write_json(paths.plan("report"), {"parameters": {"iterations": ["it1"], "price_per_hour": None}})
    path.write_bytes(content)
    with pytest.raises(IltError, match=f"^{path} is damaged .*dvc checkout --force {path}"):
        summary()
