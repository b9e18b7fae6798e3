"""Review: rows out to people in three formats and back by id; what is wrong is refused by line, and whole."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import soundfile
from typer.testing import CliRunner

from ilt.corpus.audio import RATE, audio_hash, encode_flac
from ilt.corpus.table import UTTERANCE_TABLE
from ilt.errors import IltError
from ilt.labels.table import CORRECTIONS_TABLE, LABEL_TABLE, PREDICTION_TABLE
from ilt.tools.review.cli import app
from ilt.tools.review.formats.sheet import safe, unsafe
from ilt.tools.review.table import REVIEW_TABLE

pytestmark = pytest.mark.usefixtures("dataset")

CORRECTIONS = Path("data/corrections/corrections.parquet")

TEXTS = {
    "en": (
        '<script>alert("1")</script> & two', "=1+1 two", "-three", "+four, \"five\"", "@six", "'=seven",
        "\u2028eight", "</script><!-- nine", "two six zero", "two six zero", "one", "four", "five five five",
        "nine eight seven",
    ),
    "ar": ("\u0648\u0627\u062d\u062f \u0627\u062b\u0646\u0627\u0646", "\u062b\u0644\u0627\u062b\u0629") * 5,
    "ko": ("\ud558\ub098 \ub458", "\uc14b \ub137 \ub2e4\uc12f") * 5,
}  # fmt: skip
"""Labels of the pool by language; some are out to break a page or a spreadsheet."""

SPOKEN = 0.4
"""Seconds of every utterance."""


def _sound(seed):
    rng = np.random.default_rng(seed)
    time = np.arange(round(SPOKEN * RATE)) / RATE
    tone = np.sin(2 * np.pi * (200 + 10 * seed) * time) * np.sin(np.pi * time / SPOKEN)
    return (0.3 * tone + 0.01 * rng.standard_normal(len(time))).astype(np.float32)


def make_dataset(folder, texts=TEXTS):
    """An utterance table with sound, labels of it1 and no corrections, in a folder."""
    utterances, labels = [], []
    for language, spoken in texts.items():
        for number, text in enumerate(spoken):
            key = f"{language}-{number:03d}"
            samples = _sound(len(utterances))
            utterances.append({
                "id": key, "language": language, "speaker": "s", "split": "pool", "duration": SPOKEN,
                "audio": {"path": None, "bytes": encode_flac(samples)}, "text": None,
                "audio_hash": audio_hash(samples),
            })  # fmt: skip
            labels.append({
                "id": key, "language": language, "split": "pool", "duration": SPOKEN, "iteration": "it1",
                "stage": "correct", "text": text, "previous_text": f"{text} zero", "source": "pseudo",
                "expected_error": round(0.02 + 0.9 * number / len(spoken), 4), "gold_similarity": 0.5 + number / 100,
                "flags": [], "selected": number < 0.8 * len(spoken), "reason": "kept: test", "lineage": "abc",
            })  # fmt: skip
    UTTERANCE_TABLE.write(
        pl.DataFrame(utterances, schema=UTTERANCE_TABLE.schema), folder / "data/corpus/utterances.parquet"
    )
    frame = LABEL_TABLE.conform(pl.DataFrame(labels, schema_overrides={"flags": pl.List(pl.String)}))
    LABEL_TABLE.write(frame, folder / "data/iterations/it1/labels/corrected.parquet")
    CORRECTIONS_TABLE.write(CORRECTIONS_TABLE.empty(), folder / CORRECTIONS)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dataset")
    make_dataset(folder)
    return folder


@pytest.fixture
def dataset(made, tmp_path, monkeypatch):
    """A copy of the small dataset; the working directory."""
    shutil.copytree(made / "data", tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def ilt(*args, answer=None):
    """`ilt review ARGS`: what it prints. An IltError comes through."""
    result = CliRunner().invoke(app, [str(arg) for arg in args], input=answer)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == (1 if answer == "n\n" else 0), result.output
    return result.output


def refused(*args):
    """The message with which `ilt review import ARGS` refuses; nothing is written."""
    before = CORRECTIONS.read_bytes()
    with pytest.raises(IltError) as refusal:
        ilt("import", *args, "--yes")
    assert CORRECTIONS.read_bytes() == before
    return str(refusal.value)


def export(format, output, strategy="audit", budget=12, **more):
    options = [part for name, value in more.items() for part in (f"--{name}", value)]
    return ilt("export", "--iteration", "it1", "--budget", budget, "--strategy", strategy,
               "--format", format, "--output", output, *options)  # fmt: skip


def record():
    """The only review there is."""
    (path,) = Path("data/reviews").glob("*.parquet")
    return REVIEW_TABLE.read(path)


def page_data(path):
    """What an exported page holds."""
    html = Path(path).read_text(encoding="utf-8")
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', html, flags=re.DOTALL)
    return json.loads(text)


def page_answers(path, verdicts, reviewer="ann"):
    """A file as the page saves it. verdicts: (verdict, text or None for the label) of the first rows."""
    data = page_data(path)
    answers = [
        {"id": row["id"], "language": row["language"], "verdict": "", "text": row["text"]}
        | {"text_before": row["text"]}
        for row in data["rows"]
    ]
    for entry, (verdict, text) in zip(answers, verdicts, strict=False):
        entry |= {"verdict": verdict, "text": entry["text"] if text is None else text}
    saved = {
        "format": "ilt.review/1",
        "review": data["review"],
        "reviewer": reviewer,
        "answers": answers,
    }
    return saved, Path(path).with_suffix(".json")


def save(saved, path):
    path.write_text(json.dumps(saved, ensure_ascii=False), encoding="utf-8")
    return path


def sheet_rows(path):
    return list(csv.reader(io.StringIO(Path(path).read_text(encoding="utf-8-sig"), newline="")))


def fill_sheet(path, changes, delimiter=",", encoding="utf-8-sig"):
    """Fill in a sheet. changes: {row number from 1: {column: cell}}."""
    header, *rows = sheet_rows(path)
    for number, cells in changes.items():
        for column, cell in cells.items():
            rows[number - 1][header.index(column)] = cell
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter).writerows([header, *rows])
    Path(path).write_bytes(text.getvalue().encode(encoding))


def studio_export(path, changes):
    """Label Studio's export of a project. changes: {task number from 1: [(verdict, text, who, when)]}."""
    tasks = json.loads(Path(path).read_text(encoding="utf-8"))
    for number, task in enumerate(tasks, 1):
        task |= {"id": 900 + number, "annotations": []}
        for verdict, text, who, when in changes.get(number, []):
            results = [
                {
                    "from_name": "verdict",
                    "to_name": "audio",
                    "type": "choices",
                    "value": {"choices": [verdict]},
                }
            ]
            if text is not None:
                value = {"text": [text]}
                results.append({"from_name": "text", "to_name": "audio", "type": "textarea", "value": value})
            task["annotations"].append(
                {"completed_by": who, "was_cancelled": False, "result": results, "updated_at": when}
            )
    return save(tasks, Path("studio.json"))


