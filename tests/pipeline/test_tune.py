"""`ilt tune`: the space is checked before anything runs; trials are DVC experiments; a killed search goes on.

Most of these run real searches (DVC, git, Optuna, SQLite) over a pipeline of two stages that take no time;
the last is over the project's own.
"""

import json
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import optuna
import psutil
import pytest
import yaml
from optuna.distributions import FloatDistribution
from optuna.trial import create_trial

from ilt.errors import IltError
from ilt.params import stage_section, training
from ilt.tools.experiments.overrides import override
from ilt.tools.experiments.tune.search import rival_of
from ilt.tools.experiments.tune.show import importances
from ilt.tools.experiments.tune.space import load_space
from ilt.tools.experiments.tune.study import Step, gain_over
from project import ROOT, edit_params, environment, new_repository, run

RATE = {"names": ["train.learning_rate"], "scale": True, "low": 0.5, "high": 2}
MODEL = "data/models/demo-whisper/config.json"

STAGES = {
    "evaluate": {
        "foreach": "${iterations}",
        "do": {
            "cmd": "python stage.py ${key}",
            "params": ["feedback.gold_share", "train", "iterations.${key}"],
            "outs": ["data/iterations/${key}"],
        },
    }
}

STAGE = """
import json, os, sys, time
from pathlib import Path
import polars as pl, yaml
from ilt import paths
from ilt.labels.table import PREDICTION_TABLE
from ilt.params import ITERATION_STAGES, load_params, training

iteration, params = sys.argv[1], load_params()
share, rank = params.feedback["gold_share"], training(params, iteration, "focus").lora.r
if share == 0:
    sys.exit("there is no gold to learn from")
if iteration == "it2" or "WAIT" in os.environ:
    print("stage is waiting", flush=True)
    time.sleep(float(os.environ.get("STAGE_SECONDS", 0)))
message = ["wrong" if number < 40 * share else "right" for number in range(40)]
rows = {"id": [f"u{number:02}" for number in range(40)], "language": "en", "split": "dev",
        "reference": "right", "hypothesis": message}
PREDICTION_TABLE.write(pl.DataFrame(rows), paths.predictions(iteration))
for stage in ITERATION_STAGES:
    paths.write_json(paths.costs(iteration, stage), {"seconds": rank})
paths.write_json(paths.evaluation(iteration), {"test": {"micro": share / 2}})
"""


def write_tune_file(folder, **values):
    (folder / "tune.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")


def toy_repository(folder, **tune):
    """A repository whose pipeline's error is `feedback.gold_share`, and whose cost is the rank of focus."""
    folder.mkdir(parents=True)
    for name in ("params.yaml", ".gitignore"):
        shutil.copy(ROOT / name, folder / name)
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": STAGES}), encoding="utf-8")
    (folder / "stage.py").write_text(STAGE, encoding="utf-8")
    for name in (".dvc/config", ".dvc/.gitignore", MODEL):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    edit_params(folder, lambda values: values.update(feedback={"gold_share": 0.2}))
    write_tune_file(folder, **tune)
    run(folder, "git", "init", "-q")
    run(folder, "git", "add", "-A")
    run(folder, "git", "commit", "-qm", "start")
    return folder


def refused(folder, *command):
    """Run a command that ends with an error of the user's; what it message."""
    done = subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, check=False
    )  # fmt: skip
    assert done.returncode == 2, done.stdout
    return done.stderr


def shown(folder, *options):
    return json.loads(run(folder, "ilt", "tune", "show", "--format", "json", *options))


@pytest.fixture
def space(tmp_path, write_params):
    def load(parameters, changes=None, **more):
        write_tune_file(tmp_path, parameters=parameters, **more)
        return load_space(tmp_path / "tune.yaml", write_params(tmp_path, changes or {}))

    return load


def test_the_repositorys_own_tune_file_is_valid_and_begins_with_todays_defaults():
    result = load_space(ROOT / "tune.yaml", ROOT / "params.yaml")
    assert result.overrides(result.defaults) == []
    assert "++iterations.it3.fix.steps=100" in result.fixed()


