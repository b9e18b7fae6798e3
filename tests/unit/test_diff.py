"""ilt diff: counts, forms of output, exit status, and refusals."""

from __future__ import annotations

import itertools
import json
import subprocess

import jsonschema
import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from conftest import ROOT
from ilt.cli import app
from ilt.corpus.table import POOL_REFERENCE_TABLE
from ilt.errors import IltError
from ilt.evaluation.comparison import compare as compare_module
from ilt.evaluation.comparison.compare import compare
from ilt.evaluation.comparison.distance import edit_counts
from ilt.evaluation.highlight import diff_spans
from ilt.evaluation.scoring import error_counts
from ilt.labels.table import LABEL_TABLE
from ilt.tools.diff.report import DiffReport

COLUMNS = ("id", "language", "split", "text", "source", "selected", "reason", "expected_error")
BEFORE = [
    ("a1", "en", "pool", "one two three", "pseudo", True, "kept: rank 1", 0.1),
    ("a2", "ar", "pool", "واحد اثنان ثلاثة", "pseudo", False, "dropped: rank 5", 0.6),
    ("a3", "ko", "pool", "일 이 삼", "pseudo", True, "kept: rank 2", 0.2),
    ("a4", "bn", "pool", "এক দুই তিন", "pseudo", True, "kept: rank 3", 0.2),
    ("a5", "en", "pool", "| *x* <script>alert(1)</script>", "pseudo", True, "kept: rank 4", 0.2),
    ("a6", "en", "gold", "seven", "gold", True, "kept: gold", None),
    ("a8", "en", "pool", "same", "pseudo", True, "kept: rank 5", 0.3),
    ("a9", "en", "pool", "gone", "pseudo", False, "dropped: loop", 0.9),
]
AFTER = [
    ("a1", "en", "pool", "one too three", "corrected", True, "kept: rank 1", 0.1),
    ("a2", "ar", "pool", "واحد اثنين ثلاثة", "pseudo", True, "kept: rank 1", 0.2),
    ("a3", "ko", "pool", "일 이 사", "pseudo", True, "kept: rank 2", 0.2),
    ("a4", "bn", "pool", "এক দুই তিন", "human", True, "kept: accepted by ann", 0.0),
    ("a5", "en", "pool", "| *y* <script>alert(1)</script>", "pseudo", True, "kept: rank 4", 0.2),
    BEFORE[5],
    ("a7", "en", "pool", "nine", "pseudo", True, "kept: rank 5", 0.2),
    ("a8", "en", "pool", "same", "pseudo", True, "kept: rank 6", 0.4),
]
REFERENCES = [("a1", "one two three"), ("a2", "واحد اثنين ثلاثة"), ("a3", "일 이 사"), ("a8", "same")]


def frame(rows):
    return pl.DataFrame(rows, schema=list(COLUMNS), orient="row").with_columns(
        iteration=pl.lit("it"), flags=pl.lit([], pl.List(pl.String))
    )


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    """A folder with the label tables of two iterations, and the true texts of some rows."""
    monkeypatch.chdir(tmp_path)
    for name, rows in (("it1", BEFORE), ("it2", AFTER)):
        LABEL_TABLE.write(frame(rows), tmp_path / f"data/iterations/{name}/labels/corrected.parquet")
    references = pl.DataFrame(REFERENCES, schema=["id", "text"], orient="row")
    POOL_REFERENCE_TABLE.write(references, tmp_path / "data/corpus/pool_reference.parquet")
    return tmp_path