def corrections():
    return {row["id"]: row for row in CORRECTIONS_TABLE.read(CORRECTIONS).iter_rows(named=True)}


# Out.


def test_the_page_holds_all_it_needs_and_nothing_from_elsewhere():
    shown = export("html", "out/page.html")
    html = Path("out/page.html").read_text(encoding="utf-8")
    data = page_data("out/page.html")
    assert len(data["rows"]) == 12 and data["review"] in shown
    assert "default-src 'none'" in html
    assert not re.search(r"(?:src|href)\s*=|url\(|@import|https?:", html.split("<script type")[0])
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(data["rows"][0]["audio"].split(",")[1])))
    assert (rate, len(samples)) == (RATE, round(SPOKEN * RATE))
    assert {row["direction"] for row in data["rows"] if row["language"] == "ar"} == {"rtl"}
    assert all(row["spans"][-1][0] == "delete" for row in data["rows"])


def test_texts_cannot_break_out_of_the_page():
    export("html", "page.html", strategy="improve", budget=60)
    html = Path("page.html").read_text(encoding="utf-8")
    texts = {row["text"] for row in page_data("page.html")["rows"]}
    assert set(TEXTS["en"]) <= texts
    assert html.count("<script") == html.count("</script") == 2
    assert "alert(" in html and "<!-- nine" not in html and "\u2028" not in html


def test_the_same_choice_gives_the_same_bytes_and_name():
    export("html", "a.html")
    first = Path("a.html").read_bytes(), record()
    export("html", "b.html")
    assert (Path("b.html").read_bytes(), record().equals(first[1])) == (first[0], True)
    export("html", "c.html", seed=7)
    assert len(list(Path("data/reviews").iterdir())) == 2


