"""Texts of gold rows: what is cleaned, what is dropped, what is a problem; the same in every format."""

import polars as pl
import pytest

from ilt.corpus.casing import with_case
from ilt.corpus.text import clean_text, pace_problem, text_problems
from small_corpora import BY_LINE, BY_TAB, FORMATS, read_sources, utterance, write_corpus

CLEANED = [
    ("two\nsix", "two six"),
    ("two\r\nsix", "two six"),
    ("two\tsix", "two six"),
    ("two\x00six", "two six"),
    ("two\u2028six", "two six"),
    ("two\u2029six", "two six"),
    ("two\x85six", "two six"),
    ("two\u00a0six", "two six"),
    ("two\u3000six", "two six"),
    ("two  six", "two six"),
    ("two \t \x00 six", "two six"),
    ("two\u200b six\ufeff", "two six"),
    ("s\u00adix \u202etwo\u202c", "six two"),
    ("\u2067two\u2069 \u061csix\u200e", "two six"),
    ("two\u3164 six\u115f", "two six"),
    ("two\u2062 six\u2060\u206a\ufff9", "two six"),
    ("two&nbsp;six", "two six"),
    ("two &amp; six", "two & six"),
    ("it&#39;s &quot;two&quot; &#x2019;", 'it\'s "two" ’'),
    ("two&shy;six", "twosix"),
]
"""Texts as they stand in a corpus, and as they are kept."""

KEPT = ["two six", "نمی\u200cخواهم", "ക്\u200d", "word(s)", "f(x)", "a < b and c > d", "it's a-b.", "¿dos?", "two, six",
        "2 * 3 * 4", "a*b*c", "f*ck", "100% two", "5 % of two", "AT&T", "R &B", "C++ two", "&notanentity two",
        "葛\U000e0100",
        ":-) two", "a) two b) six", "<3 two"]  # fmt: skip

ANNOTATED = [
    ("[noise] two six", "two six", ("[noise]",)),
    ("two (laughter) six", "two six", ("(laughter)",)),
    ("two <UNK> six", "two six", ("<UNK>",)),
    ("♪ two six ♪", "two six", ("♪", "♪")),
    ("two [noise], six", "two, six", ("[noise]",)),
    ("two six [laughter].", "two six.", ("[laughter]",)),
    ("[cough], two", "two", ("[cough]",)),
    ("two[breath]six", "two six", ("[breath]",)),
    ("two {laugh} ((unclear)) six", "two six", ("{laugh}", "((unclear))")),
    ("two <FIL/> <breath> six", "two six", ("<FIL/>", "<breath>")),
    ("two [a [b] c] six", "two six", ("[b]",)),
    ("（笑）two【音楽】six", "two six", ("（笑）", "【音楽】")),
    ("two *cough* six", "two six", ("*cough*",)),
    ("**door slams** two", "two", ("**door slams**",)),
    ("{um} two ++um++ six", "two six", ("{um}", "++um++")),
    ("%um two %HESITATION six", "two six", ("%um", "%HESITATION")),
    ("&-uh two &=laughs six", "two six", ("&-uh", "&=laughs")),
    ("<<cough>> two <i>six</i>", "two six", ("<<cough>>", "<i>", "</i>")),
    ("🎵 two 🎶 six ¶", "two six", ("🎵", "🎶", "¶")),
    ("two ［笑い］＜雑音＞ six", "two six", ("［笑い］", "＜雑音＞")),
    ("[laughs, then coughs] two (crosstalk)", "two", ("[laughs, then coughs]", "(crosstalk)")),
]

