"""Rows of every format: ids, speakers, languages, names of columns and keys."""

import json
import re
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from transformers.models.whisper.tokenization_whisper import LANGUAGES

from ilt.corpus.formats.columns import nearly
from ilt.corpus.formats.lines import json_object
from ilt.corpus.formats.row import audio_id
from ilt.corpus.languages import OTHER_CODES, suggested_code
from ilt.errors import IltError, Problem, ProblemsError, problem_lines
from small_corpora import (
    BY_LINE,
    FORMATS,
    NAMED,
    assert_problems,
    noise,
    problems_of,
    read_sources,
    utterance,
    write_corpus,
    write_lines,
)

WHISPER = frozenset({"en", "de", "zh", "yue", "he", "no", "tl", "es", "pt", "id", "jw", "sw", "fa", "my", "ca"})


@pytest.mark.parametrize("kind", NAMED)
def test_audio_of_one_name_in_two_folders_has_two_ids(tmp_path, kind):
    rows = [utterance(name, id=None) for name in ("d1/same.wav", "d2/same.wav", "d1/deep/same.wav", "flat.wav")]
    imported = read_sources(write_corpus(kind, tmp_path, rows))
    assert imported.problems == []
    assert imported.rows["id"].to_list() == ["d1/same", "d2/same", "d1/deep/same", "flat"]


@pytest.mark.parametrize(
    ("name", "offset", "expected"),
    [
        ("a.wav", "", "a"),
        ("./d1/a.b.wav", "", "d1/a.b"),
        ("a.wav", "0.25", "a-0.25"),
        ("d1/a", "5", "d1/a-5"),
        ("/data/corpus/d1/a.wav", "", "d1/a"),
        ("/data/other/a.wav", "", "data/other/a"),
        ("../x/a.wav", "", "../x/a"),
        ("zip://d1/a.flac::https://host/train.zip", "", "d1/a"),
        ("hf://datasets/owner/name@1/train/d1/a.flac", "", "train/d1/a"),
        ("https://host/clips/a.mp3", "", "a"),
        (None, "1", ""),
    ],
)
def test_an_id_is_the_path_of_the_audio_below_the_root(name, offset, expected):
    assert audio_id(name, Path("/data/corpus"), offset) == expected


def test_a_root_of_a_source_shortens_ids_of_absolute_paths(tmp_path):
    row = utterance("d1/a.wav", id=None)
    source = write_corpus("csv", tmp_path / "audio", [row])
    listed = {**row, "name": str(tmp_path / "audio/d1/a.wav")}
    path = write_lines(tmp_path / "m.csv", ",".join(listed).replace("name", "audio"), ",".join(listed.values()))
    ids = [
        read_sources({**source, "path": str(path), **more}).rows["id"][0]
        for more in ({}, {"audio": source["path"][:-6]})
    ]
    assert ids == ["audio/d1/a", "d1/a"]


@pytest.mark.parametrize("kind", FORMATS)
def test_names_for_no_speaker_are_none(tmp_path, kind):
    unknown = ["unknown", "UNKNOWN", "nan", "None", "none", "-", "n/a", "N/A", "NULL", "<unk>"]
    rows = [
        utterance(f"{n:02d}.wav", speaker=name, split=split, id=f"u{n:02d}")
        for split, names in (("gold", unknown), ("test", ["ann", *unknown]))
        for n, name in enumerate(names, 50 * (split == "test"))
    ]
    splits = {"gold": rows[: len(unknown)], "test": rows[len(unknown) :]}
    sources = [
        write_corpus(kind, tmp_path / split, part) | {"split": split, "prefix": f"{kind}-"}
        for split, part in splits.items()
    ]
    imported = read_sources(*sources)
    assert imported.problems == []  # of two people who are unknown, none is the other
    speakers = imported.rows.filter(imported.rows["speaker"].is_not_null())["speaker"].to_list()
    assert len(speakers) == 1 and speakers[0].startswith(f"{kind}-") and speakers[0].endswith("ann")