def test_a_key_of_a_stage_means_all_iterations(space):
    result = space({"rate": RATE, "select.method": {"choices": ["calibrated", "logprob"]}})
    assert result.defaults == {"rate": 1.0, "select.method": "calibrated"}
    chosen = result.overrides({"rate": 0.5, "select.method": "logprob"})
    assert chosen == ["++train.learning_rate=0.0008", "++select.method='logprob'"]  # half of the model's own rate
    result = space({"factor": {"names": ["focus.lr_factor", "select.keep"], "scale": True, "low": 0.5, "high": 2}})
    chosen = result.overrides({"factor": 0.5})
    assert "++iterations.it1.focus.lr_factor=0.5" in chosen
    assert "++iterations.it3.focus.lr_factor=0.1" in chosen
    assert "++iterations.it1.select.keep=0.2" in chosen
    assert not any("feedback" in text for text in chosen)


def test_a_key_of_train_means_all_trainings_also_those_that_say_something_else(space):
    result = space({"rank": {"names": ["train.lora.r"], "scale": True, "choices": [0.5, 1]}}, reduce={"train.steps": 7})
    assert {training(result.params, name, stage).steps for name in result.iterations for stage in ("focus", "fix")} == {
        7
    }
    chosen = result.overrides({"rank": 0.5})
    assert "++train.lora.r=16" in chosen and "++iterations.it1.focus.lora.r=8" in chosen
    assert not any("feedback" in text for text in chosen)  # it has the rank of train


def test_a_key_that_params_yaml_does_not_say_has_its_default(space):
    result = space({"select.similarity_weight": {"low": 0.0, "high": 0.2}})
    assert result.defaults == {"select.similarity_weight": 0.05}
    assert result.overrides({"select.similarity_weight": 0.1}) == ["++select.similarity_weight=0.1"]
    assert stage_section(result.params, "it1", "select", type(result.params.select)).similarity_weight == 0.05


def test_one_key_of_one_iteration_need_not_stand_in_params(space):
    result = space({"iterations.it2.feedback.gold_share": {"low": 0.1, "high": 0.5}})
    assert result.defaults == {"iterations.it2.feedback.gold_share": 0.5}
    assert result.overrides({"iterations.it2.feedback.gold_share": 0.4}) == ["++iterations.it2.feedback.gold_share=0.4"]


def test_trials_are_reduced_and_the_full_size_is_kept(space):
    reduce = {"focus.steps": 10, "corpus.demo.pool": 30}
    steps = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))["iterations"]["it1"]["focus"]["steps"]
    result = space({"steps": {"names": ["focus.steps"], "scale": True, "choices": [1, 2]}}, reduce=reduce)
    assert "++iterations.it1.focus.steps=10" in result.fixed()
    assert "++iterations.it1.focus.steps=20" in result.overrides({"steps": 2})
    assert f"++iterations.it1.focus.steps={2 * steps}" in result.overrides({"steps": 2}, full=True)


def test_a_section_that_is_reduced_is_replaced_and_not_merged(space):
    before = {"select.keep_by_language": {"ko": 0.7}}
    rank = {"focus.lora.r": {"scale": True, "low": 0.5, "high": 2}}
    result = space(rank, before, reduce={"select.keep_by_language": {}})
    assert result.fixed() == ["~select.keep_by_language", "++select.keep_by_language={}"]
    assert result.params.select.keep_by_language == {}


