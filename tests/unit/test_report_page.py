"""The report page: its contents, its look in a browser, and that nothing in the data is taken for markup."""

from __future__ import annotations

import os
import re
import shutil
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from conftest import ROOT
from ilt import paths
from ilt.corpus.audio import RATE, audio_hash, encode_flac
from ilt.corpus.table import POOL_REFERENCE_TABLE, UTTERANCE_TABLE
from ilt.errors import IltError
from ilt.evaluation.assess import assess_labels, assess_predictions, compare
from ilt.evaluation.scoring import frame_errors
from ilt.labels.calibration import EVIDENCE
from ilt.labels.selection import calibrate_and_select
from ilt.labels.table import CORRECTIONS_TABLE, LABEL_TABLE, PREDICTION_TABLE
from ilt.params import SelectParams
from ilt.report import sound as sound_module
from ilt.report.cost import Cost
from ilt.report.draw import COLOURS
from ilt.report.errors import error_tables, gains_of_last, score_utterances
from ilt.report.gather import Settings, gather
from ilt.report.verdict import verdict_of
from ilt.stages import plan as plan_stage
from ilt.stages import report as report_stage
from ilt.stages._stage import ORDER, planned, stage_named
from project import edit_params, run

MODEL = ROOT / "data" / "models" / "demo-whisper"
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required"]

WORDS = {
    "ar": ["\u0648\u0627\u062d\u062f", "\u0627\u062b\u0646\u0627\u0646", "\u062b\u0644\u0627\u062b\u0629"],
    "en": ["one", "two", "three"],
    "ko": ["\uc77c", "\uc774", "\uc0bc"],
}
EVIL = "<script>document.title='bad'</script><img src=x onerror=\"document.title='bad'\"> {{ 7 * 7 }} | `x`"
EVIL += "\x1b[2J\x9b \u202e"
EVIL_ID = "en-test-9<b>\"'&|\u202e\u200f"
ROWS = {"gold": 4, "dev": 6, "test": 12, "retention": 4, "pool": 16}
WRONG = {
    "base": {"gold": 0.5, "dev": 0.6, "test": 0.7, "retention": 0.0},
    "it1": {"gold": 0.1, "dev": 0.2, "test": 0.2, "retention": 0.1},
    "it2": {"gold": 0.0, "dev": 0.2, "test": 0.2, "retention": 0.1},
    "it3": {"gold": 0.0, "dev": 0.2, "test": 0.2, "retention": 0.1},
}
"""Share of the words that each model gets wrong."""


def _sound(seed, seconds=0.5):
    time = np.arange(round(seconds * RATE)) / RATE
    return (0.3 * np.sin(2 * np.pi * (200 + 7 * seed) * time)).astype(np.float32)


def _utterances(languages, rows):
    utterances = []
    for language in languages:
        for split, count in rows.items():
            for number in range(count):
                samples = _sound(len(utterances))
                rng = np.random.default_rng(len(utterances))
                utterances.append({
                    "id": f"{language}-{split}-{number}", "language": language, "split": split,
                    "speaker": f"{language}-{number % 3}", "duration": len(samples) / RATE,
                    "audio": {"path": None, "bytes": encode_flac(samples)}, "audio_hash": audio_hash(samples),
                    "text": " ".join(rng.choice(WORDS[language], 5)),
                })  # fmt: skip
    evil = utterances[0] | {"id": EVIL_ID, "language": "en", "split": "test", "speaker": EVIL, "text": EVIL}
    return pl.DataFrame([*utterances, evil], schema=UTTERANCE_TABLE.schema).sort("id")


def _hypotheses(texts, share, seed):
    """Texts with this share of their words replaced, the same ones for smaller shares."""
    rng = np.random.default_rng(seed)
    return [" ".join(w if rng.random() >= share else "\u2603" for w in text.split()) for text in texts]


def _predictions(utterances, shares):
    parts = []
    for split, share in shares.items():
        rows = utterances.filter(pl.col("split") == split)
        hypotheses = pl.Series("hypothesis", _hypotheses(rows["text"], share, 3), pl.String)
        parts.append(rows.select("id", "language", "split", reference="text").with_columns(hypotheses))
    evil = pl.when(pl.col("id") == EVIL_ID).then(pl.lit("<b onclick=1>" + "x " * 20)).otherwise("hypothesis")
    return PREDICTION_TABLE.conform(pl.concat(parts).with_columns(hypothesis=evil))