@pytest.mark.parametrize("kind", [kind for kind in NAMED if kind != "common-voice"])
def test_ids_and_speakers_that_look_like_numbers_keep_their_text(tmp_path, kind):
    rows = [
        utterance(f"{n}.wav", id=key, speaker=key) for n, key in enumerate(["1.0", "1", "1.10", "1.1", "007", "1e3"])
    ]
    imported = read_sources(write_corpus(kind, tmp_path, rows))
    assert imported.problems == []
    assert (
        imported.rows["id"].to_list() == imported.rows["speaker"].to_list() == ["1.0", "1", "1.10", "1.1", "007", "1e3"]
    )


def test_numbers_as_ids_of_a_shard_keep_their_text(tmp_path):
    for kind, ids in (("decimal", [Decimal("1.10"), Decimal("2.25")]), ("float", [1.0, 2.5]), ("int", [1, 2])):
        noise(tmp_path / kind / "a.wav", 1)
        noise(tmp_path / kind / "b.wav", 2)
        columns = {"audio": ["a.wav", "b.wav"], "text": ["two", "six"], "id": ids, "speaker": ids}
        pq.write_table(pa.table(columns), tmp_path / kind / "s.parquet")
        source = {"format": "huggingface", "path": str(tmp_path / kind), "split": "gold", "language": "en"}
        imported = read_sources(source)
        assert imported.problems == []
        assert imported.rows["id"].to_list() == imported.rows["speaker"].to_list() == [str(key) for key in ids]


def test_numbers_as_ids_of_a_manifest_keep_their_text_and_other_values_are_problems(tmp_path):
    ids = ["1.0", "1.10", "1.1", "7", "[1]", "true", '{"a": 1}']
    for n in range(len(ids)):
        noise(tmp_path / f"{n}.wav", n)
    lines = [
        f'{{"audio_filepath": "{n}.wav", "lang": "en", "split": "gold", "text": "two", "id": {key}}}'
        for n, key in enumerate(ids)
    ]
    path = write_lines(tmp_path / "m.jsonl", *lines)
    imported = read_sources({"format": "nemo", "path": str(path)})
    assert imported.rows["id"].to_list() == ["1.0", "1.10", "1.1", "7"]
    assert_problems(imported, [(f"m.jsonl:{n}", str(n - 1), "id must be a string or a number") for n in (5, 6, 7)])


def test_a_key_that_stands_twice_is_a_problem_of_its_line(tmp_path):
    noise(tmp_path / "a.wav")
    line = '{"audio_filepath": "a.wav", "lang": "en", "split": "gold", "text": "two", "text": "six"}'
    imported = read_sources({"format": "nemo", "path": str(write_lines(tmp_path / "m.jsonl", line))})
    assert_problems(imported, [("m.jsonl:1", "", "the key 'text' stands twice in this line; keep one")])
    with pytest.raises(ValueError, match="'b' stands twice"):
        json_object('{"a": {"b": 1, "b": 1}}')


@pytest.mark.parametrize(
    ("name", "known", "near"),
    [
        ("Text", "text", True), (" TEXT ", "text", True), ("texts", "text", True), ("tex", "text", True),
        ("txt", "text", True), ("audio_filepaths", "audio_filepath", True), ("audiofilepath", "audio_filepath", True),
        ("langauge", "language", True), ("speaker ", "speaker", True), ("ID", "id", True), ("ids", "id", True),
        ("uid", "id", False), ("sentence", "text", False), ("pred_text", "text", False), ("label", "lang", False),
        ("start", "split", False), ("path", "text", False),
    ],
)  # fmt: skip
def test_names_that_are_nearly_right(name, known, near):
    assert nearly(name, known) == near