@pytest.mark.parametrize(
    ("name", "knob", "message"),
    [
        ("feedback.gold_shar", {"low": 0.1, "high": 0.5}, "there is no feedback.gold_shar in params.yaml"),
        ("iterations.it9.fix.steps", {"low": 1, "high": 50}, "there is no iterations.it9.fix.steps"),
        ("corpus.demo.pool", {"low": 1, "high": 500}, "cannot be searched"),
        ("iterations.it1.prev", {"choices": ["base", "it3"]}, "cannot be searched"),
        ("evaluate.normaliser", {"choices": ["basic", "none"]}, "cannot be searched"),
        ("feedback.gold_share", {"low": 0.1, "high": 0.3}, "0.5, which is today's value, is not among"),
        ("feedback.gold_share", {"low": 0.1, "high": 1.5}, "parameters.feedback.gold_share: 1.5 cannot be"),
        ("feedback.gold_share", {"low": 0, "high": 1}, "write low: 0.0"),
        (
            "feedback.gold_share",
            {"low": 0.1, "high": 0.6, "step": 0.25},
            "0.5, which is today's value, is not",
        ),
        (
            "feedback.gold_share",
            {"low": 0.1, "high": 0.5, "step": 0.3},
            "high must be low and a number of steps",
        ),
        ("feedback.gold_share", {"low": 0.1}, "expected low and high, or choices"),
        ("feedback.gold_share", {"low": 0.5, "high": 0.1}, "low must be below high"),
        ("feedback.gold_share", {"low": 0.1, "high": 0.5, "log": True, "step": 0.1}, "log and step"),
        ("feedback.gold_share", {"low": 0.1, "high": 0.5, "choices": [0.1, 0.2]}, "choices stand alone"),
        ("feedback.gold_share", {"lo": 0.1, "high": 0.5}, "parameters.feedback.gold_share.lo"),
        ("fix.steps", {"low": 4, "high": 32}, "say scale: true"),
        ("fix.lora.dropout", {"low": 0, "high": 1.0}, "parameters.fix.lora.dropout: 1.0 cannot be"),
        ("feedback.batch_size", {"low": 8.0, "high": 64.0}, "parameters.feedback.batch_size"),
        ("focus.lora.alpha", {"scale": True, "low": 0.5, "high": 2}, "only numbers can be scaled"),
        ("focus.learning_rate", {"low": 0.1, "high": 0.2}, "there is train.learning_rate alone"),
        ("focus.lora.target_modules", {"choices": ["q_proj", "v_proj"]}, "expected a single value"),
    ],
)
def test_one_error_names_the_key(space, name, knob, message):
    with pytest.raises(IltError) as error:
        space({name: knob})
    assert message in str(error.value)
    assert name in str(error.value)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"objective": {"split": "test"}}, "objective.split"),
        ({"reduce": {"corpus.demo.pol": 3}}, "reduce.corpus.demo.pol"),
        ({"reduce": {"focus.steps": -1}}, "steps"),
        (
            {"reduce": {"corpus.demo.pool": 9, "corpus.source": "manifest", "corpus.manifest": "m.jsonl"}},
            "reduce.corpus.demo.pool makes nothing smaller with corpus.source: manifest",
        ),
        ({"iterations": 9}, "params.yaml has 3"),
        ({"study": "My study"}, "study"),
    ],
)
def test_the_rest_of_the_file_is_checked_too(space, more, message):
    with pytest.raises(IltError, match=re.escape(message)):
        space({"rate": RATE}, **more)


def test_a_demo_that_is_not_there_is_not_made_smaller(space):
    manifest = {"corpus.source": "manifest", "corpus.manifest": "m.jsonl"}
    with pytest.raises(IltError, match=r"reduce\.corpus\.demo\.pool makes nothing smaller.*manifest"):
        space({"rate": RATE}, manifest, reduce={"corpus.demo.pool": 9})
    space({"rate": RATE}, manifest, reduce={"corpus.manifest": "small.jsonl"})


def test_two_knobs_on_one_key_and_a_knob_without_effect_are_errors(space):
    share = {"low": 0.1, "high": 0.5}
    with pytest.raises(IltError, match="is set by parameters"):
        space({"feedback.gold_share": share, "again": {"names": ["feedback.gold_share"], **share}})
    with pytest.raises(IltError, match="changes nothing"):
        space({"steps": {"names": ["fix.steps"], "scale": True, "choices": [1, 1.001]}})


def step(wrong, minutes=1.0, iteration="it1", count=60):
    errors = [1] * wrong + [0] * (count - wrong)
    return Step(iteration, wrong / count, minutes, errors, [1] * count)


