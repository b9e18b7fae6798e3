"""Nothing in texts, ids, reasons or file names steers a terminal, or turns the line of a page around."""

from __future__ import annotations

import io
import json
import sys

import polars as pl
import pytest
from rich.table import Table
from rich.text import Text
from typer.testing import CliRunner

from ilt import cli, paths
from ilt.corpus.formats.manifest import Manifest
from ilt.corpus.importing import Limits, import_rows
from ilt.errors import IltError, Problem, ProblemsError
from ilt.escapes import visible
from ilt.evaluation.highlight import diff_spans
from ilt.labels.table import LABEL_TABLE
from ilt.progress import progress
from ilt.stages._stage import run_stage, stage_named
from ilt.tools.doctor.checks import Finding
from ilt.tools.doctor.command import Report
from ilt.tools.doctor.machine import Machine
from ilt.tools.doctor.show import print_report, to_json
from ilt.tools.experiments.tune import cli as tune
from ilt.tools.marks import isolated, marked_text, plain_console
from ilt.tools.transcribe.command import _write as write_transcript
from ilt.tools.transcribe.formats import Segment, Transcript

BAD = "\x1b]0;owned\x07\x1b[2J\x9b31m\x7f\u202e\u202d\u2066\u2067\u2068\u200f\u200e\u061c\u2028z"
SHOWN = r"\u001b]0;owned\u0007\u001b[2J\u009b31m\u007f\u202e\u202d\u2066\u2067\u2068\u200f\u200e\u061c\u2028z"
STEERING = set(BAD) - set("]0;owned[2J31mz")


def harmless(text):
    assert not STEERING & set(text), sorted(map(ascii, STEERING & set(text)))
    return text


def test_what_steers_is_written_as_an_escape_and_the_rest_stays():
    assert visible(BAD) == SHOWN
    assert visible("\ud800\t\n") == r"\ud800\u0009\u000a"
    assert visible("a\nb", lines=True) == "a\nb"
    for text in ("شكرا", "नमस्ते", "می\u200cخواهم", "👩\u200d👩", "日本", r"\u001b"):
        assert visible(text) == text
    assert visible(SHOWN) == SHOWN


def test_json_stays_the_same_json():
    value = {"a": [BAD, "é\n"], BAD: 1}
    text = json.dumps(value, ensure_ascii=False, indent=1)
    assert json.loads(harmless(visible(text, lines=True))) == value


def test_errors_are_harmless_wherever_they_are_printed():
    assert str(IltError(f"{BAD} in a file\n  and more")) == f"{SHOWN} in a file\n  and more"
    harmless(str(Problem(f"a{BAD}.jsonl:3", BAD, BAD)))
    assert "\n" not in str(Problem("a\nERROR: b", "c", "d"))
    harmless(str(ProblemsError("the rows", [Problem(f"a{BAD}:{n}", BAD, BAD) for n in range(9)])))


@pytest.mark.parametrize("words", [["diff", BAD, "it2"], ["diff", f"{BAD}.parquet", "b.parquet"], ["params", BAD],
                                   ["tune", "show", "--study", BAD], ["review", "import", f"{BAD}.json"]])  # fmt: skip