PROBLEMS = [
    ("<|startoftranscript|><|de|> hallo", "text holds '<|startoftranscript|>', which is a control token"),
    ("hallo <|endoftext|> welt", "text holds '<|endoftext|>'"),
    ("two <|0.00|>", "text holds '<|0.00|>'"),
    ("two <|im_end|>", "text holds '<|im_end|>'"),
    ("two\ufffd six", "text holds U+FFFD"),
    ("NULL", "text is 'NULL', with which programs write that there is none"),
    ("nan", "text is 'nan'"),
    ("NaN", "text is 'NaN'"),
    ("None", "text is 'None'"),
    ("N/A", "text is 'N/A'"),
    (" nan ", "text is 'nan'"),
    ("<NA>", "annotations and no words"),
    ("<NULL>", "annotations and no words"),
    ("Null", "text is 'Null'"),
    ("NA", "text is 'NA'"),
    ("#REF!", "text is '#REF!'"),
    ("\\N", "with which programs write that there is none"),
    ("*laughs*", "annotations and no words"),
    ("two\\nsix", "text holds \\n, a character as programs write it"),
    ("two \\u00e9", "text holds \\u00e9, a character"),
    ("&lt;|endoftext|&gt; two", "text holds '<|endoftext|>'"),
    ("[noise two", "text holds '[' without its other half"),
    ("two noise}", "text holds '}' without its other half"),
    ("\u3164", "text is missing"),
    ("[noise]", "text is '[noise]', annotations and no words"),
    ("(laughter) ♪", "text is '(laughter) ♪', annotations and no words"),
    ("word " * 60, "nobody says more than 40 a second"),
    ("?!", "empty after normalisation"),
    (" \t ", "text is missing"),
]


def holds(kind, text):
    """Return whether a format can hold a text: not a line feed in a line, nor a tab where tabs divide fields."""
    return not (("\n" in text and kind in BY_LINE) or ("\t" in text and kind in BY_TAB))


@pytest.mark.parametrize("kind", FORMATS)
def test_texts_are_cleaned_alike_in_every_format_and_counted(tmp_path, kind):
    wanted = [(text, clean) for text, clean in CLEANED if holds(kind, text)]
    rows = [utterance(f"{n:02d}.wav", text) for n, (text, _) in enumerate([*wanted, ("two six", "")])]
    imported = read_sources(write_corpus(kind, tmp_path, rows))
    assert imported.problems == []
    assert imported.rows.sort("path")["text"].to_list() == [*(clean for _, clean in wanted), "two six"]
    assert imported.notes == [f"texts cleaned of line feeds, tabs, double spaces and the like: {len(wanted)}"]


@pytest.mark.parametrize("kind", FORMATS)
def test_texts_that_cannot_be_gold_are_problems_in_every_format(tmp_path, kind):
    wanted = [(text, what) for text, what in PROBLEMS if holds(kind, text)]
    rows = [utterance(f"{n:02d}.wav", text) for n, (text, _) in enumerate(wanted)]
    imported = read_sources(write_corpus(kind, tmp_path, rows))
    assert len(imported.rows) == 0
    whats = [problem.what for problem in sorted(imported.problems, key=lambda problem: problem.id)]
    assert len(whats) == len(wanted)
    for (_, part), what in zip(wanted, whats, strict=True):
        assert part in what


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("tags", ["drop", "keep", "fail"])
def test_annotations_are_dropped_kept_or_a_problem(tmp_path, kind, tags):
    rows = [utterance(f"{n:02d}.wav", text) for n, (text, _, _) in enumerate(ANNOTATED)]
    imported = read_sources(write_corpus(kind, tmp_path, rows), tags=tags)
    if tags == "fail":
        assert [problem.what for problem in sorted(imported.problems, key=lambda problem: problem.id)] == [
            f"text holds the annotation {names[0]!r}, which nobody says; take it out, or say corpus.tags: drop"
            for _, _, names in ANNOTATED
        ]
        return
    assert imported.problems == []
    expected = [text if tags == "keep" else clean for text, clean, _ in ANNOTATED]
    assert imported.rows.sort("path")["text"].to_list() == expected
    verb = {"drop": "dropped from", "keep": "kept in"}[tags]
    assert imported.notes == [
        f"annotations {verb} {len(ANNOTATED)} texts (corpus.tags: {tags}), as [noise], ♪, (laughter)"
    ]


@pytest.mark.parametrize("text", KEPT)
def test_what_is_spelling_stays(text):
    clean = clean_text(text, "drop")
    assert (clean.text, clean.cleaned, clean.annotations) == (text, False, ())


@pytest.mark.parametrize(("text", "clean", "annotations"), ANNOTATED)
def test_annotations_are_named(text, clean, annotations):
    assert clean_text(text, "drop").text == clean
    assert clean_text(text, "drop").annotations == annotations
    assert clean_text(text, "keep").text == text


@pytest.mark.parametrize("language", ["de", "no", "et"])
def test_null_is_a_word_where_it_means_zero(language):
    assert text_problems(clean_text("null", "drop"), language, "drop") == []
    assert len(text_problems(clean_text("null", "drop"), "en", "drop")) == 1
    assert len(text_problems(clean_text("NULL", "drop"), language, "drop")) == 1
    assert text_problems(clean_text("null.", "drop"), "en", "drop") == []