HEADERS = [
    (["audio", " text", " language ", "split"], None),
    (["audio", "text", "language", "split", "votes"], None),
    (["audio", "Text", "language", "split"], "the column 'Text' is nearly 'text'; rename it, or map it with"),
    (["audio", "texts", "language", "split"], "the column 'texts' is nearly 'text'"),
    (["audio", "text", "langauge", "split"], "'langauge' is nearly 'language'"),
    (["audio", "text", "language", "Split"], "'Split' is nearly 'split'"),
    (["Audio", "text", "language", "split"], "the column 'Audio' is nearly 'audio'; rename it, or map it with "),
    (["file", "text", "language", "split"], "has no column 'audio' for audio; it has file, text, language, split. Map"),
    (["audio", "text", "language", "split", "text"], "the column 'text' stands twice, as 'text' (2) and 'text' (5)"),
    (["audio", "text", "language", "split", "text "], "the column 'text' stands twice, as 'text' (2) and 'text' (5)"),
    (["audio", "text", "language", "split", "TEXT"], "the column 'text' stands twice, as 'text' (2) and 'TEXT' (5)"),
]  # fmt: skip
"""Headers, and what is wrong with them, if anything is."""


@pytest.mark.parametrize("kind", ["csv", "tsv", "huggingface"])
@pytest.mark.parametrize(("header", "wrong"), HEADERS)
def test_a_header_that_is_nearly_right_is_a_problem_that_names_the_column(tmp_path, kind, header, wrong):
    noise(tmp_path / "a.wav")
    values = ["a.wav", "two six", "en", "gold", "five"][: len(header)]
    source = {"format": "table", "path": f"{tmp_path}/t.{kind}"}
    if kind == "huggingface":
        source = {"format": "huggingface", "path": f"{tmp_path}/t.parquet"}
        pq.write_table(pa.Table.from_arrays([pa.array([value]) for value in values], names=header), source["path"])
    else:
        mark = {"csv": ",", "tsv": "\t"}[kind]
        write_lines(tmp_path / f"t.{kind}", mark.join(header), mark.join(values))
    if wrong:
        with pytest.raises(IltError) as error:
            read_sources(source)
        assert wrong in str(error.value)
        assert str(error.value).startswith(f"corpus.sources.0.path: {source['path']}: ")
        return
    imported = read_sources(source)
    assert imported.problems == []
    assert imported.rows.select("text", "language", "split").row(0) == ("two six", "en", "gold")


def test_all_that_is_wrong_with_a_header_is_said_at_once(tmp_path):
    path = write_lines(tmp_path / "t.csv", "audio,Text,text ,texts,ofset,Duration", "a,b,c,d,e,f")
    with pytest.raises(IltError) as error:
        read_sources({"format": "table", "path": str(path)})
    for part in ("'text' stands twice, as 'Text' (2) and 'text' (3)", "'ofset' is nearly 'offset'", "'Duration' is"):
        assert part in str(error.value)


def test_spaces_in_a_header_take_no_field_away(tmp_path):
    noise(tmp_path / "a.wav", seconds=4.0)
    path = write_lines(tmp_path / "t.csv", "audio, text, speaker , offset, duration", "a.wav, two six, ann, 1.0, 2.0")
    imported = read_sources({"format": "table", "path": str(path), "split": "gold", "language": "en"})
    assert imported.rows.select("text", "speaker", "offset", "duration").row(0) == ("two six", "ann", 1.0, 2.0)


def test_quotes_behind_a_space_are_quotes(tmp_path):
    noise(tmp_path / "a.wav")
    path = write_lines(tmp_path / "t.csv", 'audio, "text"', 'a.wav, "two, six"')
    imported = read_sources({"format": "table", "path": str(path), "split": "gold", "language": "en"})
    assert imported.rows["text"].to_list() == ["two, six"]


@pytest.mark.parametrize(
    ("name", "header", "delimiter", "read_as"),
    [
        ("t.csv", "audio;text;speaker", "';'", "commas"),
        ("t.csv", "audio;text;note, if any", "';'", "commas"),
        ("t.csv", '"audio";"text"', "';'", "commas"),
        ("t.csv", "audio\ttext", r"'\t'", "commas"),
        ("t.csv", "audio|text", "'|'", "commas"),
        ("t.tsv", "audio,text", "','", "tabs"),
        ("t.txt", "id;audio", "';'", "tabs"),
    ],
)
def test_a_header_divided_by_something_else_is_told_of_delimiter(tmp_path, name, header, delimiter, read_as):
    path = write_lines(tmp_path / name, header, header)
    with pytest.raises(IltError) as error:
        read_sources({"format": "table", "path": str(path)})
    assert f"is read as divided by {read_as}; say delimiter: {delimiter}" in str(error.value)