def test_an_audit_draws_selected_rows_from_every_stratum():
    export("csv", "a.csv", budget=15)
    rows, labels = record(), LABEL_TABLE.read(Path("data/iterations/it1/labels/corrected.parquet"))
    population = labels.filter(pl.col("selected"))
    assert rows["id"].is_in(population["id"].to_list()).all()
    strata = rows.group_by("stratum").agg(pl.col("stratum_size", "sampled").first(), pl.len())
    assert strata["stratum_size"].sum() == len(population)
    assert (strata["len"] == strata["sampled"]).all() and strata["len"].min() >= 2
    assert sorted(rows["position"]) == list(range(15))


def test_every_row_of_a_stratum_is_as_likely_to_be_drawn():
    from ilt.tools.review.audit import draw

    rows = LABEL_TABLE.read(Path("data/iterations/it1/labels/corrected.parquet")).filter(pl.col("selected"))
    rows, nobody = rows.with_columns(units=pl.lit(2)), pl.Series([], dtype=pl.String)
    drawn = pl.concat([draw(rows, 12, seed, nobody) for seed in range(400)])
    share = drawn.group_by("id", "stratum").agg(share=pl.len() / 400, wanted=(1 / pl.col("stratum_size")).sum())
    expected = drawn.group_by("stratum").agg((pl.col("sampled") / pl.col("stratum_size")).first().alias("chance"))
    both = share.join(expected, on="stratum")
    assert len(both) == len(rows)
    assert (both["share"] - both["chance"]).abs().max() < 4.5 * (0.25 / 400) ** 0.5


def test_a_larger_audit_takes_in_the_rows_of_a_smaller_one():
    export("html", "a.html", budget=6)
    first = record()
    ilt("import", save(*page_answers("a.html", [("accepted", None)] * 6)), "--yes")
    export("html", "b.html", budget=10)
    shown = {row["id"] for row in page_data("b.html")["rows"]}
    second = REVIEW_TABLE.read(Path(f"data/reviews/{page_data('b.html')['review']}.parquet"))
    assert len(shown) == 10 and not shown & set(first["id"])
    assert set(first["id"]) <= set(second["id"]) == shown | set(first["id"])


def test_improve_prefers_wrong_words_near_the_limit_and_spreads_over_languages():
    export("csv", "a.csv", strategy="improve", budget=9)
    rows = record().sort("position")
    assert rows["score"].is_sorted(descending=True)
    assert rows["language"].n_unique() == 3
    assert rows["expected_error"].min() > 0.2
    assert rows["stratum"].null_count() == 9


def test_rows_that_people_decided_are_not_shown_again():
    export("html", "a.html", strategy="improve", budget=5)
    seen = set(record()["id"])
    ilt("import", save(*page_answers("a.html", [("unusable", None)] * 5)), "--yes")
    export("html", "b.html", strategy="improve", budget=5)
    assert not seen & {row["id"] for row in page_data("b.html")["rows"]}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"budget": 0}, "at least one row"),
        ({"budget": 2**70}, "at least one row, and less than"),
        ({"budget": 5}, "needs at least 6 rows"),
        ({"iteration": "it7"}, "it1"),
    ],
)
def test_a_choice_that_cannot_be_is_refused(more, message):
    options = {"budget": 12, "iteration": "it1"} | more
    with pytest.raises(IltError, match=message):
        ilt("export", "--output", "a.html", *(part for k, v in options.items() for part in (f"--{k}", v)))
    assert not Path("a.html").exists() and not Path("data/reviews").exists()


@pytest.mark.parametrize("output", ["data", "a.json", "a"])
def test_only_a_file_of_the_format_is_written(output):
    with pytest.raises(IltError, match=r"ends in \.html"):
        export("html", output)
    assert Path("data/iterations").is_dir()


def test_files_of_others_are_not_swept_away():
    Path("a-audio").mkdir()
    Path("a-audio/mine.txt").touch()
    with pytest.raises(IltError, match="another --output"):
        export("csv", "a.csv")
    assert Path("a-audio/mine.txt").exists()


def test_what_people_filled_in_is_not_written_over():
    export("csv", "a.csv")
    export("csv", "a.csv")  # still empty
    fill_sheet("a.csv", {1: {"verdict": "accepted"}})
    before = Path("a.csv").read_bytes()
    with pytest.raises(IltError, match="the answers to 1 rows: take it in first"):
        export("csv", "a.csv", strategy="improve")
    Path("b.csv").write_text("name,price\n", encoding="utf-8")
    with pytest.raises(IltError, match="no sheet of a review"):
        export("csv", "b.csv")
    assert Path("a.csv").read_bytes() == before


