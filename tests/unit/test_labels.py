"""Labels: evidence from texts, votes, decisions with reasons, people's word, calibration, the table."""

from __future__ import annotations

import unicodedata
from importlib import resources

import numpy as np
import polars as pl
import pytest
from transformers.models.whisper.tokenization_whisper import LANGUAGES

from ilt.errors import IltError
from ilt.labels.calibration import calibrate
from ilt.labels.correction import WEIGHTS, choose_weights, repair
from ilt.labels.evidence import agreement, flags_of
from ilt.labels.labelling import similarity_to_gold, with_text_evidence
from ilt.labels.loops import deloop
from ilt.labels.rules import RULES
from ilt.labels.selection import apply_corrections, decide, evidence_flags, ignored_corrections
from ilt.labels.table import CORRECTIONS_TABLE, LABEL_TABLE, PREDICTION_TABLE
from ilt.labels.units import units_of
from ilt.labels.voting import vote
from ilt.params import SelectParams

PARAMS = SelectParams(
    keep=0.5,
    max_expected_error=0.3,
    min_rows=2,
    similarity_weight=0.05,
    min_chars_per_second=1.0,
    max_chars_per_second=40.0,
    max_compression_ratio=2.4,
    max_no_speech_prob=0.6,
)


def _times(count, unit, between=" "):
    return between.join([unit] * count)


@pytest.mark.parametrize(
    ("text", "language", "left"),
    [
        ("yes no no no no no", "en", "yes no"),
        ("one a b a b a b a b a b", "en", "one a b"),
        ("no no no no no yes", "en", "no yes"),
        ("a b a b a b a b a b a c", "en", "a b a c"),
        ("ha, ha, ha, ha, Ha, ha.", "en", "ha."),
        ("the cat the cat the cat the cat the cat the", "en", "the cat"),
        ("the the the the the th", "en", "the"),
        ("No... no! NO? no, no -- yes", "en", "No -- yes"),
        (_times(5, "I am not sure what you mean by all of that and why you say it."), "en",
         "I am not sure what you mean by all of that and why you say it."),
        (_times(6, "hah\u00e1", ""), "hu", _times(6, "hah\u00e1", "")),
        (_times(10, "ha", ""), "en", "ha"),
        ("네 네네네네네", "ko", "네"),
        ("네네, 네네네네 좋아요", "ko", "네 좋아요"),
        (unicodedata.normalize("NFD", "네네네네네"), "ko", "네"),
        ("好 好好好好", "zh", "好"),
        (_times(5, "ご視聴ありがとうございました。", ""), "ja", "ご視聴ありがとうございました。"),
        (_times(5, "ครับ", ""), "th", "ครับ"),
        (_times(9, "five"), "en", "five"),
        (_times(40, "fünf"), "de", "fünf"),
        (_times(5, "one two"), "en", "one two"),
        (_times(9, "五", ""), "zh", "五"),
        (_times(30, "0", ""), "en", "0"),
    ],
)  # fmt: skip
def test_a_loop_is_left_once_wherever_it_is_and_however_it_is_written(text, language, left):
    assert deloop(text, language) == left
    assert "loop" in flags_of(text, language, True) or left == text


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("no no no no", "en"),
        ("one two three", "en"),
        ("", "en"),
        ("aaaaah", "en"),
        ("あーーーーー", "ja"),
        ("five five five five five", "en"),
        ("Five, five, five. Five five!", "en"),
        (_times(8, "zero"), "en"),
        ("5 5 5 5 5 5", "en"),
        ("11111", "en"),
        ("１１１１１", "ja"),
        ("1000000000000", "en"),
        ("null null null null null eins", "de"),
        ("पांच पांच पांच पांच पांच", "hi"),
        ("beş beş beş beş beş", "tr"),
        ("BEŞ BEŞ BEŞ BEŞ BEŞ", "tr"),
        ("일일일일일", "ko"),
        ("五五五五五", "zh"),
        ("はちいちいちいちいちいち", "ja"),
        ("ห้าห้าห้าห้าห้า", "th"),
    ],
)
def test_what_people_say_is_no_loop(text, language):
    assert deloop(text, language) is text
    assert "loop" not in flags_of(text, language, True)