def _labels(utterances, iteration, share, seed):
    """An undecided label table of pool, dev and gold, with evidence that knows a little of the errors."""
    rows = utterances.filter(pl.col("split").is_in(["pool", "dev", "gold"]), pl.col("id") != EVIL_ID)
    texts = _hypotheses(rows["text"], share, seed)
    wrong = np.array([text.count("\u2603") / 5 for text in texts])
    noise = np.random.default_rng(seed).normal(0, 0.1, len(rows))
    evidence = {name: sign * (wrong + noise) for name, sign in EVIDENCE.items() if name in LABEL_TABLE.schema}
    gold = pl.col("split") == "gold"
    frame = rows.select("id", "language", "split", "duration", truth="text").with_columns(
        pl.Series("text", texts), iteration=pl.lit(iteration), stage=pl.lit("label"),
        source=pl.when(gold).then(pl.lit("gold")).otherwise(pl.lit("pseudo")), reason=pl.lit(""),
        flags=pl.when(pl.col("id").str.ends_with("pool-3")).then(["loop"]).otherwise(
            pl.lit([], pl.List(pl.String))),
        selected=gold, gold_similarity=pl.lit(0.5), **{name: pl.Series(list(v)) for name, v in evidence.items()},
        chars_per_second=pl.lit(9.0), compression_ratio=pl.lit(1.0), no_speech_prob=pl.lit(0.0),
    )  # fmt: skip
    evil = (pl.col("id") == "en-pool-0") & (iteration == "it2")
    text = pl.when(gold).then("truth").when(evil).then(pl.lit(EVIL)).otherwise("text")
    return LABEL_TABLE.conform(frame.with_columns(text=text))


SELECT = SelectParams(
    keep=0.5, max_expected_error=0.4, min_rows=2, similarity_weight=0.0, min_chars_per_second=1.0,
    max_chars_per_second=40.0, max_compression_ratio=2.4, max_no_speech_prob=0.6,
)  # fmt: skip


def _decided(frame, utterances, path, iteration, name):
    decided, report = calibrate_and_select(frame, utterances.lazy(), SELECT, "basic")
    LABEL_TABLE.write(decided, path)
    paths.write_json(paths.details(iteration, name), report)
    return LABEL_TABLE.read(path)


def make_project(folder, write_params, *, iterations=("it1", "it2"), languages=tuple(WORDS), rows=ROWS,
                 references=True, skipped=None, retention_only=(), **changes):  # fmt: skip
    """All that the stage report reads, in `folder`, which is the working directory: real tables, no model.

    skipped: the reason why iterations from it3 on are skipped, as they are where the gain before is too small.
    retention_only: languages that have no rows but in retention.
    """
    previous = dict(zip(iterations, ("base", *iterations), strict=False))
    chain = {"iterations": {name: {"prev": before} for name, before in previous.items()}}
    write_params(folder, {**chain, "model.id": str(MODEL), "evaluate.bootstrap": 200, **changes})
    plan_stage.main()
    utterances = _utterances(languages, rows).filter(
        ~pl.col("language").is_in(retention_only) | (pl.col("split") == "retention")
    )
    hidden = utterances.with_columns(text=pl.when(pl.col("split") != "pool").then("text"))
    UTTERANCE_TABLE.write(hidden, paths.UTTERANCES)
    pool = utterances.filter(pl.col("split") == "pool").select("id", "text")
    POOL_REFERENCE_TABLE.write(pool if references else pool.clear(), paths.POOL_REFERENCE)
    CORRECTIONS_TABLE.write(CORRECTIONS_TABLE.empty(), paths.CORRECTIONS)
    LABEL_TABLE.write(_labels(utterances, "base", 0.6, 11), paths.labels("base", "corrected"))
    for seed, name in enumerate(("base", *iterations)):
        predictions = _predictions(utterances, {s: w for s, w in WRONG[name].items() if rows.get(s)})
        PREDICTION_TABLE.write(predictions, paths.predictions(name))
        PREDICTION_TABLE.write(PREDICTION_TABLE.read(paths.predictions("base")), paths.base_predictions(name))
        assessed = assess_predictions(PREDICTION_TABLE.read(paths.predictions(name)), "basic")
        if name != "base":
            tables = {}
            for table, stage, share in (("selected", "select", 0.4), ("corrected", "correct", 0.3)):
                frame = _labels(utterances, name, share - 0.1 * seed, 11 + seed)
                tables[table] = _decided(frame, utterances, paths.labels(name, table), name, stage)
            assessed["labels"] = assess_labels(
                POOL_REFERENCE_TABLE.read(paths.POOL_REFERENCE),
                {"pseudo": tables["selected"], **tables},
                "basic",
            )
            for key, before in (("gain", "base"), ("gain_over_previous", previous[name])):
                earlier = PREDICTION_TABLE.read(paths.predictions(before))
                assessed[key] = compare(earlier, PREDICTION_TABLE.read(paths.predictions(name)), "basic", 200, 1)
            for number, stage in enumerate(("focus", "feedback", "fix")):
                errors = (0.5, 0.4 - 0.1 * number, 0.45)
                history = [{"step": 10 * at, "dev_error": error, "train_error": 0.4 * error}
                           | ({"loss": 2.0 - at} if at else {})
                           for at, error in enumerate(errors)]  # fmt: skip
                paths.write_json(paths.details(name, stage), {"steps": 20, "kept_step": 10, "history": history})
                paths.write_json(paths.costs(name, stage), {"seconds": 60.0 * (number + 1)})
        if skipped and name > "it2":
            _skip(name, previous[name], assessed, skipped)
        paths.write_json(paths.evaluation(name), assessed)