@pytest.mark.parametrize(
    ("count", "seconds", "good"), [(180, 4.5, True), (181, 4.5, False), (20, 0.1, True), (21, 0.1, False)]
)
def test_the_pace_of_a_text_has_a_limit_but_short_utterances_some_room(count, seconds, good):
    assert (pace_problem("x" * count, seconds) is None) == good


@pytest.mark.parametrize(
    ("text", "seconds", "good"),
    [("中" * 90, 4.5, True), ("中" * 91, 4.5, False), ("한" * 91, 4.5, False), ("ひ" * 91, 4.5, False),
     ("ไ" * 180, 4.5, True),
     ("word " * 300, 4.5, False)],
)  # fmt: skip
def test_signs_that_write_a_syllable_count_twice(text, seconds, good):
    problem = pace_problem(text, seconds)
    assert (problem is None) == good
    assert good or f"more than {40 if 'word' in text else 20} a second" in problem


def test_without_cleaning_tags_a_bracket_alone_is_what_it_is():
    assert text_problems(clean_text("[noise two", "keep"), "en", "keep") == []


@pytest.mark.parametrize("tags", ["drop", "keep", "fail"])
@pytest.mark.parametrize("text", ["[noise]", "*laughs*", "♪ ♪", "(um) {uh}", "&=laughs"])
def test_annotations_alone_are_a_problem_in_any_case(text, tags):
    (problem,) = text_problems(clean_text(text, tags), "en", tags)
    assert "annotations and no words" in problem


def test_cleaning_again_changes_nothing():
    for text in [*(text for text, _ in CLEANED), *(text for text, *_ in ANNOTATED), *KEPT]:
        once = clean_text(text, "drop").text
        assert clean_text(once, "drop").text == once, text


def test_the_pool_and_dev_are_treated_alike_but_the_pool_has_no_problems_with_texts(tmp_path):
    texts = ["two  six [noise]", "nan", "<|de|> two"]
    rows = [utterance(f"{n}.wav", text, split="pool") for n, text in enumerate(texts)]
    imported = read_sources(write_corpus("nemo", tmp_path / "pool", rows))
    assert imported.problems == []
    assert dict(imported.references.iter_rows())["0"] == "two six"
    rows = [{**row, "split": "dev"} for row in rows]
    imported = read_sources(write_corpus("nemo", tmp_path / "dev", rows))
    assert [problem.id for problem in imported.problems] == ["1", "2"]
    assert imported.rows["text"].to_list() == ["two six"]


UPPER = {"a": "SEVEN TWO", "b": "I AM McKAY IN ISLINGTON"}


@pytest.mark.parametrize(
    ("case", "gold", "dev"),
    [
        ("auto", ["seven two", "i am mckay in islington"], "Seven Two"),
        ("as_is", list(UPPER.values()), "Seven Two"),
        ("lower", ["seven two", "i am mckay in islington"], "seven two"),
    ],
)
def test_texts_in_upper_case_throughout_are_put_in_lower_case(tmp_path, case, gold, dev):
    rows = [utterance(f"{name}.wav", text) for name, text in UPPER.items()]
    rows += [utterance("c.wav", "Seven Two", split="dev", speaker="bo"), utterance("p.wav", "TWO SIX", split="pool")]
    imported = read_sources(write_corpus("nemo", tmp_path, rows), case=case)
    assert imported.problems == []
    texts = dict(imported.rows.select("id", "text").iter_rows())
    assert [texts["a"], texts["b"], texts["c"]] == [*gold, dev]
    assert imported.references.rows() == [("p", "TWO SIX" if case == "as_is" else "two six")]
    noted = [line for line in imported.notes if "en gold, en pool" in line]
    assert len(noted) == (case == "auto")


def test_upper_case_becomes_lower_case_as_its_language_has_it():
    frame = pl.DataFrame({"text": ["ILIK İYİ", "STRASSE", "三二", None], "language": ["tr", "de", "zh", "de"]})
    cased, groups = with_case(frame, "auto", ("language",))
    assert cased["text"].to_list() == ["ılık iyi", "strasse", "三二", None]
    assert groups == ["de", "tr"]