def ilt(*arguments):
    result = CliRunner().invoke(app, ["diff", *arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def report_of(*arguments):
    return DiffReport.model_validate_json(ilt(*arguments, "--format", "json").stdout)


def test_every_kind_of_change_is_counted():
    report = report_of("it1", "it2")
    total = report.total
    assert (total.rows_before, total.rows_after, total.added, total.missing) == (8, 8, 1, 1)
    assert (total.reworded, total.redecided, total.taken_in, total.dropped, total.resourced) == (4, 1, 1, 0, 2)
    assert (total.changed, total.churn) == (7, round(7 / 9, 6))
    assert [counts.language for counts in report.languages] == ["ar", "bn", "en", "ko"]
    assert total.moved == pytest.approx(4 / 12)
    assert total.expected_error_before == pytest.approx(np.mean([0.1, 0.2, 0.2, 0.2, 0.3]), abs=1e-6)
    rows = {row.id: row for row in report.rows}
    assert rows["a1"].changes == ["reworded", "resourced"]
    assert rows["a2"].changes == ["reworded", "redecided"]
    assert (rows["a2"].before.reason, rows["a2"].after.reason) == ("dropped: rank 5", "kept: rank 1")
    assert rows["a7"].before is None and rows["a9"].after is None
    assert "a8" not in rows  # expected error and reason alone are no change


def test_references_tell_whether_labels_became_truer():
    truth = {item.language: item for item in report_of("it1", "it2").truth}
    everything = truth[None]
    assert (everything.rows, everything.before, everything.after) == (3, round(2 / 9, 6), round(1 / 9, 6))
    assert everything.gain.micro == pytest.approx(1 / 9, abs=1e-6)
    assert everything.gain.low < everything.gain.micro < everything.gain.high
    assert (truth["ko"].before, truth["ko"].after) == (round(1 / 3, 6), 0.0)
    assert (everything.selected_before, everything.selected_after) == (round(1 / 7, 6), round(1 / 10, 6))


def test_same_tables_are_the_same():
    result = ilt("it1", "it1")
    assert result.exit_code == 0
    assert "no difference in 8 rows" in result.stdout


def test_different_tables_exit_with_one_unless_told():
    assert ilt("it1", "it2").exit_code == 1
    assert ilt("it1", "it2", "--fail-over", "churn>90%").exit_code == 0
    assert ilt("it1", "it2", "--fail-over", "churn>0.2").exit_code == 1
    assert ilt("it1", "it2", "--fail-over", "missing>=2", "--fail-over", "added>=1").exit_code == 1


def test_filters_narrow_the_comparison():
    assert [row.id for row in report_of("it1", "it2", "--language", "ko").rows] == ["a3"]
    assert [row.id for row in report_of("it1", "it2", "--only", "added,missing").rows] == ["a7", "a9"]
    where = "expected_error_before > 0.5 AND language = 'ar'"
    assert [row.id for row in report_of("it1", "it2", "--where", where).rows] == ["a2"]
    assert [row.id for row in report_of("it1", "it2", "--where", "NOT reworded").rows] == ["a4", "a7", "a9"]
    few = report_of("it1", "it2", "--limit", "2")
    assert (len(few.rows), few.total.changed) == (2, 7)
    assert ilt("it1", "it2", "--language", "ko", "--only", "missing").exit_code == 0


def test_text_shows_what_changed():
    shown = ilt("it1", "it2", "--limit", "0").stdout
    assert "it1 → it2: 7 of 9 rows differ" in shown
    assert "one [-two-] {+too+} three" in shown
    assert "일 이 [-삼-] {+사+}" in shown
    assert "\u2067واحد [-اثنان-] {+اثنين+} ثلاثة\u2069" in shown
    assert "dropped: rank 5 → kept: rank 1" in shown
    assert "pseudo → human" in shown
    assert "5 more" in ilt("it1", "it2", "--limit", "2").stdout


@pytest.mark.parametrize("form", ["markdown", "html"])
def test_what_rows_say_is_no_markup(form):
    shown = ilt("it1", "it2", "--format", form).stdout
    assert "<script>" not in shown
    assert "&lt;script&gt;alert" in shown
    assert "<del>اثنان </del><ins>اثنين </ins>" in shown
    assert 'dir="rtl"' in shown
    if form == "markdown":
        lines = [line for line in shown.splitlines() if line.startswith("| a")]
        assert len({line.count("|") for line in lines[-7:]}) == 1


def test_json_is_what_its_schema_says():
    report = json.loads(ilt("it1", "it2", "--format", "json").stdout)
    jsonschema.validate(report, DiffReport.model_json_schema(by_alias=True))
    assert report["schema"] == "ilt.diff/2"


def test_parquet_has_a_row_for_each_change():
    ilt("it1", "it2", "--format", "parquet", "--output", "changes.parquet")
    rows = pl.read_parquet("changes.parquet")
    assert rows["id"].sort().to_list() == ["a1", "a2", "a3", "a4", "a5", "a7", "a9"]
    assert rows.filter(id="a2")["changes"].to_list() == [["reworded", "redecided"]]
    assert {"text_before", "text_after", "reason_before", "reason_after", "reference"} <= set(rows.columns)


def test_files_need_only_id_and_text():
    for name, text in (("a", "one two"), ("b", "one three")):
        pl.DataFrame({"id": ["x"], "text": [text]}).write_parquet(f"{name}.parquet")
    pl.DataFrame({"id": ["x"], "text": ["one three"]}).write_parquet("true.parquet")
    report = report_of("a.parquet", "b.parquet", "--reference", "true.parquet")
    assert (report.total.reworded, report.truth[0].before, report.truth[0].after) == (1, 0.5, 0.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("it1", "it9"), "there are it1, it2"),
        (("it1",), "expected two tables"),
        (("it1:gold", "it2"), "pseudo, selected, corrected"),
        (("it1", "it2", "--where", "nope > 1"), "no column 'nope'"),
        (("it1", "it2", "--where", "SELECT FROM"), "--where"),
        (("it1", "it2", "--only", "changed"), "--only 'changed'"),
        (("it1", "it2", "--fail-over", "churn"), "NAME OPERATOR NUMBER"),
        (("it1", "it2", "--fail-over", "wer>1"), "there is no wer"),
        (("it1", "it2", "--format", "yaml"), "text, markdown"),
        (("it1", "it2", "--format", "parquet"), "--output"),
        (("it1", "it2", "--limit", "-1"), "--limit -1"),
        (("it1", "it2", "--normaliser", "loud"), "basic, whisper"),
        (("it1", "it2", "--reference", "none.parquet"), "--reference"),
        (("it1", "it2", "--language", "deu"), "neither table has it; there are ar, bn, en, ko"),
        (("none.parquet", "it2"), "none.parquet is missing"),
        (("it2", "--rev", "main"), "--rev main"),
    ],
)
def test_what_cannot_be_done_is_refused(arguments, message):
    with pytest.raises(IltError, match=message):
        ilt(*arguments)