def _skip(name, before, assessed, why):
    """Write what a skipped iteration leaves: the labels before with a word more, no calibration."""
    assessed |= {"skipped": why, "gain_over_previous": {"micro": 0.0, "low": 0.0, "high": 0.0}}
    reason = pl.col("reason") + f"; skipped, {why}"
    for table, stage in (("selected", "select"), ("corrected", "correct")):
        labels = LABEL_TABLE.read(paths.labels(before, "corrected"))
        LABEL_TABLE.write(labels.with_columns(reason=reason, iteration=pl.lit(name)), paths.labels(name, table))
        paths.write_json(paths.details(name, stage), {"skipped": why})
    for stage in ("focus", "feedback", "fix"):
        paths.write_json(paths.details(name, stage), {"steps": 0, "skipped": why})
        paths.write_json(paths.costs(name, stage), {"seconds": 0.1})


def build():
    """Run the stage report; the page as text."""
    report_stage.body(planned(report_stage.STAGE, None))
    return (paths.REPORT / "index.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def made(tmp_path_factory, write_params):
    folder, before = tmp_path_factory.mktemp("report"), Path.cwd()
    os.chdir(folder)
    try:
        make_project(folder, write_params, **{"report.price_per_hour": 30.0})
        build()
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def project(made, monkeypatch):
    monkeypatch.chdir(made)
    return made


def report_of_project():
    """Gather the report of the working directory without its series."""
    plan = paths.read_json(paths.plan("report"))["parameters"]
    settings = Settings(**{key: value for key, value in plan.items() if key not in ("skip", "iterations")})
    costs = paths.read_json(paths.METRICS / "costs.json")
    return gather(settings, paths.read_json(paths.SUMMARY), {}, costs)


def _page():
    return (paths.REPORT / "index.html").read_text(encoding="utf-8")


def _text(html):
    """The words of a page that a reader sees, roughly."""
    inner = re.sub(r"<style>.*?</style>|<svg.*?</svg>", " ", html, flags=re.S)
    return " ".join(re.sub(r"<[^>]+>", " ", inner).split())


@pytest.mark.usefixtures("project")
def test_the_headline_is_the_verdict():
    summary = paths.read_json(paths.SUMMARY)
    base, last = (f"{100 * summary[name]['test']['micro']:.1f}" for name in ("base", "it2"))
    headline = re.search(r"<h1[^>]*>(.*?)</h1>", _page()).group(1).replace("\u00a0", " ")
    assert headline.startswith(f"Test error fell from {base} to {last} %, by ")
    assert headline.endswith("for 12.0 minutes of computing (6.00 at the declared price).")
    text = _text(_page())
    assert "The last iteration, it2, was not clearly worth it: +0.0 [+0.0, +0.0] points for 6.0 minutes." in text
    assert "it1 is the last iteration that clearly gained." in text
    gains = error_tables(score_utterances(["base", "it1", "it2"], "basic"), 200, 1)[1]
    sizes = sorted(gains.filter(pl.col("split") == "test", pl.col("language") != "")["micro"])
    ends = re.search(r"All 3 languages clearly gained, from (\S+) \(\w+\) to (\S+) \(\w+\) points\.", text)
    assert ends.groups() == (f"{100 * sizes[0]:+.1f}", f"{100 * sizes[-1]:+.1f}")
    after = "it2, which followed, took 6.0 minutes (3.00 at the declared price) and gained +0.0 [+0.0, +0.0] points"
    assert after in text


CHANCE, GAIN, LOSS = (-0.01, 0.03), (0.006, 0.03), (-0.03, -0.006)


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize(
    ("single", "gains", "sentence"),
    [
        ((GAIN, CHANCE, CHANCE), {"it1": GAIN}, "it2 and it3, which followed, took 3.0 minutes and gained "
         "+1.8 [+0.6, +3.0] points together, which is clear."),
        ((GAIN, CHANCE, CHANCE), {"it1": CHANCE}, "points together, which may be chance."),
        ((GAIN, CHANCE, LOSS), {"it1": CHANCE}, "which may be chance. it3 made it worse."),
        ((GAIN, LOSS), {"it1": LOSS}, "it2, which followed, took 2.0 minutes and gained -1.8 [-3.0, -0.6] points, "
         "which is clearly a loss. it2 made it worse."),
        ((CHANCE, CHANCE), {"base": GAIN}, "No single iteration clearly gained, but they gained "
         "+1.8 [+0.6, +3.0] points together, which is clear."),
        ((CHANCE, CHANCE), {"base": CHANCE}, "No iteration clearly gained: look at the labels before you spend more."),
        ((GAIN, GAIN), {}, "it2 still clearly gained, so one more may pay: "),
    ],
)  # fmt: skip
def test_when_to_stop_speaks_of_single_steps_and_of_all_together(single, gains, sentence):
    def gain(bounds):
        return {"micro": round(sum(bounds) / 2, 3), "low": bounds[0], "high": bounds[1]}

    costs = [
        Cost(f"it{number}", 1.0 * number if len(single) == 2 else 1.5, {}, 0.0, None, None, gain(bounds))
        for number, bounds in enumerate(single, 1)
    ]
    known = {name: gain(bounds) for name, bounds in gains.items()}
    assert sentence in verdict_of(replace(report_of_project(), costs=costs, gains_of_last=known)).stop


@pytest.mark.usefixtures("project")
def test_intervals_agree_with_the_summary():
    summary = paths.read_json(paths.SUMMARY)
    rates, gains = error_tables(score_utterances(["base", "it1", "it2"], "basic"), 200, 1)
    together = gains.filter(split="test", language="").row(0, named=True)
    assert {key: together[key] for key in ("micro", "low", "high")} == summary["it2"]["gain"]
    since = gains_of_last(score_utterances(["base", "it1", "it2"], "basic"), 200, 1)
    assert since == {"base": summary["it2"]["gain"], "it1": summary["it2"]["gain_over_previous"]}
    for row in rates.filter(split="test").iter_rows(named=True):
        rates_of = summary[row["iteration"]]["test"]
        assert row["error"] == (rates_of["by_language"][row["language"]] if row["language"] else rates_of["micro"])
        assert row["low"] <= row["error"] <= row["high"]


@pytest.mark.usefixtures("project")
def test_the_funnel_counts_the_pool():
    corrected = LABEL_TABLE.read(paths.labels("it2", "corrected")).filter(pl.col("split") == "pool")
    selected = LABEL_TABLE.read(paths.labels("it2", "selected")).filter(pl.col("split") == "pool")
    moved = (corrected["text"] != selected["text"]).sum()
    numbers = [48, 3, selected["selected"].sum(), moved, corrected["selected"].sum()]
    row = re.search(r'<tr class="all">(.*?)</tr>', _page(), re.S).group(1)
    assert [int(cell) for cell in re.findall(r"<td>(\d+)</td>", row)] == numbers
    assert "Flags: loop 3." in _text(_page())
    outcomes = dict(re.findall(r"<title>it2 fix, ([^<]+): (\d+) rows", _page()))
    assert sum(int(rows) for rows in outcomes.values()) == 48
    floor = corrected.filter("selected")["reason"].str.contains("among the best")
    assert outcomes["used: low expected error"] == str((~floor).sum()) and outcomes["dropped: flagged"] == "3"


@pytest.mark.usefixtures("project")
def test_what_was_expected_of_labels_stands_beside_what_is_true():
    section = _page().split('<section id="labels">')[1].split("</section>")[0]
    row = re.search(r'<th scope="row">it2</th>(.*?)</tr>', section, re.S).group(1)
    cells = re.findall(r"<td>(.*?)</td>", row)
    quality = paths.read_json(paths.SUMMARY)["it2"]["labels"]
    for table, key, at in (("selected", "selected_error", 1), ("corrected", "corrected_error", 4)):
        used = LABEL_TABLE.read(paths.labels("it2", table)).filter(pl.col("split") == "pool", "selected")
        words = frame_errors(used, "text", "text", "basic")[1]
        wanted = np.average(used["expected_error"].to_numpy(), weights=words)
        assert cells[at : at + 2] == [f"{100 * quality[key]:.1f}", f"{100 * wanted:.1f}"]


@pytest.mark.usefixtures("project")
def test_worst_and_most_changed_come_first():
    worst, changed = _page().split('<section id="worst">')[1].split('<section id="changed">')
    rates = [int(wrong) / int(units) for wrong, units in re.findall(r"it2 <b>(\d+)</b></span> wrong of (\d+)", worst)]
    assert len(rates) == worst.count("<article>") <= 20 and rates == sorted(rates, reverse=True)
    final = PREDICTION_TABLE.read(paths.predictions("it2")).filter(pl.col("split") == "test")
    assert len(rates) == min(20, (final["reference"] != final["hypothesis"]).sum())
    assert "<del>" in changed and ">reference<" in changed and changed.count("<article>") == 20


@pytest.mark.usefixtures("project")
def test_what_data_says_is_shown_as_text():
    page = _page()
    assert "<script" not in page and "<img" not in page and "<b>\"'" not in page
    assert "&lt;script&gt;" in page and "onclick" not in re.sub("&lt;.*?&gt;", "", page)
    assert page.count("{{ 7 * 7 }}") >= 2
    assert not {"\x1b", "\x9b", "\u202e", "\u200f"} & set(page)
    assert r"\u001b[2J\u009b \u202e" in page and r"|\u202e\u200f" in page
    assert "http:" not in page.replace("http://www.w3.org/2000/svg", "") and "https:" not in page


def test_the_same_input_gives_the_same_bytes(project, tmp_path, monkeypatch):
    shutil.copytree(project, tmp_path / "again", ignore=shutil.ignore_patterns("report", "metrics"))
    monkeypatch.chdir(tmp_path / "again")
    build()
    for path in sorted((project / paths.REPORT).iterdir()):
        assert path.read_bytes() == (paths.REPORT / path.name).read_bytes(), path.name


@pytest.mark.usefixtures("project")
def test_charts_are_drawn_in_the_colours_of_the_page():
    pictures = re.findall(r"<svg.*?</svg>", _page(), re.S)
    assert len(pictures) == 7 + len(WORDS) + 2 * 2
    style = re.search(r"<style>(.*?)</style>", _page(), re.S).group(1)
    light, dark = style.split("@media (prefers-color-scheme: dark)")[:2]
    for name, colour in COLOURS.items():
        assert f"--{name}: {colour};" in light and f"--{name}: #" in dark.split("\n* {")[0]
    for picture in pictures:
        assert ' id="' not in picture
        element = ElementTree.fromstring(picture)
        drawn = {value for child in element.iter() for value in child.attrib.values()}
        assert drawn & {f"var(--{name})" for name in ("blue", "orange", "green")}
        assert not {value for value in drawn if re.fullmatch("#[0-9a-f]{6}", value)}


def _luminance(colour):
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_text_has_enough_contrast():
    """WCAG 2.2: 4.5 for text, 3 for what charts draw."""
    style = (Path(report_stage.__file__).parents[1] / "report/page/page.css").read_text(encoding="utf-8")
    for block in style.split(":root {")[1:3]:
        colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{3,6})", block.split("}")[0]))
        colours = {k: v if len(v) == 7 else "#" + "".join(2 * c for c in v[1:]) for k, v in colours.items()}
        pairs = [("page", name, 4.5) for name in ("ink", "quiet", "blue", "orange", "green")]
        pairs += [("soft", "ink", 4.5), ("ins", "ins-ink", 4.5), ("del", "del-ink", 4.5), ("page", "plum", 3)]
        for under, over, least in pairs:
            one, other = sorted((_luminance(colours[under]), _luminance(colours[over])))
            assert (other + 0.05) / (one + 0.05) >= least, (under, over)