@pytest.mark.parametrize("format", ["csv", "label-studio"])
def test_formats_without_sound_have_it_beside_them(format):
    output = {"csv": "out/a.csv", "label-studio": "out/a.json"}[format]
    export(format, output)
    clips = sorted(Path("out/a-audio").iterdir())
    assert len(clips) == 12
    if format == "csv":
        header, *rows = sheet_rows(output)
        named = [row[header.index("audio")] for row in rows]
    else:
        named = [task["data"]["audio"].split("?d=")[1] for task in json.loads(Path(output).read_text("utf-8"))]
        names = {element.get("name") for element in ElementTree.parse("out/a.xml").iter()}
        assert {"audio", "text", "verdict"} <= names
    assert [str(Path("out") / name) for name in named] == [str(clip) for clip in clips]


@pytest.mark.parametrize(
    "text",
    ["=1+1", "-3", "+4", "@a", "\ta", "\ra", "'=a", "''=a", "'a", "''", "it's", "", "a=b", "\uff1d1", "\n=1"],
)
def test_no_cell_is_a_formula_and_each_comes_back(text):
    assert safe(text)[:1] not in tuple("=+-@\t\r\n\uff1d")
    assert unsafe(safe(text)) == text


@pytest.mark.parametrize(("format", "output"), [("html", "a.html"), ("label-studio", "a.json"), ("csv", "a.csv")])
class TestBothOrNone:
    """An export leaves its files and its record, or neither: answers to a page without a record are lost."""

    @pytest.mark.parametrize("seed", [2**63, 2**70, -1])
    def test_a_seed_that_no_record_can_hold(self, format, output, seed):
        with pytest.raises(IltError, match=f"--seed {seed}: expected 0 or more, and less than"):
            export(format, output, seed=seed)
        assert sorted(path.name for path in Path().iterdir()) == ["data"]

    def test_the_largest_seed_is_kept(self, format, output):
        export(format, output, seed=2**63 - 1)
        assert record()["seed"][0] == 2**63 - 1

    def test_a_record_that_cannot_be_written(self, format, output):
        Path("data/reviews").write_text("a file in the place of the folder", encoding="utf-8")
        with pytest.raises(IltError, match="data/reviews"):
            export(format, output)
        assert sorted(path.name for path in Path().iterdir()) == ["data"]

    def test_a_damaged_record(self, format, output):
        export(format, output)
        (path,) = Path("data/reviews").iterdir()
        path.write_bytes(b"")
        shutil.rmtree("a-audio", ignore_errors=True)
        Path(output).unlink()
        with pytest.raises(IltError, match=f"{path} is damaged .*git restore {path}"):
            export(format, output)
        assert {path.name for path in Path().iterdir()} <= {"data", "a.xml"}

    def test_files_that_cannot_be_written(self, format, output):
        folder, name = "no\nsuch" * 60, Path(output)
        with pytest.raises(IltError, match="cannot be written"):
            export(format, f"out/{folder}{name.suffix}")
        with pytest.raises(IltError, match="cannot be written"):
            export(format, f"/proc/{name}")
        assert not Path("data/reviews").exists() and not list(Path("out").iterdir())


@pytest.mark.parametrize(("format", "output"), [("label-studio", "a.json"), ("csv", "a.csv")])
def test_a_file_in_the_place_of_the_clips_is_named_before_anything_is_written(format, output):
    Path("a-audio").touch()
    with pytest.raises(IltError, match="a-audio is a file"):
        export(format, output)
    assert not Path(output).exists() and not Path("data/reviews").exists()


# Back.


def test_the_pages_answers_come_in():
    export("html", "page.html")
    saved, path = page_answers(
        "page.html", [("accepted", None), ("corrected", "  seven\u00a0 two "), ("unusable", "x")]
    )
    shown = ilt("import", save(saved, path), "--yes")
    rows, ids = corrections(), [entry["id"] for entry in saved["answers"]]
    labels = {entry["id"]: entry["text_before"] for entry in saved["answers"]}
    assert [rows[key]["verdict"] for key in ids[:3]] == ["accepted", "corrected", "unusable"]
    assert [rows[key]["text"] for key in ids[:3]] == [labels[ids[0]], "seven two", None]
    assert all(rows[key]["text_before"] == labels[key] and rows[key]["reviewer"] == "ann" for key in ids[:3])
    assert len(rows) == 3 and {row["review"] for row in rows.values()} == {saved["review"]}
    assert "9 not reviewed yet" in shown