def test_digits_of_a_mapped_language_are_those_of_its_alias():
    assert flags_of("five five five five five", "pcm", True, alias="en") == []
    assert flags_of("five five five five five", "pcm", True) == ["loop"]


def test_agreement_is_a_share_of_characters_and_sees_no_spaces():
    assert agreement("one two", "onetwo") == 1.0
    assert agreement("abcd", "abxd") == 0.75
    assert agreement("abcd", "") == 0.0
    assert agreement("", "") == 1.0
    assert agreement("abcd", None) is None
    assert agreement(None, "abcd") is None


@pytest.mark.parametrize(
    ("text", "language", "finished", "flags"),
    [
        ("two six zero", "en", True, []),
        ("", "en", True, ["empty"]),
        ("...", "en", True, ["empty"]),
        ("♪♪♪", "en", True, ["empty"]),
        ("two no no no no no", "en", True, ["loop"]),
        ("네네네네네네", "ko", True, ["loop"]),
        ("Thank you.", "en", True, ["invented"]),
        ("thank you two", "en", True, []),
        ("two", "bn", False, ["unfinished"]),
    ],
)
def test_flags_say_what_looks_wrong_with_a_text(text, language, finished, flags):
    assert flags_of(text, language, finished) == flags


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Thank you. Thank you.", "en"),
        ('"Thank you."', "en"),
        ("\u201cThank you!\u201d", "en"),
        ("DON\u2019T FORGET TO SUBSCRIBE", "en"),
        ("Thanks for watching, everyone!", "en"),
        ("Thanks for watching. Please subscribe to my channel.", "en"),
        ("Subtitles by Jane D.", "en"),
        ("[Music]", "en"),
        ("\u00a1Gracias!", "es"),
        ("Untertitel im Auftrag des ZDF, 2018", "de"),
        ("Untertitelung des ZDF, 2020", "de"),
        ("Copyright WDR 2021", "de"),
        ("Und jetzt. Untertitel der Amara.org-Community", "de"),
        ("Sous-titrage ST\u2019 501", "fr"),
        (unicodedata.normalize("NFD", "Sous-titres réalisés par la communauté d\u2019Amara.org"), "fr"),
        ("请不吝点赞 订阅 转发 打赏支持明镜与点点栏目", "zh"),
        ("字幕由Amara.org社區提供", "zh"),
        ("中文字幕由Amara.org社區提供", "yue"),
        ("多謝收睇！", "yue"),
        ("ご視聴ありがとうございました。", "ja"),
        ("구독과 좋아요 부탁드립니다.", "ko"),
        ("구독과좋아요 부탁드립니다", "ko"),
        ("Altyazı M.K.", "tr"),
        ("ALTYAZI M.K.", "tr"),
        ("İzlediğiniz için teşekkür ederim.", "tr"),
        ("Ondertiteld door de Amara.org gemeenschap", "nl"),
        ("Dziękuję za oglądanie.", "pl"),
        ("Undertexter från Amara.org-gemenskapen", "sv"),
        ("Teksting av Nicolai Winther", "no"),
        ("Danske tekster af Nicolai Winther", "da"),
        ("Дякую за перегляд!", "uk"),
        ("Terima kasih telah menonton!", "id"),
        ("Hãy subscribe cho kênh Ghiền Mì Gõ để không bỏ lỡ những video hấp dẫn", "vi"),
        (unicodedata.normalize("NFD", "Cảm ơn các bạn đã theo dõi."), "vi"),
        ("चैनल को सब्सक्राइब करें", "hi"),
        ("Titulky vytvořil JohnyX.", "cs"),
        ("Kiitos, että katsoitte!", "fi"),
        ("ΥΠΟΤΙΤΛΟΙ AUTHORWAVE", "el"),
        ("Vă mulțumim pentru vizionare!", "ro"),
        ("Köszönöm, hogy megnéztétek!", "hu"),
        ("תודה רבה על הצפייה", "he"),
        ("ขอบคุณที่รับชมครับ", "th"),
        ("شُكْرًا عَلَى المُشَاهَدَة", "ar"),
        ("Редактор субтитров А.Семкин Корректор А.Егорова", "ru"),
        ("Thank you for watching!", "de"),  # written in another language than it was told
        ("ご視聴ありがとうございました", "en"),
    ],
)
def test_invented_phrases_are_found_however_they_are_written(text, language):
    assert "invented" in flags_of(text, language, True)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("thank you two", "en"),
        ("Thank you for your patience.", "en"),
        ("Thank you for watching my dog.", "en"),
        ("The subtitles by my sister are good.", "en"),
        ("Vielen Dank für Ihre Hilfe.", "de"),
        ("Untertitel von Filmen sind wichtig", "de"),
        ("Er sprach über Untertitel im Auftrag des ZDF und ihre Kosten", "de"),
        ("谢谢你的帮助", "zh"),
        ("네, 감사합니다만 괜찮아요", "ko"),
        ("2018", "en"),
        ("gracias", "en"),  # people say it, and the language is another
    ],
)
def test_what_people_say_is_not_invented(text, language):
    assert "invented" not in flags_of(text, language, True)