def test_a_table_is_read_with_the_delimiter_that_is_said(tmp_path):
    noise(tmp_path / "a.wav")
    path = write_lines(tmp_path / "t.csv", "audio;text", "a.wav;two, six")
    source = {"format": "table", "path": str(path), "split": "gold", "language": "en", "delimiter": ";"}
    assert read_sources(source).rows["text"].to_list() == ["two, six"]


def test_columns_of_common_voice_are_looked_at_too(tmp_path):
    path = write_lines(tmp_path / "train.tsv", "client_id\tpath\tSentence\tlocale", "a\tb\tc\ten")
    with pytest.raises(IltError, match="the column 'Sentence' is nearly 'sentence'"):
        read_sources({"format": "common-voice", "path": str(path), "split": "gold"})
    noise(tmp_path / "clips/a.wav")
    write_lines(path, "client_id\tpath \t sentence\tlocale\tup_votes", "ann\ta.wav\ttwo\ten\t2")
    imported = read_sources({"format": "common-voice", "path": str(path), "split": "gold"})
    assert imported.rows.select("speaker", "text", "language").row(0) == ("ann", "two", "en")


@pytest.mark.parametrize(
    ("key", "field", "near"),
    [
        ("Speaker", "speaker", True), ("speakers", "speaker", True), ("ofset", "offset", True),
        ("Duration", "duration", True), ("language", "lang", True), ("Lang", "lang", True), ("txt", "text", True),
        ("audio", "audio_filepath", True), ("pred_text", "text", False), ("wer", "text", False),
    ],
)  # fmt: skip
def test_a_key_that_is_nearly_right_is_a_problem_of_its_line(tmp_path, key, field, near):
    noise(tmp_path / "a.wav")
    values = {
        "audio_filepath": "a.wav", "lang": "en", "split": "gold", "text": "two", "speaker": "ann",
        "offset": 0.0, "duration": 1.0, "id": "a",
    }  # fmt: skip
    moved = {key if name == field and near else name: value for name, value in values.items()} | {key: values[field]}
    source = {"format": "nemo", "path": str(write_lines(tmp_path / "m.jsonl", json.dumps(moved)))}
    imported = read_sources(source)
    assert [what for _, _, what in problems_of(imported) if "nearly" in what] == (
        [f"the key {key!r} is nearly {field!r}, the one that is read; rename it"] if near else []
    )
    both = {**values, key: values[field]}  # the right one is there: the other one is somebody's own
    write_lines(tmp_path / "m.jsonl", json.dumps(both))
    assert read_sources(source).problems == []


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("EN", "en"), ("en-US", "en"), ("zh_CN", "zh"), ("eng", "en"), ("english", "en"), ("English", "en"),
        ("iw", "he"), ("nb", "no"), ("fil", "tl"), ("de-DE", "de"), ("ger", "de"), ("deu", "de"), ("jv", "jw"),
        ("pt-BR", "pt"), ("zh-Hant-TW", "zh"), ("cmn-Hans-CN", "zh"), ("zh-HK", "yue"), ("Mandarin", "zh"),
        ("spa_Latn", "es"), ("in", "id"), ("swh", "sw"), ("pes", "fa"), ("burmese", "my"), ("valencian", "ca"),
        ("en_US.UTF-8", "en"),("fr", None), ("fra", None), ("xx", None), ("klingon", None), ("", None),
    ],
)  # fmt: skip
def test_other_names_of_a_language_lead_to_its_code(name, code):
    assert suggested_code(name, WHISPER) == code