def test_little_data_makes_a_page_too(tmp_path, monkeypatch, write_params):
    """One language, one iteration, no retention, no references, no price, a control arm without history."""
    monkeypatch.chdir(tmp_path)
    rows = {**ROWS, "retention": 0, "dev": 12}
    make_project(tmp_path, write_params, iterations=("it1",), languages=("en",), rows=rows, references=False,
                 **{"adapter.mode": "single"})  # fmt: skip
    for stage in ("feedback", "fix"):
        paths.write_json(paths.details("it1", stage), {"steps": 0, "skipped": "adapter.mode is single"})
    monkeypatch.setattr(sound_module, "MOST_SECONDS", 1.0)
    text = _text(build())
    assert "1 language · 1 iteration" in text and "This is a control arm: adapter.mode is single." in text
    assert "The pool has no references, so true errors are empty." in text and "price" not in text.split("-S")[0]
    assert "retention" not in text and "reference" not in text.split("changed most")[-1]
    assert "it1 still clearly gained, so one more may pay: dvc exp run -S" in text
    assert "0.5 s of audio, for which the page has no room" in text


def test_what_was_skipped_is_marked_and_not_blamed(tmp_path, monkeypatch, write_params):
    monkeypatch.chdir(tmp_path)
    why = "it2 gained +0.0 [+0.0, +0.0] points, which does not clear stop.min_gain"
    make_project(tmp_path, write_params, iterations=("it1", "it2", "it3"), languages=("en",), skipped=why,
                 rows={**ROWS, "dev": 12}, **{"report.price_per_hour": 30.0})  # fmt: skip
    page = build()
    text = _text(page)
    assert "The last iteration that ran, it2, was not clearly worth it" in text
    assert f"it3 was skipped at no cost: {why}." in text
    after = "it2, which followed, took 6.0 minutes (3.00 at the declared price) and gained +0.0 [+0.0, +0.0] points"
    assert after in text
    expected = (
        "One more is expected to gain +0.0 points for about 6.0 minutes (3.00 at the declared price). "
        "This is a rule of thumb: nothing, since the last iteration gained nothing."
    )
    assert expected in text
    parts = dict(re.findall(r'<section id="(\w+)">(.*?)</section>', page, re.S))
    for part in ("errors", "cost", "labels", "training"):
        row = re.search(r'<tr><th scope="row">it3(.*?)</tr>', parts[part], re.S).group(1)
        assert "skipped" in row, part
    assert "it2 to it3" not in text and "From it1 to it2, in the pool:" in text
    assert "Skipped, with the labels as they were: it3." in text
    assert "another reason" not in page
    summary = paths.read_json(paths.SUMMARY)
    assert summary["it3"]["skipped"] == why and "skipped" not in summary["it2"]