def test_label_studios_export_comes_in():
    export("label-studio", "tasks.json")
    ids = [task["data"]["utterance"] for task in json.loads(Path("tasks.json").read_text("utf-8"))]
    path = studio_export("tasks.json", {
        1: [("corrected", "one two", {"email": "eve@x.org"}, "2026-01-01")],
        3: [("unusable", None, 4, "2026-01-01")],
    })  # fmt: skip
    ilt("import", path, "--yes")
    rows = corrections()
    assert set(rows) == {ids[0], ids[2]}
    assert (rows[ids[0]]["text"], rows[ids[0]]["reviewer"]) == ("one two", "eve@x.org")
    assert (rows[ids[2]]["verdict"], rows[ids[2]]["reviewer"]) == ("unusable", "label-studio:4")


@pytest.mark.parametrize(("delimiter", "encoding"), [(",", "utf-8-sig"), (";", "utf-8"), ("\t", "utf-16")])
def test_a_sheet_comes_in(delimiter, encoding):
    export("csv", "a.csv")
    ids = [row[0] for row in sheet_rows("a.csv")[1:]]
    fill_sheet("a.csv", {
        2: {"verdict": "Accepted"}, 4: {"verdict": "corrected", "text": "'=1+1"},
        5: {"verdict": "corrected", "text": "=2"}, 6: {"text": "changed"},
    }, delimiter, encoding)  # fmt: skip
    shown = ilt("import", "a.csv", "--yes", "--reviewer", "bob")
    rows = corrections()
    assert {key: row["verdict"] for key, row in rows.items()} == {
        ids[1]: "accepted", ids[3]: "corrected", ids[4]: "corrected",
    }  # fmt: skip
    assert (rows[ids[3]]["text"], rows[ids[4]]["text"]) == ("=1+1", "=2")
    assert "1 of those have a changed text but no verdict" in shown


def test_every_label_of_a_sheet_comes_back_unharmed():
    export("csv", "a.csv", strategy="improve", budget=60)
    rows = sheet_rows("a.csv")[1:]
    assert not any(cell[:1] in tuple("=+-@") for row in rows for cell in row if cell)
    fill_sheet("a.csv", {number: {"verdict": "accepted"} for number in range(1, len(rows) + 1)})
    ilt("import", "a.csv", "--yes", "--reviewer", "bob")
    labels = {row["id"]: row["text"] for row in record().iter_rows(named=True)}
    rows = corrections()
    assert {key: row["text"] for key, row in rows.items()} == labels
    assert {row["verdict"] for row in rows.values()} == {"accepted"}


def test_rows_are_matched_by_id_in_any_order():
    export("csv", "a.csv")
    fill_sheet("a.csv", {3: {"verdict": "corrected", "text": "three"}})
    header, *rows = sheet_rows("a.csv")
    text = io.StringIO(newline="")
    csv.writer(text).writerows([header[::-1], *(row[::-1] for row in reversed(rows))])
    Path("a.csv").write_text(text.getvalue(), encoding="utf-8")
    ilt("import", "a.csv", "--yes", "--reviewer", "bob")
    assert {key: row["text"] for key, row in corrections().items()} == {rows[2][0]: "three"}


def test_importing_twice_changes_nothing():
    export("html", "page.html")
    path = save(*page_answers("page.html", [("accepted", None), ("corrected", "seven"), ("unusable", None)]))
    ilt("import", path, "--yes")
    once, stat = CORRECTIONS.read_bytes(), CORRECTIONS.stat().st_mtime_ns
    assert "stays as it is" in ilt("import", path)
    assert (CORRECTIONS.read_bytes(), CORRECTIONS.stat().st_mtime_ns) == (once, stat)


def test_nothing_is_written_before_the_question_is_answered():
    export("html", "page.html")
    before = CORRECTIONS.read_bytes()
    path = save(*page_answers("page.html", [("corrected", "[red]seven[/red]")]))
    shown = ilt("import", path, answer="n\n")
    assert "[red]seven[/red]" in shown and "1 corrected" in shown
    assert CORRECTIONS.read_bytes() == before
    ilt("import", path, answer="y\n")
    assert len(corrections()) == 1


def test_the_text_says_whether_it_was_corrected():
    export("html", "page.html")
    saved, path = page_answers("page.html", [("accepted", "something else"), ("corrected", None)])
    ilt("import", save(saved, path), "--yes")
    assert [corrections()[entry["id"]]["verdict"] for entry in saved["answers"][:2]] == [
        "corrected",
        "accepted",
    ]