OF_ANY = """
ENG:en en.:en 'en':en <|en|>:en English_US:en English (US):en en-us-x-foo:en en_GB@euro:en eng_Latn:en Indian English:en
zh-Hant:zh zh_Hans_CN:zh zh-yue:yue zh-Hant-HK:yue cmn_Hans:zh Chinese (Simplified):zh Traditional Chinese:zh
Mandarin Chinese:zh iw:he in:id ji:yi jw:jw mo:ro scr:hr nb-NO:no nno:nn bokmål:no norsk nynorsk:nn dut:nl ger:de
tib:bo wel:cy es-419:es sr-Latn:sr uzb_Cyrl:uz fil-PH:tl Filipino:tl farsi:fa prs:fa Deutsch:de DEUTSCH:de español:es
espanol:es Español (México):es Brazilian Portuguese:pt pt_br:pt français:fr 中文:zh 粵語:yue 日本語:ja 한국어:ko
हिन्दी:hi हिंदी:hi Türkçe:tr turkce:tr oʻzbek:uz o'zbek:uz Tiếng Việt:vi қазақ тілі:kk Русский:ru УКРАЇНСЬКА:uk العربية:ar
فارسی:fa bahasa indonesia:id Haitian Creole:ht മലയാളം:ml ไทย:th en,de:- und:- auto:- none:- nan:- Old Norse:- xx:-
qqq:- und-Latn:- 12:- -:-
"""
"""Names and the codes of Whisper large-v3 that they stand for; - where none is meant."""


@pytest.mark.parametrize(("name", "code"), re.findall(r"(\S.*?):(\S+)", OF_ANY))
def test_names_of_any_kind_lead_to_the_code(name, code):
    assert suggested_code(name, frozenset(LANGUAGES)) == (None if code == "-" else code)


def test_each_code_and_english_name_of_whisper_leads_to_itself():
    known = frozenset(LANGUAGES)
    for code, name in LANGUAGES.items():
        assert suggested_code(code.upper(), known) == suggested_code(f"{code}_XX", known) == code
        assert suggested_code(name.title(), known) == code
    assert set(OTHER_CODES.values()) <= known


@pytest.mark.parametrize("kind", [kind for kind in FORMATS if kind != "mlc-slm"])
@pytest.mark.parametrize(("name", "code"), [("EN", "en"), ("en_US", "en"), ("eng", "en"), ("english", "en")])
def test_a_wrong_language_of_many_rows_is_said_once(tmp_path, kind, name, code):
    rows = [utterance(f"{n}.wav", language=name) for n in range(6)]
    source = write_corpus(kind, tmp_path, rows)
    imported = read_sources(source)
    assert len(imported.problems) == 6
    (line,) = problem_lines(imported.problems)
    assert f"the model does not know the language {name!r}, but {code!r}: write its code" in line
    assert "(6 rows have this problem; the next: " in line
    assert read_sources({**source, "language": {name: code}}).problems == []


@pytest.mark.parametrize("given", ["EN", {"English": "EN"}])
def test_a_wrong_language_of_a_parameter_is_said_once_before_anything_is_read(tmp_path, given):
    source = {"format": "kaldi", "path": str(tmp_path / "nothing"), "language": given}
    with pytest.raises(IltError, match=r"^corpus\.sources\.0\.language\S*: the model does not know .* write 'en'$"):
        read_sources(source)


def test_a_map_may_have_languages_of_which_there_are_no_rows(tmp_path):
    source = write_corpus("nemo", tmp_path, [utterance(language="English")])
    assert read_sources({**source, "language": {"English": "en", "Thai": "th"}}).problems == []


def test_the_same_problem_of_many_rows_is_one_line_of_the_error():
    many = [Problem(f"m.jsonl:{n}", f"u{n}", "it is wrong") for n in range(1, 61)]
    few = [Problem(f"m.jsonl:{n}", f"u{n}", "it is odd") for n in range(61, 64)]
    other = [Problem("n.jsonl:1", "u1", "it is wrong")]
    lines = str(ProblemsError("the corpus has problems", [*few, *many, *other])).splitlines()
    assert lines == [
        "the corpus has problems (64 found):",
        *(f"  m.jsonl:{n}: u{n}: it is odd" for n in (61, 62, 63)),
        "  m.jsonl:1: u1: it is wrong (60 rows have this problem; the next: 2, 3, 4, ...)",
        "  n.jsonl:1: u1: it is wrong",
    ]


def test_formats_by_line_are_those_that_hold_no_line_feed():
    assert set(BY_LINE) < set(FORMATS)