def test_phrases_of_a_mapped_language_are_those_of_its_alias():
    assert flags_of("Thank you.", "pcm", True, alias="en") == ["invented"]
    assert flags_of("Thank you.", "pcm", True) == []
    rows = pl.DataFrame({"text": ["Thank you."], "language": ["pcm"], "duration": [1.0]})
    rows = rows.with_columns(perturbed_text="text", previous_text="text")
    assert with_text_evidence(rows, {"pcm": "en"})["flags"].to_list() == [["invented"]]


def test_phrases_are_in_files_of_whispers_languages_and_each_is_found():
    folder = resources.files("ilt.labels") / "phrases"
    codes = {path.name.removesuffix(".txt") for path in folder.iterdir()}
    assert codes <= set(LANGUAGES) and len(codes) > 70
    for code in sorted(codes):
        lines = (folder / f"{code}.txt").read_text(encoding="utf-8").splitlines()
        assert lines[0].startswith("#") and len(set(lines)) == len(lines)
        for line in lines[1:]:
            assert "invented" in flags_of(line.lstrip("= ").replace("*", "Ann"), code, True), (code, line)


def test_what_counts_in_every_language_is_long_enough_to_be_nothing_else():
    for path in (resources.files("ilt.labels") / "phrases").iterdir():
        for line in path.read_text(encoding="utf-8").splitlines():
            if not line.startswith(("#", "=")):
                assert len(units_of(line)) > 2 or len(line) > 9, line


def _vote(*cast):
    return " ".join(vote([(text.split(), weight) for text, weight in cast]))


@pytest.mark.parametrize(
    ("cast", "winner"),
    [
        ([("a b c", 1.0)], "a b c"),
        ([("a x c", 1.0), ("a b c", 1.0), ("a b c", 1.0)], "a b c"),
        ([("a c", 1.0), ("a b c", 1.0), ("a b c", 1.0)], "a b c"),
        ([("a b c", 1.0), ("a c", 1.0), ("a c", 1.0)], "a c"),
        ([("a b", 1.0), ("a b c d", 1.0), ("a b c d", 1.0)], "a b c d"),
        ([("", 1.0), ("a", 1.0), ("a", 1.0)], "a"),
        ([("a x c", 3.0), ("a b c", 1.0), ("a b c", 1.0)], "a x c"),
        ([("a b c", 1.0), ("a b c", 1.0), ("x y z", 1.0)], "a b c"),
    ],
    ids=[
        "alone",
        "substitution",
        "insertion",
        "deletion",
        "at the end",
        "from nothing",
        "weight",
        "majority",
    ],
)
def test_the_majority_wins_at_each_place(cast, winner):
    assert _vote(*cast) == winner