def test_people_who_disagree_are_named_and_the_later_wins_if_asked_for():
    export("html", "page.html")
    ilt("import", save(*page_answers("page.html", [("corrected", "seven"), ("accepted", None)])), "--yes")
    saved, path = page_answers("page.html", [("corrected", "eight"), ("accepted", None)], reviewer="bob")
    key = saved["answers"][0]["id"]
    message = refused(save(saved, path))
    assert all(part in message for part in (key, "ann: 'seven'", "bob: 'eight'", "--resolve latest", "answer 1"))
    ilt("import", path, "--yes", "--resolve", "latest")
    assert (corrections()[key]["text"], corrections()[key]["reviewer"]) == ("eight", "bob")
    assert corrections()[saved["answers"][1]["id"]]["reviewer"] == "ann"


def test_people_who_disagree_within_a_file_are_named_and_the_later_wins_if_asked_for():
    export("label-studio", "tasks.json")
    path = studio_export(
        "tasks.json", {2: [("corrected", "new", 2, "2026-02-02"), ("corrected", "old", 1, "2026-01-01")]}
    )
    assert "task 2" in refused(path)
    ilt("import", path, "--yes", "--resolve", "latest")
    assert [row["text"] for row in corrections().values()] == ["new"]


def test_the_same_person_may_think_again():
    export("html", "page.html")
    ilt("import", save(*page_answers("page.html", [("corrected", "seven")])), "--yes")
    shown = ilt("import", save(*page_answers("page.html", [("unusable", None)])), "--yes")
    assert "0 new, 1 changed" in shown
    assert [row["verdict"] for row in corrections().values()] == ["unusable"]


def _edit(saved, **fields):
    saved["answers"][1] |= fields


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.update(review="it1-audit-00000000"), "there is no review"),
        (lambda s: s.update(review="../../etc"), "there is no review"),
        (lambda s: s.update(reviewer=""), "--reviewer"),
        (lambda s: _edit(s, id="en-999"), "en-999: review .* has no such row"),
        (lambda s: _edit(s, language="fr"), "language 'fr'"),
        (lambda s: _edit(s, text_before="other"), "text_before is 'other'"),
        (lambda s: _edit(s, text=" \u00a0 "), "the text is empty"),
        (lambda s: _edit(s, verdict="fine"), "verdict 'fine'"),
        (lambda s: _edit(s, text="a\x1b[2J"), "control characters"),
        (lambda s: s.update(reviewer="a\x1b[2J"), "control characters"),
        (lambda s: _edit(s, id="a\x1b[2J"), r"a\\u001b\[2J: review"),
        (lambda s: _edit(s, text=None), "expected text in text"),
        (lambda s: s["answers"].__setitem__(1, 7), "expected text in id"),
        (lambda s: s.update(format="ilt.review/9"), "ilt.review/9"),
        (lambda s: s.update(answers={}), "as a list"),
    ],
)
def test_answers_that_do_not_fit_are_refused_by_number(change, message):
    export("html", "page.html")
    saved, path = page_answers("page.html", [("accepted", None), ("corrected", "two"), ("accepted", None)])
    change(saved)
    refusal = refused(save(saved, path))
    assert re.search(message, refusal), refusal
    assert "page.json" in refusal
    if saved["answers"] and saved["review"] == page_data("page.html")["review"] and "format" not in message:
        assert "answer 2" in refusal or "--reviewer" in refusal or "ilt.review/9" in refusal


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"id": "en-999"}, "has no such row"),
        ({"language": "fr"}, "language 'fr'"),
        ({"text_before": "3-Jan"}, "text_before is '3-Jan'"),
        ({"text": ""}, "the text is empty"),
        ({"verdict": "ok"}, "verdict 'ok'"),
        ({"review": "it9-audit-ffffffff"}, "there is no review"),
    ],
)
def test_rows_of_a_sheet_that_do_not_fit_are_refused_by_line(cells, message):
    export("csv", "a.csv")
    fill_sheet("a.csv", {1: {"verdict": "accepted"}, 3: {"verdict": "corrected"} | cells})
    refusal = refused("a.csv", "--reviewer", "bob")
    assert "a.csv:4: " in refusal and message in refusal


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the header lacks id"),
        (b"id,text\n1,2\n", "the header lacks review"),
        (b"\xff\x00\xfe", "not UTF-8"),
        (b"id,review,language,text_before,text,verdict\na,b,c\n", "a.txt:2: a: 3 cells, expected 6"),
        (b'id,review,language,text_before,text,verdict\n\n"a,b,c,d,e,f\n', "a.txt:3: not CSV"),
        (b"id,review,language,text_before,text,verdict,id\n", "id more than once"),
        (b'{"format": ', "a.txt:1: not JSON"),
        (b'[{"id": 1, "utterance": "a"}]', "JSON-MIN"),
        (b"[1]", "task 1"),
        (b'[{"data": {"utterance": "a"}, "annotations": []}]', "expected text in review, language, text_before"),
        (b"<!DOCTYPE html><title>Review</title>", "Download answers"),
        (b"[" * 100_000, "not the answers"),
    ],
)
def test_files_that_are_no_answers_are_refused(content, message):
    Path("a.txt").write_bytes(content)
    assert message in refused("a.txt")


