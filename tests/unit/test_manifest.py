"""A manifest: every problem is found in one pass, named by file, line and id; good rows come through."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import polars as pl
import pytest
import soundfile

from conftest import ROOT
from ilt.asr.families import length_check
from ilt.corpus.audio import RATE
from ilt.corpus.checks import check_corpus, check_named_languages, warn_of_small_dev
from ilt.corpus.formats.manifest import Manifest
from ilt.corpus.importing import Limits, import_rows, read_corpus
from ilt.corpus.sources import read_references
from ilt.corpus.table import POOL_REFERENCE_TABLE, QUARANTINE_TABLE, UTTERANCE_TABLE
from ilt.errors import IltError
from ilt.labels.table import CORRECTIONS_TABLE
from ilt.params import CorpusParams

LANGUAGES = frozenset({"en", "ko"})


def _noise(seed, seconds=1.0):
    return (0.1 * np.random.default_rng(seed).standard_normal(round(seconds * RATE))).astype(np.float32)


def _line(audio, split="gold", text="two six zero", lang="en", **more):
    values = {"audio_filepath": audio, "lang": lang, "split": split, "text": text, **more}
    return {key: value for key, value in values.items() if value is not None}


def _write(path, lines):
    texts = [line if isinstance(line, str) else json.dumps(line, ensure_ascii=False) for line in lines]
    path.write_text("\n".join(texts) + "\n", encoding="utf-8")
    return path


def _read(path, languages=LANGUAGES, **limits):
    return import_rows(Manifest(path).rows(), Limits(0.1, 6.0, languages, **limits))


@pytest.fixture(scope="module")
def audio(tmp_path_factory):
    """A folder with four good files, and one for each way in which a file can be bad."""
    folder = tmp_path_factory.mktemp("audio")
    for number in range(4):
        soundfile.write(folder / f"good{number}.wav", _noise(number), RATE)
    (folder / "empty.wav").touch()
    (folder / "text.wav").write_text("not audio\n" * 20)
    broken = _noise(9)
    broken[7] = np.nan
    soundfile.write(folder / "nan.wav", broken, RATE, subtype="FLOAT")
    soundfile.write(folder / "long.wav", _noise(10, 7.0), RATE)
    soundfile.write(folder / "short.wav", _noise(11, 0.05), RATE)
    soundfile.write(folder / "same.flac", *soundfile.read(folder / "good0.wav", dtype="int16"))
    return folder


GOOD = [
    _line("good0.wav", "gold", id="g"),
    _line("good1.wav", "pool", id="p"),
    _line("good2.wav", "dev", "일 이", "ko", id="d", speaker="anna"),
    _line("good3.wav", "test", id="t"),
]

BAD = [
    ("{not json", "", "not JSON"),
    ('["a", "list"]', "", "expected a JSON object, found list"),
    (_line("nothing.wav"), "nothing", "does not exist"),
    (_line("empty.wav"), "empty", "0 bytes"),
    (_line("text.wav"), "text", "not audio"),
    (_line("nan.wav"), "nan", "NaN"),
    (_line("long.wav"), "long", "too long; expected at most 6 s"),
    (_line("short.wav"), "short", "too short; expected at least 0.1 s"),
    (_line("good1.wav", id="g"), "g", "duplicate id"),
    (_line("good1.wav", "train", id="split"), "split", "unknown split 'train'"),
    (_line("good1.wav", lang=None, id="nolang"), "nolang", "lang is missing"),
    (_line("good1.wav", lang=3, id="langs"), "langs", "lang must be a string, found 3"),
    (_line("good1.wav", None, id="nosplit"), "nosplit", "split is missing; expected one of gold, pool"),
    (_line("good1.wav", lang="xx", id="lang"), "lang", "does not know the language 'xx'; it has"),
    (_line("good1.wav", lang="ger", id="other"), "other", "write its code (`lang` in a manifest"),
    (_line("good1.wav", text=None, id="notext"), "notext", "text is missing"),
    (_line("good1.wav", text="?!", id="marks"), "marks", "empty after normalisation"),
    (_line("good1.wav", text=3, id="number"), "number", "text must be a string"),
    (_line("good1.wav", offset=5.0, id="behind"), "behind", "behind the end"),
    (_line("good1.wav", offset=-1, id="before"), "before", "offset must be a number of seconds"),
    (_line("same.flac", "test", id="leak"), "leak", "the same audio as 'g', which is in gold"),
    (_line(None, id="nowhere"), "nowhere", "audio_filepath is missing"),
]


def test_every_problem_is_found_in_one_pass_and_good_rows_come_through(audio):
    lines = [*GOOD[:2], *(line for line, _, _ in BAD), *GOOD[2:]]
    path = _write(audio / "all.jsonl", lines)
    imported = _read(path)
    expected = [(f"{path}:{number}", key, what) for number, (_, key, what) in enumerate(BAD, len(GOOD[:2]) + 1)]
    problems = sorted(imported.problems, key=lambda problem: int(problem.where.rsplit(":", 1)[1]))
    assert [(p.where, p.id) for p in problems] == [(where, key) for where, key, _ in expected]
    for problem, (_, _, what) in zip(problems, expected, strict=True):
        assert what in problem.what
    assert imported.rows["id"].to_list() == ["g", "p", "d", "t"]


def test_one_line_with_many_faults_tells_them_all(audio):
    imported = _read(_write(audio / "many.jsonl", [{"id": "x", "audio_filepath": "good0.wav", "split": "train"}]))
    assert len(imported.problems) == 2
    assert {problem.id for problem in imported.problems} == {"x"}


def test_good_rows_fit_the_utterance_table(audio):
    imported = _read(_write(audio / "good.jsonl", GOOD))
    assert not imported.problems
    rows = imported.table()
    assert dict(rows.schema) == UTTERANCE_TABLE.schema
    assert rows["duration"].to_list() == [1.0] * 4
    assert rows["id"].to_list() == ["d", "g", "p", "t"]
    assert rows["speaker"].to_list() == ["anna", None, None, None]
    assert rows["language"].to_list() == ["ko", "en", "en", "en"]


def test_the_text_of_the_pool_becomes_a_reference_and_not_a_text(audio):
    imported = _read(_write(audio / "good.jsonl", GOOD))
    assert imported.table()["text"].to_list() == ["일 이", "two six zero", None, "two six zero"]
    assert imported.references.rows() == [("p", "two six zero")]


def test_the_pool_does_without_text(audio):
    imported = _read(_write(audio / "pool.jsonl", [_line("good1.wav", "pool", None)]))
    assert not imported.problems
    assert imported.references.is_empty()


def test_segments_of_one_file_get_ids_and_durations_of_their_own(audio):
    lines = [_line("good0.wav", offset=offset, duration=0.25) for offset in (0.25, 0.5)]
    imported = _read(_write(audio / "segments.jsonl", lines))
    assert imported.rows["id"].to_list() == ["good0-0.25", "good0-0.5"]
    assert imported.rows["duration"].to_list() == [0.25, 0.25]


def test_the_same_audio_twice_in_one_split_is_no_leak(audio):
    imported = _read(_write(audio / "twice.jsonl", [_line("good0.wav"), _line("same.flac")]))
    assert not imported.problems


def test_overlapping_segments_in_two_splits_are_a_leak(audio):
    def segment(offset, split, name):
        return _line("good0.wav", split, offset=offset, duration=0.3, id=name)

    lines = [segment(0.1, "gold", "a"), segment(0.4, "test", "b"), segment(0.3, "dev", "c")]
    imported = _read(_write(audio / "overlap.jsonl", lines))
    assert imported.rows["id"].to_list() == ["a", "b"]  # neighbours that only touch are none
    assert [(problem.id, problem.what) for problem in imported.problems] == [
        ("c", "overlaps 'a' in the same file, which is in gold: a leak")
    ]


LONG = "ꙮ" * 200  # of three bytes each, and no token of its own
"""A text that no demo model can write, and that can be said in 5 s."""


@pytest.mark.parametrize(("family", "model"), [("whisper", "demo-whisper"), ("qwen2_audio", "demo-qwen2-audio")])
def test_a_text_that_the_model_cannot_write_is_a_problem_in_every_split_but_the_pool(audio, family, model):
    soundfile.write(audio / "five.wav", _noise(12, 5.9), RATE)
    splits = ("gold", "dev", "test", "retention", "replay", "pool")
    lines = [_line("five.wav", split, LONG, id=split, offset=0.1 * number) for number, split in enumerate(splits)]
    check = length_check(str(ROOT / "data" / "models" / model), None, family, {})
    imported = _read(_write(audio / "long.jsonl", lines), length_problem=check)
    long = [problem for problem in imported.problems if "tokens is longer than the" in problem.what]
    assert [problem.id for problem in long] == list(splits[:-1])
    assert long[0].where.endswith("long.jsonl:1") and "cut the utterance into shorter ones" in long[0].what


def test_a_model_whose_tokenizer_cannot_be_read_is_named(tmp_path):
    (tmp_path / "tokenizer.json").write_text('{"version": ')
    with pytest.raises(IltError, match=rf"model\.id: the tokenizer of {tmp_path} cannot be read"):
        length_check(str(tmp_path), None, "whisper", {})


def test_any_language_is_taken_where_the_model_does_not_say(audio):
    assert not _read(_write(audio / "xx.jsonl", [_line("good0.wav", lang="xx")]), languages=None).problems


def test_blank_lines_and_a_byte_order_mark_do_no_harm(audio):
    path = audio / "bom.jsonl"
    path.write_text("\ufeff" + json.dumps(GOOD[0]) + "\n\n  \n" + json.dumps(GOOD[1]), encoding="utf-8")
    assert _read(path).rows["id"].to_list() == ["g", "p"]


@pytest.mark.parametrize("mark", ["\u2028", "\x85"])
def test_only_line_feeds_end_a_line(audio, mark):
    path = _write(audio / "separator.jsonl", [_line("good0.wav", text=f"two{mark}six")])
    assert not _read(path).problems


def test_an_impossible_file_name_is_a_problem_of_its_line(audio):
    imported = _read(_write(audio / "name.jsonl", [_line("a" * 300 + ".wav"), GOOD[0]]))
    assert len(imported.problems) == len(imported.rows) == 1


def test_names_are_stripped_and_hold_no_control_characters(audio):
    lines = [
        _line("good0.wav", " gold ", lang=" en\t", id=" a ", speaker=" ann\n"),
        _line("good1.wav", id="  ", speaker=" "),
        _line("good2.wav", id=0),
        _line("good3.wav", id="a\tb", speaker="x\u2028y"),
        _line("good3.wav", id="a"),
        _line("good3.wav", id="half \ud800"),
    ]
    path = audio / "spaces.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    imported = _read(path)
    assert imported.rows.select("id", "speaker", "language", "split").rows() == [
        ("a", "ann", "en", "gold"), ("good1", None, "en", "gold"), ("0", None, "en", "gold"),
    ]  # fmt: skip
    assert [(problem.id, problem.what.split(",")[0]) for problem in imported.problems] == [
        (r"a\u0009b", r"the id 'a\tb' holds a control character"),
        (r"a\u0009b", r"the speaker 'x\u2028y' holds a control character"),
        ("a", "duplicate id"),
        ("half \\ud800", "a value holds half of a surrogate pair"),
    ]
    assert len(imported.quarantine) == 4


def test_rows_without_audio_are_not_duplicates_of_one_another(audio):
    line = {"audio_filepath": None, "lang": "en", "split": "gold", "text": "two"}
    imported = _read(_write(audio / "null.jsonl", [line, line]))
    assert ["duplicate" in problem.what for problem in imported.problems] == [False, False]


def test_a_manifest_that_cannot_be_read_is_an_error(tmp_path):
    with pytest.raises(IltError, match="does not exist"):
        _read(tmp_path / "no.jsonl")
    with pytest.raises(IltError, match="is a folder"):
        _read(tmp_path)
    (tmp_path / "latin.jsonl").write_bytes(b'{"text": "\xe9"}')
    with pytest.raises(IltError, match="not UTF-8"):
        _read(tmp_path / "latin.jsonl")


def test_the_audio_files_of_a_manifest_are_named_once_and_sorted(audio):
    path = _write(audio / "files.jsonl", ["{not json", *GOOD[::-1], GOOD[0]])
    assert Manifest(path).audio_files() == [audio / f"good{number}.wav" for number in range(4)]


def test_references_are_read_by_id(tmp_path):
    path = _write(tmp_path / "pool.jsonl", [{"id": "p", "text": "two"}, {"id": "q", "text": "six"}])
    assert dict(read_references(path, "drop").iter_rows()) == {"p": "two", "q": "six"}


@pytest.mark.parametrize("line", ["{not json", "[1]", '{"id": "p"}', '{"id": 1, "text": "two"}'])
def test_a_wrong_reference_is_an_error_with_its_line(tmp_path, line):
    path = _write(tmp_path / "pool.jsonl", [{"id": "p", "text": "two"}, line])
    with pytest.raises(IltError, match=r"pool\.jsonl:2"):
        read_references(path, "drop")


def _corpus(*rows):
    return pl.DataFrame(rows, schema=["split", "language"], orient="row")


def test_a_reference_that_stands_twice_is_an_error_with_both_lines(tmp_path):
    lines = [{"id": "a", "text": "one"}, {"id": "b", "text": "two"}, {"id": " a", "text": "one"}]
    with pytest.raises(IltError, match=r"twice\.jsonl:3: the id 'a' stands in line 1 already; keep one of them"):
        read_references(_write(tmp_path / "twice.jsonl", lines), "drop")


@pytest.mark.parametrize(
    ("ids", "notes", "problems"),
    [
        (["p"], 0, 0),
        (["p", "q", "g"], 1, 0),
        (["q", "g"], 0, 1),
    ],
)
def test_references_of_ids_that_are_not_in_the_pool_are_said(audio, ids, notes, problems):
    references = _write(audio / "references.jsonl", [{"id": key, "text": f"of {key}"} for key in ids])
    params = CorpusParams(
        source="manifest", manifest=str(_write(audio / "good.jsonl", GOOD)), pool_reference=str(references)
    )
    imported = read_corpus(params, 6.0, LANGUAGES)
    assert len([line for line in imported.notes if "2 of 3 ids are not in the pool and are ignored" in line]) == notes
    assert len([one for one in imported.problems if "none of its 2 ids is in the pool" in one.what]) == problems
    assert imported.references.rows() == [("p", "of p" if "p" in ids else "two six zero")]


def test_entries_of_languages_that_do_not_occur_are_named():
    with pytest.raises(
        IltError, match=r"languages\.pcn\.as: the corpus has no utterances of 'pcn'; its languages are en"
    ):
        check_named_languages(_corpus(("gold", "en")), {"en": "as", "pcn": "as"})


def test_a_corpus_with_all_splits_and_gold_in_each_language_passes():
    check_corpus(_corpus(("gold", "en"), ("pool", "en"), ("dev", "en"), ("test", "en")))


@pytest.mark.parametrize(("count", "warned"), [(9, True), (10, False)])
def test_a_dev_that_is_too_small_to_calibrate_on_is_named_before_anything_is_trained(capsys, count, warned):
    warn_of_small_dev(_corpus(("gold", "en"), *[("dev", "en")] * count))
    assert ("dev has 9 utterances: select needs 10 at least" in capsys.readouterr().out) == warned


def test_an_empty_split_is_an_error():
    with pytest.raises(IltError, match="'dev' has no utterances"):
        check_corpus(_corpus(("gold", "en"), ("pool", "en"), ("test", "en")))


def test_a_language_without_gold_is_an_error():
    with pytest.raises(IltError, match="'ko' has no gold"):
        check_corpus(_corpus(("gold", "en"), ("pool", "ko"), ("dev", "en"), ("test", "en")))


@pytest.fixture
def import_corpus(tmp_path, audio, base_folder, write_params):
    """A function that runs the stages plan and corpus on manifest lines in a folder of their own."""

    def run(lines, on_invalid, **more):
        (tmp_path / "data" / "models").mkdir(parents=True)
        (tmp_path / "data" / "models" / "demo-whisper").symlink_to(base_folder.resolve())
        manifest = _write(audio / "stage.jsonl", lines)
        changes = {"source": "manifest", "manifest": str(manifest), "on_invalid": on_invalid}
        write_params(tmp_path, {f"corpus.{name}": value for name, value in changes.items()} | more)
        for stage in ("plan", "corpus"):
            command = [sys.executable, "-m", f"ilt.stages.{stage}"]
            result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        return result, tmp_path / "data" / "corpus"

    return run


MIXED = [*GOOD, _line("good2.wav", "dev", "삼", "ko", id="k", offset=0.5), *(line for line, _, _ in BAD)]
KOREAN_GOLD = _line("good0.wav", "gold", "사", "ko", id="kg", offset=0.25, duration=0.25)


def test_the_stage_fails_with_all_problems_and_writes_nothing(import_corpus):
    result, folder = import_corpus([*MIXED, KOREAN_GOLD], "fail")
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    for _, key, what in BAD:
        assert any(f"{key or '(no id)'}: " in line and what in line for line in result.stderr.splitlines()), what
    assert not (folder / "utterances.parquet").exists()


def test_the_stage_quarantines_bad_rows_with_their_reasons(import_corpus):
    result, folder = import_corpus([*MIXED, KOREAN_GOLD], "quarantine")
    assert result.returncode == 0, result.stderr
    rows = UTTERANCE_TABLE.read(folder / "utterances.parquet")
    assert rows["id"].to_list() == ["d", "g", "k", "kg", "p", "t"]
    skipped = QUARANTINE_TABLE.read(folder / "quarantine.parquet")
    for number, (_, key, what) in enumerate(BAD, len(MIXED) - len(BAD) + 1):
        of = skipped.filter(
            pl.col("where").str.ends_with(f"/stage.jsonl:{number}"),
            pl.col("utterance").eq_missing(key or None),
            pl.col("problem").str.contains(what, literal=True),
        )
        assert len(of) == 1
    assert len(skipped) == len(BAD)
    references = POOL_REFERENCE_TABLE.read(folder / "pool_reference.parquet")
    assert references.rows() == [("p", "two six zero")]


def test_the_stage_and_validate_find_a_text_that_is_too_long_for_the_model_in_a_language_that_begins_later(
    import_corpus, tmp_path, audio
):
    soundfile.write(audio / "five.wav", _noise(12, 5.9), RATE)
    long = _line("five.wav", "gold", LONG[:150], "ko", id="long")
    result, folder = import_corpus([*GOOD, KOREAN_GOLD, long], "fail", languages={"ko": {"from": "it2"}})
    assert result.returncode == 1
    assert "stage.jsonl:6: long: text of " in result.stderr and "Traceback" not in result.stderr
    assert not (folder / "utterances.parquet").exists()
    command = [sys.executable, "-m", "ilt.cli", "validate"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 1 and "stage.jsonl:6: long: text of " in result.stdout


def test_validate_finds_corrections_that_select_would_refuse_or_ignore(import_corpus, tmp_path):
    import_corpus([*GOOD, KOREAN_GOLD], "fail")
    path = tmp_path / "data" / "corrections" / "corrections.parquet"
    path.parent.mkdir(exist_ok=True)

    def validated(*ids):
        rows = pl.DataFrame({"id": ids, "verdict": ["accepted"] * len(ids), "text": ["two"] * len(ids)})
        CORRECTIONS_TABLE.conform(rows).write_parquet(path)
        command = [sys.executable, "-m", "ilt.cli", "validate"]
        result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        return result.returncode, result.stdout

    code, output = validated("p", "z")
    assert code == 0 and "1 of 2 corrections are ignored, as of 'z'" in output
    code, output = validated("p", "p")
    assert code == 1 and "'p' has more than one row" in output


def test_the_stage_refuses_a_language_without_gold(import_corpus):
    result, folder = import_corpus(GOOD, "quarantine")
    assert result.returncode == 1
    assert "'ko' has no gold" in result.stderr
    assert not (folder / "utterances.parquet").exists()