@pytest.mark.parametrize("other", ["a b c", "z a x c", "a c", "a x x c", "x", ""])
def test_the_first_text_wins_ties(other):
    assert _vote(("a x c", 1.0), (other, 1.0)) == "a x c"


def _rows(**columns):
    """Pool rows of one language, with defaults for the columns that a test does not give."""
    count = len(next(iter(columns.values())))
    values = {
        "id": [f"r{number:02d}" for number in range(count)],
        "language": ["en"] * count,
        "split": ["pool"] * count,
        "text": ["two six"] * count,
        "source": ["pseudo"] * count,
        "flags": [[] for _ in range(count)],
        "gold_similarity": [0.5] * count,
        "avg_logprob": [-0.5] * count,
        "expected_error": [0.1] * count,
        "selected": [False] * count,
        "reason": ["undecided"] * count,
    }
    return pl.DataFrame(values | columns, schema_overrides={"flags": pl.List(pl.String)})


def test_limits_of_the_evidence_become_flags():
    frame = _rows(id=["good", "slow", "fast", "again", "silent", "unknown"]).with_columns(
        pl.Series("flags", [[], [], [], ["loop"], [], []], pl.List(pl.String)),
        pl.Series("chars_per_second", [10.0, 0.5, 50.0, 10.0, 10.0, None]),
        pl.Series("compression_ratio", [1.0, 1.0, 1.0, 3.0, 1.0, None]),
        pl.Series("no_speech_prob", [0.1, 0.1, 0.1, 0.1, 0.9, None]),
    )
    flags = dict(evidence_flags(frame, PARAMS).select("id", "flags").iter_rows())
    assert flags == {
        "good": [],
        "slow": ["too_slow"],
        "fast": ["too_fast"],
        "again": ["loop", "repetitive"],
        "silent": ["no_speech"],
        "unknown": [],
    }


def _mixed():
    """60 pool rows of three languages, a third of them flagged, all Korean ones bad; and 5 dev rows."""
    rng = np.random.default_rng(2)
    language = ["en", "de", "ko"] * 20
    error = [0.9 if code == "ko" else float(rng.uniform(0, 0.6)) for code in language]
    pool = _rows(
        language=language,
        expected_error=error,
        gold_similarity=rng.uniform(0, 1, 60).tolist(),
        avg_logprob=rng.uniform(-2, 0, 60).tolist(),
        flags=[["loop"] if number % 5 == 0 else [] for number in range(60)],
    )
    dev = _rows(id=[f"dev{n}" for n in range(5)]).with_columns(split=pl.lit("dev"), reason=pl.lit("dropped: dev"))
    return pl.concat([pool, dev])


def _decided(frame, method="calibrated", **changes):
    params = PARAMS.model_copy(update={"method": method, "keep": 0.4, **changes})
    return decide(frame, RULES.load(method), params)


def _decide(frame, method="calibrated", **changes):
    return _decided(frame, method, **changes).filter(pl.col("split") == "pool")


@pytest.mark.parametrize("method", ["calibrated", "logprob", "all"])
def test_every_pool_row_says_whether_it_was_kept_and_why(method):
    pool = _decide(_mixed(), method)
    assert pool["selected"].null_count() == 0
    for selected, reason in pool.select("selected", "reason").iter_rows():
        assert reason.startswith("kept: " if selected else "dropped: ")


@pytest.mark.parametrize("method", ["calibrated", "logprob", "all"])
def test_rows_outside_the_pool_stay_as_they_are(method):
    frame = _mixed()
    after = _decided(frame, method)
    other = pl.col("split") != "pool"
    assert after.columns == frame.columns
    assert after.filter(other).equals(frame.filter(other))


@pytest.mark.parametrize("method", ["calibrated", "logprob"])
def test_flagged_rows_are_never_kept(method):
    flagged = _decide(_mixed(), method, keep=1.0, max_expected_error=1.0, min_rows=100).filter(
        pl.col("flags").list.len() > 0
    )
    assert not flagged["selected"].any()
    assert set(flagged["reason"]) == {"dropped: loop"}