def test_a_trial_is_pruned_where_it_is_clearly_worse_than_one_as_cheap():
    finished = {0: [step(20), step(18, 2.0, "it2")], 1: [step(6, 3.0), step(6, 6.0, "it2")]}

    def clearly_worse(one, minutes=True):
        rival = rival_of(one, finished, minutes)
        return gain_over(finished[rival][0], one, 500, 1)["high"] < 0

    assert rival_of(step(40), finished, True) == 0
    assert clearly_worse(step(40))
    assert not clearly_worse(step(23))  # within chance
    assert not clearly_worse(step(10))
    assert rival_of(step(20, 3.5), finished, True) == 1  # dearer than both: the better of them
    assert clearly_worse(step(20, 3.5))
    assert rival_of(step(40, 0.5), finished, True) is None  # cheaper than any
    assert clearly_worse(step(20, 0.5), minutes=False)  # unless cost is no objective
    assert rival_of(step(40, 1.0, "it3"), finished, True) is None


def test_overrides_say_every_kind_of_value_to_dvc(tmp_path):
    folder = toy_repository(tmp_path / "toy", parameters={"rate": RATE})
    wanted = {
        "a": None,
        "b": True,
        "c": 1e-5,
        "d": "it's, {so}",
        "e": [1, "x"],
        "f": {"g": 2.0},
        "h": 3,
        "i": "C:\\x\\",
    }
    settings = [part for key, value in wanted.items() for part in ("-S", override(f"new.{key}", value))]
    run(folder, "dvc", "exp", "run", "--queue", "--name", "message", *settings)
    queued = run(folder, "git", "rev-parse", "refs/exps/celery/stash").strip()
    there = yaml.safe_load(run(folder, "git", "show", f"{queued}:params.yaml"))["new"]
    assert {**there, "c": float(there["c"])} == wanted


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """A finished search of four trials; with this seed, one fails and one is pruned."""
    folder = toy_repository(
        tmp_path_factory.mktemp("tune") / "toy", study="toy", iterations=2, reduce={"seed": 33},
        parameters={
            "feedback.gold_share": {"choices": [0.0, 0.1, 0.2, 0.9]},
            "rank": {"names": ["focus.lora.r"], "scale": True, "choices": [1, 2]},
        },
    )  # fmt: skip
    message = run(folder, "ilt", "tune", "--trials", "4")
    return folder, message, shown(folder, "--test")


def test_each_trial_ends_as_its_settings_say(searched):
    _, message, result = searched
    states = {0.0: "failed", 0.1: "finished", 0.2: "finished", 0.9: "pruned"}
    assert result["trials"][0]["values"] == {"feedback.gold_share": 0.2, "rank": 1}
    assert len(result["trials"]) == 4
    assert {trial["state"] for trial in result["trials"]} == set(states.values())
    for trial in result["trials"]:
        share = trial["values"]["feedback.gold_share"]
        assert trial["state"] == states[share]
        assert len(trial["steps"]) == {"failed": 0, "pruned": 1, "finished": 2}[trial["state"]]
        if trial["state"] == "finished":
            assert (trial["error"], trial["test"]) == (share, share / 2)
        if trial["state"] == "failed":
            assert "there is no gold to learn from" in trial["reason"]
        if trial["state"] == "pruned":
            assert "clearly worse than trial" in trial["reason"]
    assert "today's defaults" in message


def test_importance_is_of_what_moves_an_objective():
    study = optuna.create_study(directions=["minimize", "minimize"])
    spaces = {"rate": FloatDistribution(0.0, 1.0), "rank": FloatDistribution(0.0, 1.0)}
    generator = np.random.default_rng(2)
    for rate, rank in generator.random((24, 2)).tolist():
        study.add_trial(
            create_trial(params={"rate": rate, "rank": rank}, distributions=spaces, values=[rate, 5 * rank])
        )
    shares = importances(study, 1).of
    assert shares["error"]["rate"] > 0.8 and shares["minutes"]["rank"] > 0.8
    small = optuna.create_study(directions=["minimize", "minimize"])
    small.add_trials(study.trials[:7])
    few = importances(small, 1)
    assert few.of is None and "8 finished trials are needed, there are 7" in few.reason