def test_a_reference_twice_is_refused_and_numbers_are_texts():
    for name, text in (("a", "3"), ("b", "4")):
        pl.DataFrame({"id": [1, 2], "text": [text, "5"]}).write_parquet(f"{name}.parquet")
    pl.DataFrame({"id": [1, 2], "text": [4, 5]}).write_parquet("true.parquet")
    (total, *_) = report_of("a.parquet", "b.parquet", "--reference", "true.parquet").truth
    assert (total.before, total.after) == (1.0, 0.0)
    pl.DataFrame({"id": [1, 1], "text": ["4", "4"]}).write_parquet("true.parquet")
    with pytest.raises(IltError, match=r"true.parquet: '1' has more than one row"):
        ilt("a.parquet", "b.parquet", "--reference", "true.parquet")


def test_rows_without_a_language_are_not_all_rows():
    columns = {"id": ["a", "b"], "language": ["de", None], "selected": [True, True]}
    for name, texts in (("a", ["x y", "x y"]), ("b", ["x z", "x y w"])):
        pl.DataFrame(columns | {"text": texts}).write_parquet(f"{name}.parquet")
    pl.DataFrame({"id": ["a", "b"], "text": ["x z", "x y"]}).write_parquet("true.parquet")
    truth = report_of("a.parquet", "b.parquet", "--reference", "true.parquet").truth
    assert {one.language: (one.rows, one.selected_before) for one in truth} == {
        None: (2, 0.25), "?": (1, 0.0), "de": (1, 0.5),
    }  # fmt: skip


def test_twice_the_same_id_is_refused(project):
    pl.DataFrame({"id": ["x", "x"], "text": ["a", "b"]}).write_parquet("twice.parquet")
    with pytest.raises(IltError, match="'x' is there more than once"):
        compare(project / "twice.parquet", project / "twice.parquet")


def test_a_row_without_an_id_is_refused(project):
    pl.DataFrame({"id": ["1", "2"], "text": ["a", "b"]}).write_parquet("whole.parquet")
    pl.DataFrame({"id": [None, "2"], "text": ["a", "b"]}).write_parquet("lacking.parquet")
    with pytest.raises(IltError, match="1 rows of one of them have no id"):
        compare(project / "whole.parquet", project / "lacking.parquet")