@pytest.mark.parametrize("field", ["id", "language", "text", "text_before", "verdict"])
def test_half_of_a_surrogate_pair_is_refused(field):
    export("html", "page.html")
    saved, path = page_answers("page.html", [("accepted", None), ("corrected", "two")])
    _edit(saved, **{field: f"{saved['answers'][1][field]}\ud83d"})
    path.write_text(json.dumps(saved), encoding="ascii")
    assert "page.json: answer 2: " in refused(path)


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ([{"from_name": "text", "value": {"text": [5]}}], r"`text` of 'text' is \[5\], expected a list of texts"),
        ([{"from_name": "text", "value": {"text": {"a": 1}}}], "expected a list of texts"),
        ([{"from_name": "verdict", "value": ["accepted", None]}], "expected a list of texts"),
        ([{"from_name": "verdict", "value": 7}], "expected a list of texts"),
        ({"from_name": "verdict"}, "expected a list of objects"),
        (["accepted"], "expected a list of objects"),
        ([{"from_name": "verdict", "value": {"choices": ["accepted", "unusable"]}}], "more than one verdict"),
    ],
)
def test_results_of_a_wrong_type_are_refused(results, message):
    export("label-studio", "tasks.json")
    path = studio_export("tasks.json", {2: [("accepted", None, 1, "2026-01-01")]})
    tasks = json.loads(path.read_text(encoding="utf-8"))
    tasks[1]["annotations"][0]["result"] = results
    assert re.search(f"task 2: .*{message}", refused(save(tasks, path)))


def test_nothing_of_an_answer_steers_the_terminal():
    export("html", "page.html")
    saved, path = page_answers("page.html", [("corrected", "seven \u202enevele"), ("unusable", None)])
    shown = ilt("import", save(saved | {"reviewer": "a\u202enn"}, path), "--yes")
    assert "seven nevele" in shown and "\u202e" not in shown  # dropped from the text, as from gold
    shown = ilt("import", save(saved | {"reviewer": "bob\u2066"}, path), "--yes", "--resolve", "latest")
    assert "stays as it is" in shown and "\u202e" not in shown


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("two <|endoftext|>", "a control token of models"),
        ("two \ufffd", "U\\+FFFD"),
        ("NULL", "programs write that there is none"),
        ("[noise]", "annotations and no words"),
    ],
)
def test_an_answer_is_as_good_as_gold(text, message):
    export("html", "page.html")
    saved, path = page_answers("page.html", [("corrected", text)])
    assert re.search(message, refused(save(saved, path)))


def test_an_answer_may_keep_the_annotations_that_a_person_wrote_beside_words():
    export("html", "page.html")
    saved, path = page_answers("page.html", [("corrected", "two [noise]\u200b six")])
    assert "two [noise] six" in ilt("import", save(saved, path), "--yes")


def test_a_reviewer_of_the_command_line_is_checked_too():
    export("csv", "a.csv")
    fill_sheet("a.csv", {1: {"verdict": "accepted"}})
    assert "the reviewer's name holds control characters" in refused("a.csv", "--reviewer", "bob\x1b[2J")