def test_the_best_is_the_lowest_error_and_the_front_is_not_dominated(searched):
    folder, _, result = searched
    ended = {trial["number"]: trial for trial in result["trials"] if trial["state"] == "finished"}
    best = ended[result["best"]]
    assert best["error"] == min(trial["error"] for trial in ended.values()) == 0.1
    assert result["front"] == [0, best["number"]]  # the best has twice the rank, and costs more
    assert result["gain_over_defaults"]["micro"] == pytest.approx(0.1)
    assert result["importances"] is None
    text = run(folder, "ilt", "tune", "show", "--test")
    for part in ("Pareto front", "finished trials are needed", f"dvc exp apply {best['experiment']}"):
        assert part in text
    assert "test %" not in run(folder, "ilt", "tune", "show")


def test_a_trial_is_brought_back_by_dvc_and_the_workspace_was_left_alone(searched, tmp_path):
    folder, _, result = searched
    assert run(folder, "git", "status", "--short") == ""
    copied = shutil.copytree(folder, tmp_path / "copied", symlinks=True)
    run(copied, *result["commands"]["apply"].split())
    values = yaml.safe_load((copied / "params.yaml").read_text(encoding="utf-8"))
    assert values["feedback"]["gold_share"] == 0.1
    assert json.loads((copied / "data/iterations/it2/evaluation.json").read_text())["test"]["micro"] == 0.05
    settings = [part.strip("'") for part in result["commands"]["full"].split()[3:] if part != "-S"]
    assert "++feedback.gold_share=0.1" in settings