@pytest.mark.parametrize("method", ["calibrated", "logprob"])
@pytest.mark.parametrize("keep", [0.0, 0.1, 0.25, 0.5])
def test_no_language_gets_more_than_its_budget(method, keep):
    pool = _decide(_mixed(), method, keep=keep, max_expected_error=1.0, min_rows=0)
    counts = pool.group_by("language").agg(pl.col("selected").sum())
    assert counts["selected"].to_list() == [int(np.ceil(20 * keep))] * 3


def test_no_row_above_the_limit_is_kept_beyond_the_least_number():
    chosen = _decide(_mixed(), keep=1.0, min_rows=0).filter(pl.col("selected"))
    assert len(chosen)
    assert chosen["expected_error"].max() <= 0.3


def test_each_language_keeps_its_best_rows_however_bad():
    pool = _decide(_mixed(), keep=0.0, max_expected_error=0.0, min_rows=3)
    counts = dict(pool.group_by("language").agg(pl.col("selected").sum()).iter_rows())
    assert counts == {"de": 3, "en": 3, "ko": 3}


def test_the_least_expected_error_is_kept_first():
    pool = _decide(_rows(expected_error=[0.3, 0.1, 0.2, 0.0]), keep=0.5, min_rows=0)
    assert pool["selected"].to_list() == [False, True, False, True]


def test_of_equal_rows_the_nearer_to_gold_is_kept():
    pool = _decide(_rows(gold_similarity=[0.1, 0.9, 0.2, 0.8]), keep=0.5, min_rows=0)
    assert pool["selected"].to_list() == [False, True, False, True]


def test_logprob_ranks_by_log_probability_and_ignores_the_expected_error():
    frame = _rows(avg_logprob=[-2.0, -0.1, -0.2, -3.0], expected_error=[0.0, 0.9, 0.9, 0.0])
    assert _decide(frame, "logprob", keep=0.5, min_rows=0)["selected"].to_list() == [False, True, True, False]


def test_all_keeps_everything():
    assert _decide(_mixed(), "all", keep=0.0, max_expected_error=0.0, min_rows=0)["selected"].all()


def test_the_decision_does_not_depend_on_the_order_of_rows():
    frame = _mixed()
    shuffled = _decided(frame.sample(fraction=1.0, shuffle=True, seed=1))
    assert shuffled.sort("id").equals(_decided(frame).sort("id"))


def test_corrections_of_ids_that_are_not_in_the_pool_are_said():
    frame = _rows(id=["a", "b", "d"], split=["pool", "pool", "dev"])
    corrections = pl.DataFrame({"id": ["a", "d", "z"], "verdict": ["accepted"] * 3, "text": ["two six"] * 3})
    corrections = CORRECTIONS_TABLE.conform(corrections)
    line = ignored_corrections(frame, corrections)
    assert line and "2 of 3 corrections are ignored, as of 'd': these ids are not in the pool" in line
    assert ignored_corrections(frame, corrections.head(1)) is None
    with pytest.raises(IltError, match="'a' has more than one row; keep the one that holds"):
        apply_corrections(frame, pl.concat([corrections, corrections.head(1)]))


def test_peoples_word_wins_over_any_model():
    frame = _rows(id=["accepted", "corrected", "unusable", "untouched", "dev"]).with_columns(
        split=pl.Series(["pool"] * 4 + ["dev"]), selected=pl.Series([False, False, True, True, False])
    )
    people = pl.DataFrame(
        [
            ("accepted", None, "accepted", "ann"),
            ("corrected", "two seven", "corrected", None),
            ("unusable", None, "unusable", "ann"),
            ("dev", "nine", "corrected", "ann"),
            ("elsewhere", "one", "corrected", "ann"),
        ],
        schema=["id", "text", "verdict", "reviewer"],
        orient="row",
    ).pipe(CORRECTIONS_TABLE.conform)
    after = apply_corrections(frame, people)
    rows = {row["id"]: row for row in after.iter_rows(named=True)}
    assert after["id"].to_list() == frame["id"].to_list()
    for key, text, by in (("accepted", "two six", "ann"), ("corrected", "two seven", "unknown")):
        row = rows[key]
        assert (row["text"], row["source"], row["selected"], row["expected_error"]) == (
            text,
            "human",
            True,
            0.0,
        )
        assert row["reason"] == f"kept: {key} by {by}"
    assert not rows["unusable"]["selected"]
    assert rows["unusable"]["reason"] == "dropped: unusable, says ann"
    same = pl.col("id").is_in(["untouched", "dev"])
    assert after.filter(same).equals(frame.filter(same))