def test_a_large_table_is_compared_in_ranges(tmp_path, monkeypatch):
    """Ranges, whole files and shuffled files give the same answer."""
    rng = np.random.default_rng(3)
    ids = [f"u{number:05d}" for number in range(3000)]
    words = np.array(["one", "two", "three", "four"])
    texts = [" ".join(words[rng.integers(0, 4, 3)]) for _ in ids]
    changed = [text if rng.random() < 0.8 else text + " five" for text in texts]
    old = pl.DataFrame({"id": ids, "text": texts, "language": ["en", "ko", "ar"] * 1000})
    new = old.with_columns(pl.Series("text", changed)).filter(pl.col("id") != "u00777")
    frames = {"old": old, "new": new, "mixed": new.sample(fraction=1.0, shuffle=True, seed=1)}
    for name, part in frames.items():
        part.write_parquet(tmp_path / f"{name}.parquet", row_group_size=200)
    whole = compare(tmp_path / "old.parquet", tmp_path / "new.parquet")
    monkeypatch.setattr(compare_module, "_CHUNK_ROWS", 500)
    for name in ("new", "mixed"):
        parts = compare(tmp_path / "old.parquet", tmp_path / f"{name}.parquet")
        assert parts.counts.equals(whole.counts)
        assert parts.rows.select("id", "moved", "text_after").equals(whole.rows.select("id", "moved", "text_after"))
    assert whole.counts["missing"].sum() == 1


def test_distances_are_those_of_scoring():
    words = ["one", "two", "two", "three", "\u0e01\u0e47"]
    texts = [" ".join(part) for n in range(4) for part in itertools.product(words, repeat=n)][:120]
    pairs = list(itertools.product(texts[::7], texts[::5]))
    for language in ("en", "th"):
        before, after = (pl.Series(part) for part in zip(*pairs, strict=True))
        codes = [language] * len(pairs)
        ours = edit_counts(before, after, pl.Series(codes))
        theirs = error_counts(before.to_list(), after.to_list(), codes, "none")
        assert np.array_equal(ours[0], theirs[0]) and np.array_equal(ours[1], theirs[1])


def test_spans_keep_letters_and_their_marks_together():
    spans = diff_spans("ก็มา", "ก้มา", "th")
    assert spans == [("delete", "ก็"), ("insert", "ก้"), ("equal", "มา")]
    assert diff_spans("a b", "a b", "en") == [("equal", "a b")]
    assert diff_spans("", "x", "en") == [("insert", "x")]
    assert diff_spans("a b", "a c", "ar") == [("equal", "a "), ("delete", "b "), ("insert", "c")]
    assert diff_spans("a b", "a", "ar") == [("equal", "a "), ("delete", "b")]


def test_revisions_are_compared_without_a_checkout(project):
    def run(*command):
        subprocess.run(command, check=True, capture_output=True, cwd=project)

    run("git", "init", "-q", "-b", "main")
    run("git", "config", "user.email", "t@example.org")
    run("git", "config", "user.name", "t")
    run("dvc", "init", "-q")
    run(
        "dvc",
        "add",
        "-q",
        "data/iterations/it1/labels/corrected.parquet",
        "data/corpus/pool_reference.parquet",
    )
    run("git", "add", "-A")
    run("git", "commit", "-q", "-m", "one")
    run("git", "tag", "before")
    LABEL_TABLE.write(frame(AFTER), project / "data/iterations/it1/labels/corrected.parquet")
    workspace = report_of("it1", "--rev", "before")
    assert (workspace.before.revision, workspace.after.revision) == ("before", None)
    assert workspace.total.changed == 7
    run("dvc", "add", "-q", "data/iterations/it1/labels/corrected.parquet")
    run("git", "commit", "-q", "-a", "-m", "two")
    both = report_of("it1", "--rev", "before", "--rev", "main")
    assert both.total == workspace.total and both.truth == workspace.truth
    assert ilt("it1", "--rev", "main").exit_code == 0
    with pytest.raises(IltError, match="is not in main"):
        ilt("it1:pseudo", "--rev", "main")
    with pytest.raises(IltError, match="--rev nowhere"):
        ilt("it1", "--rev", "nowhere")


def test_the_documented_schema_is_that_of_the_report():
    written = json.loads((ROOT / "docs" / "diff.schema.json").read_text(encoding="utf-8"))
    assert written == DiffReport.model_json_schema(by_alias=True)


@pytest.mark.parametrize("form", ["text", "json", "html", "parquet"])
def test_an_output_that_is_a_folder_keeps_what_it_has(project, form):
    (project / "keep.parquet").mkdir()
    (project / "keep.parquet" / "notes.txt").write_text("keep")
    with pytest.raises(IltError, match=r"keep\.parquet is a folder; name a file"):
        ilt("it1", "it2", "--format", form, "--output", "keep.parquet")
    assert (project / "keep.parquet" / "notes.txt").read_text() == "keep"
    assert not list(project.glob(".keep*"))