def test_a_study_is_not_mixed_with_other_settings(searched, tmp_path):
    copied = Path(shutil.copytree(searched[0], tmp_path / "copied", symlinks=True))
    values = yaml.safe_load((copied / "params.yaml").read_text(encoding="utf-8"))
    values["label"]["beams"] = 3
    (copied / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    assert "label.beams differs" in refused(copied, "ilt", "tune", "--trials", "9")
    assert "there are toy" in refused(copied, "ilt", "tune", "show", "--study", "other")


@pytest.mark.full
def test_three_failures_in_a_row_end_the_search_with_what_was_printed(tmp_path):
    parameters = {"feedback.gold_share": {"choices": [0.2, 0.0]}}
    folder = toy_repository(tmp_path / "toy", iterations=1, parameters=parameters)
    (folder / "stage.py").write_text("raise SystemExit('the disk is full')", encoding="utf-8")
    message = refused(folder, "ilt", "tune", "--trials", "9")
    assert "3 trials in a row failed" in message
    assert "the disk is full" in message
    assert [trial["state"] for trial in shown(folder)["trials"]] == ["failed"] * 3


def interrupt_during(folder, pattern, more, how, *command):
    """Start a search; send it a signal, and nothing else, once a log of it has a line. Return the process."""
    process = subprocess.Popen(
        command, cwd=folder, env={**environment(), **more}, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 1200
    try:
        while not any(pattern in log.read_text() for log in (folder / ".ilt/tune").glob("*/*.log")):
            assert process.poll() is None, "the search ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        process.send_signal(how)
        process.wait()


def left_of_a_run(folder):
    """The copies of the repository that DVC keeps, and the processes that work in them."""
    copies = list((folder / ".dvc/tmp/exps/standalone").glob("tmp*"))
    processes = []
    for process in psutil.process_iter():
        try:
            processes += [process for copy in copies if Path(process.cwd()).is_relative_to(copy)]
        except psutil.Error:
            continue
    return copies, processes


def test_a_killed_search_goes_on_with_what_it_was_running_and_clears_up(tmp_path):
    parameters = {"feedback.gold_share": {"choices": [0.1, 0.2, 0.3]}}
    folder = toy_repository(tmp_path / "toy", study="toy", iterations=2, parameters=parameters)
    slow = {"STAGE_SECONDS": "60"}
    interrupt_during(folder, "Running stage 'evaluate@it2'", slow, signal.SIGKILL, "ilt", "tune", "--trials", "1")
    copies, processes = left_of_a_run(folder)
    assert len(copies) == 1 and processes, "its experiment goes on, in a copy of the repository"
    started = time.monotonic()
    message = run(folder, "ilt", "tune", "--trials", "1")
    assert time.monotonic() - started < 60, "the experiment of the killed search was waited for"
    assert not any(process.is_running() for process in processes)
    assert left_of_a_run(folder) == ([], [])
    assert "Running" not in run(folder, "dvc", "exp", "show", "--csv")
    assert "trial 0 was stopped; its settings are tried again" in message
    first, again = shown(folder)["trials"]
    assert (first["state"], again["state"]) == ("stopped", "finished")
    assert first["values"] == again["values"] == {"feedback.gold_share": 0.2}
    log = (folder / ".ilt/tune/toy/0001.log").read_text()
    assert "Stage 'evaluate@it1' is cached" in log
    assert "Running stage 'evaluate@it1'" not in log


@pytest.mark.full
def test_a_stopped_search_proposes_what_it_would_have_and_leaves_nothing(tmp_path):
    parameters = {
        "feedback.gold_share": {"low": 0.05, "high": 0.9},
        "rank": {"names": ["focus.lora.r"], "low": 1, "high": 64},
    }
    edit = {"reduce": {"focus.lora.r": 16}, "iterations": 1, "parameters": parameters, "study": "toy"}
    straight, stopped = (toy_repository(tmp_path / name, **edit) for name in ("straight", "stopped"))
    run(straight, "ilt", "tune", "--trials", "2")
    run(stopped, "ilt", "tune", "--trials", "1")
    slow = {"STAGE_SECONDS": "60", "WAIT": "1"}
    interrupt_during(stopped, "stage is waiting", slow, signal.SIGTERM, "ilt", "tune", "--trials", "2")
    assert left_of_a_run(stopped) == ([], [])
    run(stopped, "ilt", "tune", "--trials", "2")
    wanted = [trial["values"] for trial in shown(straight)["trials"]]
    trials = shown(stopped)["trials"]
    assert [trial["state"] for trial in trials] == ["finished", "stopped", "finished"]
    assert [trials[0]["values"], trials[2]["values"]] == wanted
    assert trials[1]["values"] == trials[2]["values"]


@pytest.mark.full
def test_a_search_over_the_whole_pipeline_survives_a_kill(base_folder, tmp_path):  # noqa: ARG001
    folder = new_repository(tmp_path / "repository")
    write_tune_file(
        folder, study="tiny", iterations=2, reduce={"corpus.demo.pool": 10},
        parameters={"rate": RATE, "iterations.it2.select.keep": {"choices": [0.5, 0.8]}},
    )  # fmt: skip
    run(folder, "git", "add", "-A")
    run(folder, "git", "commit", "-qm", "what to search")
    interrupt_during(folder, "Running stage 'feedback@it2'", {}, signal.SIGKILL, "ilt", "tune", "--trials", "2")
    run(folder, "ilt", "tune", "--trials", "2")
    result = shown(folder, "--test")
    states = [trial["state"] for trial in result["trials"]]
    assert states[:2] == ["stopped", "finished"]
    assert set(states[2:]) <= {"finished", "pruned"}
    assert len(states) == 3
    log = (folder / ".ilt/tune/tiny/0001.log").read_text()
    ran = re.findall(r"Running stage '([^']+)'", log)
    assert not {stage for stage in ran if stage.endswith("@it1")}, "what had run came from the cache"
    assert {"feedback@it2", "fix@it2", "evaluate@it2", "report"} <= set(ran)
    assert run(folder, "git", "status", "--short") in ("", "?? .dvc/.gitignore\n")
    assert result["trials"][1]["test"] > 0
    run(folder, "dvc", "exp", "apply", result["trials"][1]["experiment"])
    summary = json.loads((folder / "data/metrics/summary.json").read_text(encoding="utf-8"))
    assert list(summary) == ["base", "it1", "it2"]
    assert summary["it2"]["dev"]["micro"] == result["trials"][1]["error"]
    assert (folder / "data/iterations/it2/adapters/fix").is_dir()