def test_a_language_that_was_added_later_has_no_figures_before(project, tmp_path, monkeypatch):
    shutil.copytree(project, tmp_path / "later")
    monkeypatch.chdir(tmp_path / "later")
    for name in ("base", "it1"):
        path, scores = paths.predictions(name), paths.read_json(paths.evaluation(name))
        PREDICTION_TABLE.write(PREDICTION_TABLE.read(path).filter(pl.col("language") != "ko"), path)
        for split in ("gold", "dev", "test", "retention"):
            scores[split]["by_language"]["ko"] = None
        paths.write_json(paths.evaluation(name), scores)
    page = build()
    assert "Korean was added with it2: error rates of all languages before do not include it" in _text(page)
    row = re.search(r'<tr><th scope="row">Korean (.*?)</tr>', page.split('id="languages"')[1], re.S).group(1)
    cells = re.findall(r"<td>(.*?)</td>", row)
    assert float(cells[0]) > 0 and cells[1] == "" and float(cells[2]) > 0
    rates, gains = error_tables(score_utterances(["base", "it1", "it2"], "basic"), 200, 1)
    assert rates.filter(split="test", language="ko")["iteration"].to_list() == ["base", "it2"]
    together, korean = (gains.filter(split="test", language=code).row(0, named=True) for code in ("", "ko"))
    rest = gains.filter(pl.col("split") == "test", pl.col("language") != "")
    assert together["rows"] == rest["rows"].sum() and together["low"] <= together["micro"] <= together["high"]
    assert korean["since"] == "base" and korean["low"] <= korean["micro"] <= korean["high"]