def _evidence(count, seed):
    """Evidence whose true error falls with agreement and is noise otherwise."""
    rng = np.random.default_rng(seed)
    similar = rng.uniform(0, 1, count)
    frame = pl.DataFrame(
        {
            "id": [f"e{number:04d}" for number in range(count)],
            "language": ["en"] * count,
            "speaker": [f"s{number % 8}" for number in range(count)],
            "avg_logprob": rng.uniform(-2, 0, count),
            "min_logprob": rng.uniform(-5, -2, count),
            "perturbed_logprob": rng.uniform(-2, 0, count),
            "token_entropy": rng.uniform(0, 2, count),
            "agreement": similar,
            "previous_agreement": pl.Series([None] * count, dtype=pl.Float64),
            "no_speech_prob": rng.uniform(0, 0.2, count),
            "detected_language": ["en"] * count,
            "detected_probability": rng.uniform(0.5, 1, count),
            "chars_per_second": rng.uniform(5, 15, count),
            "compression_ratio": rng.uniform(0.5, 1.5, count),
            "duration": rng.uniform(1, 4, count),
        }
    )
    return frame, np.clip(1 - similar + rng.normal(0, 0.1, count), 0, 1)


def test_the_expected_error_falls_with_agreement_and_stays_a_share():
    labelled, true = _evidence(160, 1)
    rows, _ = _evidence(1, 2)
    steps = np.linspace(0, 1, 21)
    rows = pl.concat([rows] * 21).with_columns(agreement=pl.Series(steps))
    expected = calibrate(labelled, true, rows).expected
    assert (np.diff(expected) <= 1e-12).all()
    assert expected[0] > 0.7
    assert expected[-1] < 0.3
    assert ((expected >= 0) & (expected <= 1)).all()


def test_the_report_of_a_calibration_has_bins_and_rankings():
    labelled, true = _evidence(160, 1)
    report = calibrate(labelled, true, labelled).report
    assert sum(part["rows"] for part in report["bins"]) == report["rows"] == 160
    expected = [part["expected"] for part in report["bins"]]
    assert expected == sorted(expected)
    assert 0 <= report["calibration_gap"] < 0.15
    halves = report["better_half_error"]
    assert halves["calibrated"] < halves["avg_logprob"]
    assert halves["calibrated"] < report["mean_error"]


def test_calibrating_again_gives_the_same():
    labelled, true = _evidence(60, 1)
    one, other = (calibrate(labelled, true, labelled) for _ in range(2))
    assert np.array_equal(one.expected, other.expected)
    assert one.report == other.report


def test_calibration_does_with_missing_evidence_and_unknown_speakers():
    labelled, true = _evidence(30, 1)
    labelled = labelled.with_columns(
        speaker=pl.lit(None, pl.String),
        agreement=pl.lit(None, pl.Float64),
        no_speech_prob=pl.lit(None, pl.Float64),
    )
    expected = calibrate(labelled, true, labelled).expected
    assert np.isfinite(expected).all()


def test_similarity_is_to_the_nearest_gold_however_many_rows_are_compared_at_once(monkeypatch):
    generator = np.random.default_rng(3)
    pool, gold = generator.standard_normal((50, 8)), generator.standard_normal((9, 8))
    centre = gold.mean(0)
    cosines = [
        sorted(
            (float((p - centre) @ (g - centre) / np.linalg.norm(p - centre) / np.linalg.norm(g - centre))) for g in gold
        )
        for p in pool
    ]
    wanted = [np.mean(row[-3:]) for row in cosines]
    assert similarity_to_gold(pool, gold, 3) == pytest.approx(wanted)
    monkeypatch.setattr("ilt.labels.labelling.AT_ONCE", 7)
    assert similarity_to_gold(pool, gold, 3) == pytest.approx(wanted)
    assert similarity_to_gold(pool, gold, 20) == pytest.approx([np.mean(row) for row in cosines])


