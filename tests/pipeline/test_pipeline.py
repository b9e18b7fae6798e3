"""The whole pipeline as a user runs it: real DVC in a repository of its own, a tiny corpus, few steps."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import polars as pl
import pytest
import yaml

import ilt
from ilt.labels.table import CORRECTIONS_TABLE, LABEL_TABLE, PREDICTION_TABLE
from project import edit_params, environment, locked_hashes, new_repository, run, stages_run

STAGES = ("intake", "focus", "label", "select", "feedback", "correct", "fix", "predict", "evaluate")
OVERRIDE = ("iterations.it2.fix.lora.r", 4)


@pytest.fixture(scope="module")
def finished(base_folder, tmp_path_factory):  # noqa: ARG001 - skips where there is no base
    """A repository in which `dvc repro` has run two iterations. Tests copy it before they change it."""
    folder = new_repository(tmp_path_factory.mktemp("pipeline") / "repository")
    output = run(folder, "dvc", "repro")
    iterated = {f"{stage}@{iteration}" for stage in STAGES for iteration in ("it1", "it2")}
    assert stages_run(output) == {"corpus", "baseline", "evaluate_base", "report", *iterated}
    run(folder, "git", "add", "-A")
    run(folder, "git", "commit", "-qm", "two iterations")
    return folder


@pytest.fixture
def copied(finished, tmp_path):
    return Path(shutil.copytree(finished, tmp_path / "copied", symlinks=True))


def test_every_table_has_its_schema_and_a_reason_on_every_row(finished):
    for iteration in ("it1", "it2"):
        for name in ("pseudo", "selected", "corrected"):
            table = LABEL_TABLE.read(finished / f"data/iterations/{iteration}/labels/{name}.parquet")
            assert table["id"].is_sorted()
            assert set(table["iteration"]) == {iteration}
            assert table["reason"].null_count() == 0
            if name != "pseudo":
                assert table["reason"].str.contains("^(kept|dropped): ").all()
        PREDICTION_TABLE.read(finished / f"data/iterations/{iteration}/predictions.parquet")


def test_the_pool_keeps_all_rows_and_dev_is_never_trained_on(finished):
    utterances = pl.read_parquet(finished / "data/corpus/utterances.parquet")
    pool = set(utterances.filter(pl.col("split") == "pool")["id"])
    fixed = pl.read_parquet(finished / "data/iterations/it2/labels/corrected.parquet")
    assert set(fixed.filter(pl.col("split") == "pool")["id"]) == pool
    assert not fixed.filter(pl.col("split") == "dev")["selected"].any()
    assert utterances.filter(pl.col("split") == "pool")["text"].null_count() == len(pool)


def test_summary_has_the_documented_form(finished):
    summary = json.loads((finished / "data/metrics/summary.json").read_text(encoding="utf-8"))
    assert list(summary) == ["base", "it1", "it2"]
    for entry in summary.values():
        for split in ("test", "dev", "retention"):
            assert {"micro", "macro", "by_language"} <= set(entry[split])
            assert set(entry[split]["by_language"]) == {"de", "ko"}
        assert {"pool_error", "selected_error", "selected_share", "corrected_error"} <= set(entry["labels"])
        assert entry["gain"]["low"] <= entry["gain"]["micro"] <= entry["gain"]["high"]
    assert summary["base"]["gain"]["micro"] == 0


def test_the_summary_table_shows_every_iteration(finished):
    shown = run(finished, "ilt", "summary", "--languages")
    first, rest = shown.split("Test error in % by language")
    on_test, on_retention = rest.split("Retention error in % by language")
    for table, columns in (
        (first, {"test", "retention"}),
        (on_test, {"de", "ko"}),
        (on_retention, {"de", "ko"}),
    ):
        assert columns <= set(next(line for line in table.splitlines() if line.startswith("┃ iteration")).split())
        assert all(f"│ {name} " in table for name in ("base", "it1", "it2"))
    minutes = r"[\d.]+ (?:seconds|minutes)"
    assert re.search(rf"computing: it1 {minutes}, it2 {minutes}; together {minutes}", first)


def test_the_summary_tells_of_what_has_run_so_far(finished, copied):
    """While `dvc repro` runs: what is left of an earlier run, with other parameters, does not count."""
    before = run(finished, "ilt", "summary")
    (copied / "data/metrics/summary.json").unlink()
    assert run(copied, "ilt", "summary") == before
    edit_params(copied, lambda values: values["iterations"]["it2"]["fix"].update(steps=3))
    run(copied, "dvc", "repro", "--single-item", "plan")
    shown = run(copied, "ilt", "summary")
    assert "not run yet with these parameters: it2" in shown
    assert "│ it2 " not in shown
    assert re.search(r"computing: it1 [\d.]+ (seconds|minutes); together", shown)
    assert "one more iteration: " in shown
    assert "it1 over the base, on test" in shown


def test_the_report_is_in_the_cache_and_not_in_git(finished):
    lock = yaml.safe_load((finished / "dvc.lock").read_text(encoding="utf-8"))
    outs = {out["path"]: out["md5"] for out in lock["stages"]["report"]["outs"]}
    assert outs["data/report"].endswith(".dir")
    assert run(finished, "git", "ls-files", "data/report") == ""
    page = (finished / "data/report/index.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 7 + 2 + 2 * 2
    assert page.count("<audio") == page.count("<article>") > 0


def test_each_stage_tells_its_error_on_dev_and_on_gold_over_its_steps(finished):
    for iteration in ("it1", "it2"):
        for stage in ("focus", "feedback", "fix"):
            history = json.loads((finished / f"data/iterations/{iteration}/details/{stage}.json").read_text())[
                "history"
            ]
            assert [entry["step"] for entry in history] == [0, 2, 4, 6]
            log = pl.read_csv(finished / f".ilt/log/{iteration}/{stage}.csv").filter(pl.col("dev_error").is_not_null())
            columns = ("step", "dev_error", "train_error")
            assert log.select(columns).rows() == [tuple(entry[name] for name in columns) for entry in history]
    assert run(finished, "git", "status", "--porcelain", ".ilt") == ""


def test_dvc_shows_few_metrics_and_draws_every_plot(copied):
    metrics = json.loads(run(copied, "dvc", "metrics", "show", "--json"))[""]["data"]
    assert set(metrics) == {"data/metrics/metrics.json"}
    run(copied, "dvc", "plots", "show", "--out", "plots")
    page = (copied / "plots" / "index.html").read_text(encoding="utf-8")
    for title in (
        "Error over iterations",
        "True error of the labels",
        "Rows of the pool after each step",
        "Expected against true error on dev",
        "Change of the labels since",
    ):
        assert title in page
    funnel = pl.read_csv(copied / "data/metrics/funnel.csv")
    for name in ("it1", "it2"):
        rows = dict(funnel.filter(iteration=name).select("step", "rows").iter_rows())
        assert rows[f"{name} transcribed"] == 24 >= rows[f"{name} without flags"] >= rows[f"{name} selected"] > 0
    assert pl.read_csv(copied / "data/metrics/churn.csv")["iteration"].to_list() == ["it1", "it2"]


def test_diff_and_explain_read_what_the_pipeline_wrote(finished):
    assert "no difference" in run(finished, "ilt", "diff", "it2", "--rev", "HEAD")
    assert "no difference" in run(
        finished, "ilt", "diff", "it1", "it2", "--fail-over", "missing>0", "--only", "missing"
    )
    key = LABEL_TABLE.read(finished / "data/iterations/it2/labels/corrected.parquet").filter(split="pool")["id"][0]
    shown = run(finished, "ilt", "explain", key)
    steps = [
        "\nbase ",
        *(f"{it} {stage}" for it in ("it1", "it2") for stage in ("label", "select", "correct")),
    ]
    assert [shown.index(step) for step in steps] == sorted(shown.index(step) for step in steps)
    assert "data/models/demo-whisper + it1.focus + it1.feedback" in shown


def test_each_stage_builds_on_the_one_before(finished):
    def adapters(name, stage="fix"):
        return [path for path, _, _ in _links(finished, name, stage)]

    first = [f"data/iterations/it1/adapters/{stage}" for stage in ("focus", "feedback", "fix")]
    assert adapters("base") == []
    assert adapters("it1") == first
    assert adapters("it2", "focus") == [*first, "data/iterations/it2/adapters/focus"]


def test_a_second_repro_does_nothing(finished):
    before = locked_hashes(finished)
    started = time.monotonic()
    assert stages_run(run(finished, "dvc", "repro")) == set()
    assert time.monotonic() - started < 30
    assert locked_hashes(finished) == before


def _files(root, path):
    """The content of a file, or of each file of a folder, by name."""
    found = [root / path] if (root / path).is_file() else sorted((root / path).iterdir())
    return {file.name: file.read_bytes() for file in found}


def test_a_colleague_gets_it_all_from_a_remote_and_computes_nothing(copied, tmp_path):
    run(copied, "dvc", "remote", "add", "--default", "shared", str(tmp_path / "remote"))
    run(copied, "dvc", "push")
    run(copied, "git", "add", ".dvc/config")
    run(copied, "git", "commit", "-qm", "where the data lies")
    run(tmp_path, "git", "clone", "-q", str(copied), "clone")
    clone = tmp_path / "clone"
    adapters = [f"data/iterations/{it}/adapters/{at}" for it in ("it1", "it2") for at in ("focus", "feedback", "fix")]
    names = [f"{table}.parquet" for table in ("pseudo", "selected", "corrected")]
    tables = [f"data/iterations/{it}/labels/{name}" for it in ("it1", "it2") for name in names]
    assert not any((clone / path).exists() for path in adapters + tables)
    run(clone, "dvc", "pull", "fix@it2", "correct@it2")
    assert [path for path in adapters + tables if (clone / path).exists()] == [adapters[-1], tables[-1]]
    run(clone, "dvc", "pull")
    for path in adapters + tables:
        assert _files(clone, path) == _files(copied, path) != {}
    assert stages_run(run(clone, "dvc", "repro")) == set()
    assert locked_hashes(clone) == locked_hashes(copied)
    assert "no difference" in run(clone, "ilt", "diff", "it2", "--rev", "HEAD")


def test_a_further_iteration_runs_only_its_own_stages(copied):
    output = run(copied, "dvc", "exp", "run", "-S", "+iterations.it3={prev: it2}")
    assert stages_run(output) == {"report", *(f"{stage}@it3" for stage in STAGES)}
    assert "it3" in json.loads((copied / "data/metrics/summary.json").read_text(encoding="utf-8"))


def test_an_override_runs_what_depends_on_it_and_survives_a_kill(finished, copied, tmp_path):
    key, value = OVERRIDE
    output = run(copied, "dvc", "exp", "run", "-S", f"{key}={value}")
    assert stages_run(output) == {"fix@it2", "predict@it2", "evaluate@it2", "report"}

    killed = Path(shutil.copytree(finished, tmp_path / "killed", symlinks=True))
    edit_params(killed, lambda values: values["iterations"]["it2"]["fix"]["lora"].update(r=value))
    process = subprocess.Popen(
        ["dvc", "repro"], cwd=killed, env=environment(), start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    work = killed / ".ilt" / "work"
    deadline = time.monotonic() + 120
    while not list(work.glob("it2-fix-*/checkpoint.safetensors")):
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert list(work.glob("it2-fix-*/checkpoint.safetensors")), "the run was over before it was killed"
    assert stages_run(run(killed, "dvc", "repro")) >= {"fix@it2", "predict@it2", "evaluate@it2", "report"}
    assert locked_hashes(killed) == locked_hashes(copied)
    assert not list(work.iterdir())


def test_the_same_hashes_from_empty_caches(finished, tmp_path):
    again = new_repository(tmp_path / "again")
    edit_params(again, lambda values: values["iterations"].pop("it2"))
    run(again, "dvc", "repro", "evaluate@it1")
    ours, theirs = locked_hashes(again), locked_hashes(finished)
    compared = [path for path in ours if path != "data/plan"]
    assert len(compared) > 20
    assert {path: ours[path] for path in compared} == {path: theirs[path] for path in compared}


@pytest.mark.parametrize(
    ("mode", "steps"),
    [
        pytest.param("continue", 6, marks=pytest.mark.full),
        ("single", 18),
        pytest.param("full", 18, marks=pytest.mark.full),
    ],
)
def test_the_control_arms_are_parameters(copied, mode, steps):
    def change(values):
        values["adapter"]["mode"] = mode
        del values["iterations"]["it2"]

    edit_params(copied, change)
    run(copied, "dvc", "repro", "fix@it1")
    lineage = json.loads((copied / "data/iterations/it1/lineage.json").read_text(encoding="utf-8"))
    assert len(lineage["adapters"]) == 1
    focus = json.loads((copied / "data/iterations/it1/details/focus.json").read_text(encoding="utf-8"))
    assert focus["steps"] == steps
    if mode == "full":
        assert focus["trainable_parameters"] > 3_000_000
    if mode != "continue":
        fixed = LABEL_TABLE.read(copied / "data/iterations/it1/labels/corrected.parquet").filter(split="pool")
        assert not fixed["selected"].any()
        assert fixed["reason"].str.contains(f"^dropped: adapter.mode is {mode}").all()


def test_iterations_behind_a_stop_are_skipped(copied):
    # The tiny model gains nothing in its first iteration, so that any least gain stops it.
    output = run(copied, "dvc", "exp", "run", "-S", "stop.min_gain=0.001")
    assert "stopped after it1" in output
    ours, before = (
        json.loads((copied / f"data/iterations/{name}/lineage.json").read_text()) for name in ("it2", "it1")
    )
    assert ours == before
    fixed = {it: LABEL_TABLE.read(copied / f"data/iterations/{it}/labels/corrected.parquet") for it in ("it1", "it2")}
    assert fixed["it2"].select("id", "text", "selected").equals(fixed["it1"].select("id", "text", "selected"))
    machine = fixed["it2"].filter(pl.col("split") != "gold")
    assert machine["reason"].str.contains("; skipped, stopped after it1: its gain on dev").all()
    summary = json.loads((copied / "data/metrics/summary.json").read_text(encoding="utf-8"))
    assert "stopped after it1" in summary["it2"]["skipped"]
    assert summary["it2"]["test"] == summary["it1"]["test"]
    assert summary["it2"]["gain_over_previous"]["micro"] == 0
    assert "expected_next" in summary["it1"] and "expected_next" not in summary["it2"]
    shown = run(copied, "ilt", "summary", "--languages")
    assert re.search(r"│ it2 +│.*│ +skipped │", shown) and "│ it2 (skipped)" in shown
    tables = {name: pl.read_csv(copied / f"data/metrics/{name}.csv") for name in ("history", "funnel", "churn")}
    for name, table in tables.items():
        assert table.filter("skipped")["iteration"].unique().to_list() == ["it2"], name
        assert not table.filter(pl.col("iteration") != "it2")["skipped"].any()
    calibration = pl.read_csv(copied / "data/metrics/calibration.csv")  # nothing was calibrated behind the stop
    assert calibration["iteration"].unique().to_list() == ["it1"] and not calibration["skipped"].any()
    costs = json.loads((copied / "data/metrics/costs.json").read_text(encoding="utf-8"))
    assert sum(cost["seconds"] for cost in costs["it2"].values()) < 10


@pytest.mark.full
def test_a_language_cannot_begin_behind_a_stop(copied):
    done = subprocess.run(
        ["dvc", "exp", "run", "-S", "stop.min_gain=0.001", "-S", "corpus.demo.languages=[de,ko,it]",
         "-S", "+languages.it={from: it3}", "-S", "+iterations.it3={prev: it2}"],
        cwd=copied, env=environment(), check=False, text=True, capture_output=True,
    )  # fmt: skip
    assert done.returncode != 0
    assert "languages.it.from: it3 is skipped (stopped after it1: " in done.stdout + done.stderr
    assert not (copied / "data/iterations/it3/evaluation.json").exists()


def _links(folder, name, stage="fix"):
    file = "lineage.json" if stage == "fix" else f"lineage.{stage}.json"
    lineage = json.loads((folder / f"data/iterations/{name}" / file).read_text(encoding="utf-8"))
    return [(link["path"], link.get("language"), link.get("scale")) for link in lineage["adapters"]]


@pytest.mark.full
def test_a_language_that_begins_later_runs_only_what_it_takes_part_in(copied):
    before = locked_hashes(copied)
    output = run(
        copied, "dvc", "exp", "run", "-S", "corpus.demo.languages=[de,ko,it]",
        "-S", "+languages.it={from: it3}", "-S", "+iterations.it3={prev: it2}",
    )  # fmt: skip
    intakes = {f"intake@{name}" for name in ("it1", "it2")}
    assert stages_run(output) == {"corpus", "report", *intakes, *(f"{stage}@it3" for stage in STAGES)}
    after = locked_hashes(copied)
    changed = {path for path in before if before[path] != after[path]}
    assert {path for path in changed if not path.startswith("data/metrics")} == {
        "data/plan", "data/corpus/utterances.parquet", "data/corpus/pool_reference.parquet"
    }  # fmt: skip
    summary = json.loads((copied / "data/metrics/summary.json").read_text(encoding="utf-8"))
    assert {name: sorted(entry["test"]["by_language"]) for name, entry in summary.items()} == {
        "base": ["de", "it", "ko"], "it1": ["de", "ko"], "it2": ["de", "ko"], "it3": ["de", "it", "ko"]
    }  # fmt: skip
    told = json.loads((copied / "data/iterations/it3/evaluation.json").read_text(encoding="utf-8"))
    assert told["gain"]["micro"] == pytest.approx(told["base"]["test"]["micro"] - told["test"]["micro"], abs=2e-6)
    shown = run(copied, "ilt", "summary", "--languages")
    header = next(
        line for line in shown.split("Test error in % by language")[1].splitlines() if line.startswith("┃ iteration")
    )
    assert [part.strip() for part in header.strip("┃ ").split("┃")] == ["iteration", "de", "it", "ko"]
    page = (copied / "data/report/index.html").read_text(encoding="utf-8")
    assert "Italian" in page


@pytest.mark.full
def test_each_language_can_have_adapters_of_its_own(copied):
    def change(values):
        values["adapter"]["scope"] = "per_language"
        values["adapter"]["scale"] = 0.5
        values["corpus"]["demo"]["replay"] = 4
        values["mixture"]["replay_share"] = 0.25
        del values["iterations"]["it2"]

    edit_params(copied, change)
    run(copied, "dvc", "repro")
    stages = [f"data/iterations/it1/adapters/{stage}" for stage in ("focus", "feedback", "fix")]
    expected = [(f"{path}/{code}", code, 0.5) for path in stages for code in ("de", "ko")]
    assert _links(copied, "it1") == expected
    told = json.loads((copied / "data/iterations/it1/details/feedback.json").read_text(encoding="utf-8"))
    assert told["steps"] == sum(one["steps"] for one in told["languages"].values()) == 6
    assert told["replay"] == 8
    for one in (told, *told["languages"].values()):
        assert all({"dev_error", "train_error"} <= entry.keys() for entry in one["history"])
    assert (copied / ".ilt/log/it1/feedback.ko.csv").is_file()
    key = LABEL_TABLE.read(copied / "data/iterations/it1/labels/corrected.parquet").filter(split="pool", language="ko")[
        "id"
    ][0]
    shown = run(copied, "ilt", "explain", key)
    assert "it1.focus.ko x 0.5" in shown
    assert "focus.de" not in shown
    asked = subprocess.run(
        ["ilt", "export", "it1", "--to", "adapter", "--output", "out"], cwd=copied, env=environment(),
        check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert asked.returncode == 2
    assert "--language de" in asked.stdout
    run(
        copied,
        "ilt",
        "export",
        "it1",
        "--to",
        "merged",
        "--language",
        "ko",
        "--output",
        "out",
        "--tolerance",
        "100",
    )
    record = json.loads((copied / "out/ilt_export.json").read_text(encoding="utf-8"))
    assert record["language"] == "ko"
    assert [link["path"] for link in record["lineage"]["adapters"]] == [f"{path}/ko" for path in stages]


@pytest.mark.full
def test_language_adapters_lie_over_shared_ones_which_the_next_iteration_starts_from(copied, tmp_path):
    edit_params(copied, lambda values: values["adapter"].update(scope="shared+per_language"))
    killed = Path(shutil.copytree(copied, tmp_path / "killed", symlinks=True))
    run(copied, "dvc", "repro")
    shared = [(f"data/iterations/it1/adapters/{stage}", None, None) for stage in ("focus", "feedback")]
    assert _links(copied, "it1") == [
        *shared,
        *((f"data/iterations/it1/adapters/fix/{code}", code, None) for code in ("de", "ko")),
    ]
    assert _links(copied, "it2", "focus") == [*shared, ("data/iterations/it2/adapters/focus", None, None)]
    without = Path(shutil.copytree(copied, tmp_path / "without", symlinks=True))
    edit_params(without, lambda values: values["iterations"]["it2"].update(focus={"steps": 0}))
    run(without, "dvc", "repro", "feedback@it2")
    assert _links(without, "it2", "focus") == shared

    run(killed, "dvc", "repro", "correct@it1")
    process = subprocess.Popen(
        ["dvc", "repro", "fix@it1"], cwd=killed, env=environment(), start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not list((killed / ".ilt/work").glob("it1-fix-*/ko/kept")):
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    run(killed, "dvc", "repro", "evaluate@it1")
    ours, theirs = locked_hashes(killed), locked_hashes(copied)
    for path in (
        "data/iterations/it1/adapters/fix",
        "data/iterations/it1/lineage.json",
        "data/iterations/it1/predictions.parquet",
    ):
        assert ours[path] == theirs[path]


def test_people_win_over_the_model(copied):
    pool = LABEL_TABLE.read(copied / "data/iterations/it1/labels/corrected.parquet").filter(pl.col("split") == "pool")
    row = pool["id"][0]
    people = pl.DataFrame({"id": [row], "text": ["drei vier"], "verdict": ["corrected"], "reviewer": ["ada"]})
    CORRECTIONS_TABLE.write(people, copied / "data/corrections/corrections.parquet")
    assert stages_run(run(copied, "dvc", "repro", "select@it1")) == {"select@it1"}
    table = LABEL_TABLE.read(copied / "data/iterations/it1/labels/selected.parquet").filter(pl.col("id") == row)
    assert table.select("text", "source", "selected").row(0) == ("drei vier", "human", True)
    assert "ada" in table["reason"][0]


EDITS = {
    "corpus/audio.py": {"corpus", "baseline", "focus", "label", "feedback", "correct", "fix", "predict", "report"},
    "corpus/intake.py": {
        "corpus", "baseline", "intake", "focus", "label", "select", "feedback", "correct", "fix", "predict",
    },
    "stages/fix.py": {"fix"},
    "labels/selection.py": {"select", "correct"},
    "labels/rules/calibrated.py": {"select", "correct"},
    "labels/rules/oracle.py": set(),
    "asr/qwen2_audio/recogniser.py": set(),
    "tools/export/card.py": set(),
    "errors.py": set(),
}  # fmt: skip
"""What is edited, and the stages that have to run for it."""


def outdated(folder, package):
    """The stages that `dvc status` lists after `ilt plan`, without iterations, with this package."""
    environ = environment() | {"PYTHONPATH": str(package.parent)}
    for command in (["python", "-m", "ilt.stages.plan"], ["dvc", "status"]):
        done = subprocess.run(command, cwd=folder, env=environ, check=False, text=True, capture_output=True)
        assert done.returncode == 0, done.stderr
    listed = re.findall(r"^(\S+):$", done.stdout, re.MULTILINE)
    return {name.partition("@")[0] for name in listed} - {"plan", "sources"}


def test_an_edit_of_code_outdates_the_stages_that_it_can_change(copied, tmp_path):
    source = Path(ilt.__file__).parent
    package = Path(shutil.copytree(source, tmp_path / "edited" / "ilt", ignore=shutil.ignore_patterns("__pycache__")))
    assert outdated(copied, package) == set()
    originals = {name: (package / name).read_text(encoding="utf-8") for name in EDITS}
    for name, before in originals.items():
        (package / name).write_text(before + "\n# a comment\n", encoding="utf-8")
    assert outdated(copied, package) == set()
    for name, stages in EDITS.items():
        path, before = package / name, originals[name]
        path.write_text(before + "\n_EDITED = 1\n", encoding="utf-8")
        assert outdated(copied, package) == stages, name
        path.write_text(before, encoding="utf-8")


def test_another_decoder_of_audio_reruns_what_listens(copied, tmp_path):
    """`decode_flac` at half the level: features change, and with them what every model stage makes."""
    source = Path(ilt.__file__).parent
    package = Path(shutil.copytree(source, tmp_path / "edited" / "ilt", ignore=shutil.ignore_patterns("__pycache__")))
    path = package / "corpus" / "audio.py"
    text = path.read_text(encoding="utf-8")
    assert "    return samples\n" in text
    path.write_text(text.replace("    return samples\n", "    return samples * 0.5\n"), encoding="utf-8")
    environ = environment() | {"PYTHONPATH": str(package.parent)}
    done = subprocess.run(
        ["dvc", "repro", "evaluate_base"], cwd=copied, env=environ, check=False, text=True, capture_output=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert stages_run(done.stdout) == {"corpus", "baseline", "evaluate_base"}


def test_code_that_changes_while_a_stage_runs_is_not_recorded(copied, tmp_path):
    source = Path(ilt.__file__).parent
    package = Path(shutil.copytree(source, tmp_path / "edited" / "ilt", ignore=shutil.ignore_patterns("__pycache__")))
    path = package / "stages" / "select.py"
    path.write_text(
        path.read_text(encoding="utf-8").replace(
            "def body(run: Run[SelectPlan]) -> None:\n",
            "def body(run: Run[SelectPlan]) -> None:\n"
            "    with open(__file__, 'a') as file:\n        file.write('_LATER = 1\\n')\n",
        ),
        encoding="utf-8",
    )
    environ = environment() | {"PYTHONPATH": str(package.parent)}
    done = subprocess.run(
        ["dvc", "repro", "select@it1"], cwd=copied, env=environ, check=False, text=True, capture_output=True
    )
    assert done.returncode != 0 and "the code changed while the stage ran" in done.stdout + done.stderr