@pytest.mark.usefixtures("project")
def test_every_reason_is_counted_for_every_language():
    why = re.search(r'<table class="why">(.*?)</table>', _page(), re.S).group(1)
    reasons = re.findall(r"<th>((?:used|dropped): [^<]+)</th>", why)
    rows = {
        name: [int(count or 0) for count in re.findall(r"<td>(\d*)</td>", cells)]
        for name, cells in re.findall(r'<th scope="row">(\w+)</th>(.*?)</tr>', why, re.S)
    }
    assert set(rows) == {"all", "Arabic", "English", "Korean"}
    assert [sum(rows[name]) for name in ("Arabic", "English", "Korean")] == [16] * 3
    assert rows["all"] == [sum(column) for column in zip(*(rows[n] for n in rows if n != "all"), strict=True)]
    assert rows["all"][reasons.index("dropped: flagged")] == 3


@pytest.mark.usefixtures("project")
def test_error_on_dev_and_on_gold_is_drawn_over_the_steps_of_each_stage():
    for name in ("it1", "it2"):
        for stage in ("focus", "feedback", "fix"):
            for entry in paths.read_json(paths.details(name, stage))["history"]:
                for series, key in (("dev", "dev_error"), ("gold", "train_error")):
                    text = f"{name} {stage}, step {entry['step']}: {series} error {100 * entry[key]:.1f} %"
                    assert f"<title>{text}</title>" in _page()