def test_no_rows_have_no_expected_errors():
    labelled, true = _evidence(30, 1)
    assert len(calibrate(labelled, true, labelled.head(0)).expected) == 0


def test_a_table_of_shuffled_rows_is_the_same_bytes(tmp_path):
    frame = _mixed()
    LABEL_TABLE.write(frame, tmp_path / "one.parquet")
    LABEL_TABLE.write(frame.sample(fraction=1.0, shuffle=True, seed=3), tmp_path / "two.parquet")
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()


def test_a_table_comes_back_sorted_and_with_all_its_columns(tmp_path):
    LABEL_TABLE.write(_rows(id=["b", "a"]), tmp_path / "table.parquet")
    back = LABEL_TABLE.read(tmp_path / "table.parquet")
    assert dict(back.schema) == LABEL_TABLE.schema
    assert back["id"].to_list() == ["a", "b"]
    assert back["lineage"].null_count() == 2


def test_duplicate_ids_are_refused_and_the_old_table_stays(tmp_path):
    path = tmp_path / "table.parquet"
    LABEL_TABLE.write(_rows(id=["a"]), path)
    before = path.read_bytes()
    with pytest.raises(IltError, match="duplicate ids, for example 'b'"):
        LABEL_TABLE.write(_rows(id=["b", "a", "b"]), path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["table.parquet"]


def test_a_table_of_another_schema_is_refused_on_reading(tmp_path):
    path = tmp_path / "table.parquet"
    PREDICTION_TABLE.write(PREDICTION_TABLE.empty(), path)
    with pytest.raises(IltError, match=r"label table .* column 'duration' is missing"):
        LABEL_TABLE.read(path)
    LABEL_TABLE.empty().with_columns(duration=pl.lit("long")).write_parquet(path)
    with pytest.raises(IltError, match="column 'duration' is String, expected Float64"):
        LABEL_TABLE.read(path)


def test_a_missing_table_is_an_error(tmp_path):
    with pytest.raises(IltError, match="is missing"):
        LABEL_TABLE.read(tmp_path / "no.parquet")


def test_dev_decides_how_much_the_label_before_counts():
    """The model repeats its mistake; the label before and both perturbed decodes know better, or do not."""

    def tables(right, wrong):
        rows = {"id": ["a"], "language": ["en"], "text": [wrong], "perturbed_text": [right]}
        decoded = pl.DataFrame(rows)
        return decoded, decoded.with_columns(previous_text=pl.lit(right))

    truth = pl.DataFrame({"id": ["a"], "reference": ["two six"]})
    decoded, before = tables("two six", "two two")
    weights, tried = choose_weights(decoded, before, truth, "basic")
    assert weights["label_previous"] == 1.0
    assert tried == {"0.4": 0.5, "0.0": 0.5, "1.0": 0.0, "1.5": 0.0}
    assert repair(decoded, before, weights)["text"].to_list() == ["two six"]
    assert repair(decoded, before, WEIGHTS)["text"].to_list() == ["two two"]
    weights, _ = choose_weights(*tables("two two", "two six"), truth, "basic")
    assert weights == WEIGHTS


def test_without_a_vote_only_loops_are_cut():
    decoded = pl.DataFrame({"id": ["a"], "language": ["en"], "text": ["two " * 9], "perturbed_text": ["six"]})
    before = decoded.with_columns(text=pl.lit("six"), previous_text=pl.lit("six"))
    repaired = repair(decoded, before, None)
    assert repaired.select("text", "source", "action").row(0) == (
        "two",
        "corrected",
        "label corrected (loop cut)",
    )