@pytest.mark.parametrize("damage", ["empty", "no table", "half", "within"])
@pytest.mark.parametrize(
    "path",
    ["data/iterations/it1/labels/corrected.parquet", "data/corpus/utterances.parquet", str(CORRECTIONS)],
)
def test_a_damaged_table_is_named_with_what_restores_it(path, damage):
    export("html", "page.html")
    saved, name = page_answers("page.html", [("accepted", None)])
    ilt("import", save(saved, name), "--yes")
    answers = save(saved | {"reviewer": "bob"}, Path("other.json"))
    whole = Path(path).read_bytes()
    damaged = {"empty": b"", "no table": b"PAR1 cut", "half": whole[: len(whole) // 2], "within": None}[damage]
    Path(path).write_bytes(whole[:4] + bytes(600) + whole[604:] if damaged is None else damaged)
    with pytest.raises(IltError, match=f"^{path} is damaged .*dvc checkout --force {path}"):
        export("html", "b.html", seed=2)
    assert not Path("b.html").exists()
    if "labels" not in path:  # which a decision is not compared with
        with pytest.raises(IltError, match=f"^{path} is damaged"):
            ilt("import", answers, "--yes")


def test_a_damaged_record_of_a_review_is_named():
    export("html", "page.html")
    answers = save(*page_answers("page.html", [("accepted", None)]))
    (path,) = Path("data/reviews").iterdir()
    path.write_bytes(path.read_bytes()[:100])
    assert f"{path} is damaged" in refused(answers)
    with pytest.raises(IltError, match=f"{path} is damaged .*git restore {path}"):
        ilt("estimate")


def test_a_file_of_another_dataset_is_refused(dataset, tmp_path_factory, monkeypatch):
    export("html", "page.html")
    path = save(*page_answers("page.html", [("accepted", None)])).resolve()
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    make_dataset(elsewhere, {"en": TEXTS["en"]})
    monkeypatch.chdir(elsewhere)
    assert "there is no review" in refused(path)
    shutil.copytree(dataset / "data/reviews", "data/reviews")
    assert "no longer in the corpus" in refused(path)


def test_changed_audio_is_refused():
    export("html", "page.html")
    path = save(*page_answers("page.html", [("accepted", None)]))
    where = Path("data/corpus/utterances.parquet")
    UTTERANCE_TABLE.write(UTTERANCE_TABLE.read(where).with_columns(audio_hash=pl.lit("0")), where)
    assert "its audio is not what it was" in refused(path)


def test_a_cancelled_annotation_is_no_answer():
    export("label-studio", "tasks.json")
    path = studio_export("tasks.json", {1: [("accepted", "x", 1, "2026-01-01")]})
    tasks = json.loads(path.read_text(encoding="utf-8"))
    tasks[0]["annotations"][0]["was_cancelled"] = True
    assert "12 not reviewed yet" in ilt("import", save(tasks, path))


def _predictions(test_errors, path):
    """Predictions of ten test utterances, of which so many are wrong."""
    rows = [
        {
            "id": f"t{number}", "language": "en", "split": "test", "reference": "one two",
            "hypothesis": "one nine" if number < test_errors else "one two",
        }
        for number in range(10)
    ]  # fmt: skip
    PREDICTION_TABLE.write(PREDICTION_TABLE.conform(pl.DataFrame(rows)), Path(path))


def test_the_gain_of_a_review_is_given_by_the_minute(dataset, write_params):
    def run(*command):
        subprocess.run(command, check=True, capture_output=True, cwd=dataset)

    predictions = dataset / "data/iterations/it1/predictions.parquet"
    _predictions(6, predictions)
    write_params(dataset, {"iterations": {"it1": {"prev": "base"}}})
    run("git", "init", "-q")
    run(sys.executable, "-m", "dvc", "init", "-q")
    run("git", "add", "-A")
    run("git", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "before")
    with pytest.raises(IltError, match="no decision that was not in HEAD"):
        ilt("gain")

    export("html", "r.html")
    saved, path = page_answers("r.html", [("corrected", "five five"), ("accepted", None), ("unusable", "")])
    ilt("import", save(saved, path), "--yes")
    with pytest.raises(IltError, match="run `dvc repro` first"):
        ilt("gain")

    path = dataset / "data/iterations/it1/labels/corrected.parquet"
    answers = pl.read_parquet(CORRECTIONS).select("id", answer="text")
    labels = (
        LABEL_TABLE.read(path)
        .join(answers, on="id", how="left")
        .with_columns(
            text=pl.coalesce("answer", "text"),
            source=pl.when(pl.col("answer").is_not_null()).then(pl.lit("human")).otherwise("source"),
        )
    )
    LABEL_TABLE.write(LABEL_TABLE.conform(labels), path)
    with pytest.raises(IltError, match=r"\(1 in all\); run"):  # what is unusable is still selected
        ilt("gain")
    unusable = pl.read_parquet(CORRECTIONS).filter(pl.col("verdict") == "unusable")["id"].to_list()
    labels = labels.with_columns(selected=pl.col("selected") & ~pl.col("id").is_in(unusable))
    LABEL_TABLE.write(LABEL_TABLE.conform(labels), path)
    _predictions(2, predictions)
    shown = ilt("gain")
    assert "3 rows decided since HEAD, 0.0 min of audio: 1 corrected, 1 unusable" in shown
    assert re.search(r"it1 +. +30\.0 . +10\.0 . +\+20\.0", shown)
    assert "+1000.00 points of it1 for a minute" in shown  # 20 points for three times 0.4 s
    with pytest.raises(IltError, match="--rev nowhere: "):
        ilt("gain", "--rev", "nowhere")