def test_predictions_of_other_utterances_are_refused(project, tmp_path, monkeypatch):
    shutil.copytree(project, tmp_path / "other")
    monkeypatch.chdir(tmp_path / "other")
    path = paths.predictions("it1")
    PREDICTION_TABLE.write(PREDICTION_TABLE.read(path).filter(pl.col("id") != "en-test-0"), path)
    before = {file: file.read_bytes() for file in [*paths.REPORT.iterdir(), *paths.METRICS.iterdir()]}
    paths.write_json(paths.costs("it1", "fix"), {"seconds": 1.0})
    with pytest.raises(
        IltError, match=r"it1/predictions.parquet and .*it2/predictions.parquet have different utterances"
    ):
        build()
    assert {file: file.read_bytes() for file in before} == before


@pytest.fixture(scope="module")
def browser():
    if BROWSER is None:
        pytest.skip("no Chromium on this machine: apt install chromium")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=BROWSER, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(params=["light", "dark"])
def opened(request, browser, project):
    """The page opened from its file; it makes no request and no error."""
    context = browser.new_context(color_scheme=request.param, viewport={"width": 1280, "height": 900})
    page, requests, errors = context.new_page(), [], []
    page.on("request", lambda asked: requests.append(asked.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.goto((project / paths.REPORT / "index.html").as_uri())
    page.scheme = request.param
    yield page
    assert not errors and "bad" not in page.title()
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []
    context.close()


OVERLAPS = """svg => {
  const texts = [...svg.querySelectorAll('text')].filter(text => text.textContent.trim());
  const boxes = texts.map(text => text.getBoundingClientRect());
  const pairs = [];
  for (let one = 0; one < boxes.length; one++)
    for (let other = 0; other < one; other++) {
      const a = boxes[one], b = boxes[other];
      const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      const down = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      if (across > 1 && down > 3) pairs.push([texts[one].textContent, texts[other].textContent]);
    }
  return pairs;
}"""
"""Pairs of texts of a chart that lie on one another."""


def test_a_browser_draws_the_charts(opened):
    style = re.search(r"<style>(.*?)</style>", _page(), re.S).group(1).split(":root {")
    blue = re.search("--blue: (#[0-9a-f]{6})", style[1 if opened.scheme == "light" else 2]).group(1)
    rgb = f"rgb({', '.join(str(int(blue[at : at + 2], 16)) for at in (1, 3, 5))})"
    charts = opened.locator("svg")
    for at in range(charts.count()):
        box = charts.nth(at).bounding_box()
        assert box["width"] > 100 and box["height"] > 60
        drawn = charts.nth(at).evaluate(
            "svg => [...svg.querySelectorAll('path, line')].flatMap("
            "mark => [getComputedStyle(mark).fill, getComputedStyle(mark).stroke])"
        )
        assert rgb in drawn
        assert charts.nth(at).evaluate(OVERLAPS) == []
    assert opened.locator("svg title").first.evaluate("title => title.textContent").startswith("base, ")


def test_the_sound_plays(opened):
    lengths = opened.locator("audio").evaluate_all(
        "all => Promise.all(all.map(sound => sound.readyState ? sound.duration : new Promise("
        "done => sound.addEventListener('loadedmetadata', () => done(sound.duration)))))"
    )
    assert len(lengths) > 20 and all(0.4 < seconds < 0.6 for seconds in lengths)
    audio = opened.locator("audio").first
    audio.evaluate("sound => sound.play()")
    for _ in range(100):
        if audio.evaluate("sound => sound.ended"):
            break
        opened.wait_for_timeout(50)
    assert audio.evaluate("sound => sound.ended && Math.abs(sound.duration - 0.5) < 0.1")


def test_scripts_run_in_their_direction(opened):
    for code, way in (("ar", "rtl"), ("ko", "ltr"), ("en", "ltr")):
        texts = opened.locator(f".transcript[lang={code}]")
        assert texts.count() > 3
        assert set(texts.evaluate_all("all => all.map(one => getComputedStyle(one).direction)")) == {way}
        assert set(texts.evaluate_all("all => all.map(one => getComputedStyle(one).unicodeBidi)")) == {"isolate"}


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_cut_off(opened, width):
    opened.set_viewport_size({"width": width, "height": 844})
    opened.locator("details").evaluate_all("all => all.forEach(one => one.open = true)")
    assert opened.evaluate("document.documentElement.scrollWidth <= innerWidth")
    small = opened.locator("svg text").evaluate_all(
        "all => Math.min(...all.map(t => t.getBoundingClientRect().height))"
    )
    assert small >= 9.5  # charts are not scaled down until nobody can read them


def test_a_language_that_only_retention_has_is_shown(tmp_path, monkeypatch, write_params):
    monkeypatch.chdir(tmp_path)
    rows = {**ROWS, "dev": 12}
    make_project(tmp_path, write_params, languages=("en", "ar"), retention_only=("ar",), rows=rows)
    page = build()
    table = re.search(r"Languages without training data</h3>(.*?)</table>", page, re.S).group(1)
    rates = [paths.read_json(paths.SUMMARY)[name]["retention"]["by_language"]["ar"] for name in ("base", "it2")]
    assert "Arabic" in table and "English" not in table
    assert all(f"<td>{100 * rate:.1f}</td>" in table for rate in rates)


def test_with_adapters_for_each_language_no_step_is_marked_as_the_one_that_was_kept(
    tmp_path, monkeypatch, write_params
):
    monkeypatch.chdir(tmp_path)
    make_project(tmp_path, write_params, languages=("en",), rows={**ROWS, "dev": 12})
    focus = paths.details("it2", "focus")
    paths.write_json(focus, paths.read_json(focus) | {"languages": {"en": {"kept_step": 10}}})
    build()
    kept = report_of_project().history.filter("kept").select("iteration", "stage").rows()
    assert ("it2", "focus") not in kept and ("it2", "fix") in kept


def test_without_labels_of_the_base_nothing_is_compared_with_it(tmp_path, monkeypatch, write_params):
    """baseline.pool is false: the base's label table has rows, but no texts."""
    monkeypatch.chdir(tmp_path)
    make_project(tmp_path, write_params, iterations=("it1",), languages=("en",), rows={**ROWS, "dev": 12})
    labels = LABEL_TABLE.read(paths.labels("base", "corrected"))
    LABEL_TABLE.write(labels.with_columns(text=pl.lit(None, pl.String)), paths.labels("base", "corrected"))
    page = build()
    assert "The base did not label the pool (baseline.pool), so that nothing can be compared." in _text(page)
    assert "Change of the labels" not in page and "Precision of the selection" in page
    assert pl.read_csv(paths.METRICS / "churn.csv").select("churn", "reworded", "moved").row(0) == (None, None, None)


@pytest.fixture
def locked(project, tmp_path, monkeypatch):
    """The project as DVC leaves it: all outputs of all stages, and a dvc.lock that records them."""
    shutil.copytree(project, tmp_path / "locked")
    monkeypatch.chdir(tmp_path / "locked")
    shutil.copy(ROOT / "dvc.yaml", "dvc.yaml")
    for name in ORDER[1:]:
        stage = stage_named(name)
        for iteration, previous in (("it1", "base"), ("it2", "it1")) if stage.iterated else (("base", "base"),):
            costs = [paths.costs(iteration, name)] if stage.costed else []
            for path in [*stage.outputs(iteration, previous), *costs]:
                if not path.exists():
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_text('{"seconds": 1.0}', encoding="utf-8")
    run(Path.cwd(), "dvc", "init", "--quiet", "--no-scm")
    run(Path.cwd(), "dvc", "commit", "--quiet", "--force")
    assert set(re.findall(r"^\S+:", run(Path.cwd(), "dvc", "status"), re.M)) == {"plan:", "sources:"}
    return Path.cwd()


def test_the_summary_counts_what_ran_with_the_parameters_as_they_are(locked):
    whole = run(locked, "ilt", "summary")
    assert "it2 " in whole and "not run yet" not in whole
    edit_params(locked, lambda values: values["iterations"]["it2"].update(fix={"steps": 3}))
    run(locked, sys.executable, "-m", "ilt.stages.plan")
    partly = run(locked, "ilt", "summary")
    assert "not run yet with these parameters: it2" in partly and "\u2502 it2 " not in partly
    assert "it1 over the base, on test" in partly
    edit_params(locked, lambda values: values["iterations"]["it2"].pop("fix"))
    run(locked, sys.executable, "-m", "ilt.stages.plan")
    assert run(locked, "ilt", "summary") == whole


def test_the_summary_counts_nothing_behind_a_stage_that_ran_again(locked):
    assert "not run yet" not in run(locked, "ilt", "summary")
    paths.lineage("it1", "focus").write_text("another", encoding="utf-8")
    run(locked, "dvc", "commit", "--quiet", "--force", "focus@it1")
    assert "not run yet with these parameters: it1, it2" in run(locked, "ilt", "summary")