def test_errors_of_the_command_line(words, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ilt", *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    shown = capsys.readouterr()
    assert ended.value.code == 2
    assert harmless(shown.err + shown.out).startswith("ERROR: ")
    assert SHOWN[:20] in shown.err or repr(BAD)[1:10] in shown.err


def test_errors_of_stages(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["label", BAD])
    with pytest.raises(SystemExit):
        run_stage(stage_named("label"))
    assert SHOWN in harmless(capsys.readouterr().err)


def printed(*objects):
    file = io.StringIO()
    console = plain_console(400, file)
    for each in objects:
        console.print(each)
    return file.getvalue()


def test_the_console_of_the_tools_lets_nothing_through():
    table = Table("head" + BAD, title=BAD, caption=BAD)
    table.add_row(BAD)
    table.add_row(Text(BAD, "red"))
    shown = harmless(printed(table, BAD, Text(BAD, "bold"), Text.assemble(("id", "dim"), BAD)))
    assert shown.count(r"\u001b]0;owned") >= 7
    assert "[red]x[/red] :smile:" in printed("[red]x[/red] :smile:")


def test_colours_are_the_consoles_own():
    from ilt.tools.marks import _PlainConsole

    file = io.StringIO()
    console = _PlainConsole(file=file, force_terminal=True, color_system="standard", width=200, legacy_windows=False)
    console.print(Text(f"a{BAD}", "red"))
    assert file.getvalue().replace("\x1b[31m", "").replace("\x1b[0m", "") == harmless(f"a{SHOWN}\n").replace(
        r"\u0007", ""
    )  # rich itself drops the bell


def test_isolates_around_right_to_left_text_are_ours_alone():
    text = f"واحد{BAD}"
    shown = printed(isolated(text, "ar"), marked_text(diff_spans("واحد", text, "ar"), "ar", colour=False))
    for line in shown.splitlines():
        assert (line[0], line[-1]) == ("\u2067", "\u2069")
        harmless(line[1:-1])
    assert isolated("one", "en").plain == "one"


def test_spans_of_a_change_are_harmless_and_whole():
    for language in ("en", "ko", "ar"):
        spans = diff_spans(f"one {BAD}", f"two {BAD}", language)
        assert SHOWN in harmless("".join(part for kind, part in spans if kind != "delete"))


COLUMNS = ("id", "language", "split", "text", "source", "selected", "reason", "expected_error")


@pytest.fixture
def tables(tmp_path, monkeypatch):
    """Two label tables whose every text steers."""
    monkeypatch.chdir(tmp_path)
    for name, word, chosen in (("it1", "one", True), ("it2", "two", False)):
        rows = [
            (f"a\nERROR: {BAD}", "en" + BAD, "pool" + BAD, f"{word} {BAD}", f"{word}{BAD}", chosen, word + BAD, 0.1),
            (f"b|{BAD}", "ar", "pool", f"{word} {BAD}", "pseudo", chosen, word + BAD, 0.1),
        ]
        frame = pl.DataFrame(rows, schema=list(COLUMNS), orient="row")
        frame = frame.with_columns(iteration=pl.lit("it"), flags=pl.lit([], pl.List(pl.String)))
        LABEL_TABLE.write(frame, tmp_path / f"data/iterations/{name}/labels/corrected.parquet")
        frame.write_parquet(tmp_path / f"{name}.parquet")
    frame.select("id", text=pl.lit(f"three {BAD}")).write_parquet(tmp_path / "truth.parquet")
    return tmp_path


@pytest.mark.parametrize("form", ["text", "markdown", "html", "json"])
@pytest.mark.parametrize("to_file", [False, True])
def test_diff(tables, form, to_file):
    more = ["--output", "out"] if to_file else []
    result = CliRunner().invoke(
        cli.app, ["diff", "it1.parquet", "it2.parquet", "--format", form, "--reference", "truth.parquet", *more]
    )
    assert result.exit_code == 1, result.output
    shown = (tables / "out").read_text(encoding="utf-8") if to_file else result.output
    if form == "text":
        shown = shown.replace("\u2067", "").replace("\u2069", "")  # around Arabic
    harmless(shown)
    if form == "json":
        assert {row["id"] for row in json.loads(shown)["rows"]} == {f"a\nERROR: {BAD}", f"b|{BAD}"}
    else:
        assert r"\u202e" in shown.replace("&#92;", "\\")  # Markdown's own escape of a backslash
        assert not any(line.lstrip().startswith("ERROR") for line in shown.splitlines() if form != "html")


def test_doctor(capsys):
    machine = Machine("cpu", f"name{BAD}", 2**30, 2**30, 2**30)
    report = Report(machine, [Finding("model" + BAD, "broken", f"no {BAD}")], [])
    print_report(report, 10)
    shown = capsys.readouterr().out
    assert harmless(shown).count(r"\u202e") == 3
    assert json.loads(harmless(to_json(report)))["findings"][0]["what"] == f"no {BAD}"


def test_tune_says_what_trials_failed_with(capsys):
    tune._say(f"trial 3 failed: {BAD}\n")
    assert SHOWN in harmless(capsys.readouterr().out)


def test_progress_of_long_work(capsys):
    with progress("decode", 1) as advance:
        advance(f"a{BAD}.wav")
    assert SHOWN in harmless(capsys.readouterr().err)


@pytest.mark.parametrize("form", ["text", "json", "srt", "vtt"])
def test_a_transcript_is_harmless_on_standard_output_and_whole_in_a_file(form, capsys, tmp_path):
    transcript = Transcript(f"a{BAD}.wav", "en", 1.0, "abc", [Segment(0.0, 1.0, f"two {BAD}", -0.1, None, True)])
    write_transcript(transcript, None, form, header=True)
    shown = harmless(capsys.readouterr().out)
    assert r"\u202e" in shown
    write_transcript(transcript, tmp_path / "out", form, header=True)
    assert "\u202e" in (tmp_path / "out").read_text(encoding="utf-8")


def test_summary(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rates = {"micro": 0.1, "macro": 0.1, "by_language": {f"xx{BAD}": 0.1}}
    gain = {"micro": 0.1, "low": 0.0, "high": 0.2}
    entry = {
        "test": rates, "dev": rates, "retention": rates, "train_dev_gap": 0.1, "labels": {}, "gain": gain,
        "gain_over_previous": gain,
    }  # fmt: skip
    paths.write_json(paths.SUMMARY, {"base": entry, f"it1{BAD}": entry | {"skipped": f"b{BAD}"}}, sort_keys=False)
    result = CliRunner().invoke(cli.app, ["summary", "--languages"])
    assert result.exit_code == 0, result.output
    assert harmless(result.output).count(r"\u202e") >= 3


def test_import_names_rows_harmlessly(tmp_path):
    name = "a\x1b[2J\u202e.wav"
    line = {"audio_filepath": name, "id": BAD, "lang": "e\x1bn", "split": f"g{BAD}", "text": BAD}
    (tmp_path / f"m{name}.jsonl").write_text(json.dumps(line) + "\n", encoding="utf-8")
    imported = import_rows(Manifest(tmp_path / f"m{name}.jsonl").rows(), Limits(0.1, 6.0))
    assert len(imported.problems) >= 3
    for problem in imported.problems:
        harmless(str(problem))
    assert any("the language 'e\\x1bn' holds a control character" in problem.what for problem in imported.problems)
