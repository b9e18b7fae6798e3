"""The ablation: arms are equal in steps, contrasts have the right sign, and a second call runs nothing."""

from __future__ import annotations

import copy
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import yaml

from ilt.errors import IltError
from ilt.params import (
    TRAINING_STAGES,
    SelectParams,
    check_params,
    ordered_iterations,
    read_params,
    stage_section,
    training,
)
from ilt.stages.plan import plan_files, resolve
from ilt.tools.experiments.ablation.arms import ARMS, arm_values, last_iteration, reduced
from ilt.tools.experiments.ablation.file import planned, read_ablation_file
from ilt.tools.experiments.ablation.records import FORMER_CODE, RECORDS, Record, planned_identity, read_record
from ilt.tools.experiments.ablation.results import Outcome, summarise, to_markdown
from ilt.tools.experiments.overrides import differences
from project import ROOT, edit_params, new_repository, run, stages_run

FILE = read_ablation_file(ROOT / "ablation.yaml")
PARAMS = read_params(ROOT / "params.yaml")


@pytest.fixture(scope="module")
def small():
    return reduced(PARAMS, FILE.data["demo"] | FILE.reduce, FILE.steps)


def steps_of(values):
    """Optimiser steps of the stages that run, as they are planned."""
    files = plan_files(resolve(check_params(values)))
    total = 0
    for name in values["iterations"]:
        for stage in TRAINING_STAGES:
            plan = files[f"{name}/{stage}"]["parameters"]
            if plan["skip"] is None:
                total += sum(each["steps"] for each in plan["replaces"] or [plan["train"]])
    return total


@pytest.mark.parametrize("arm", list(ARMS))
def test_every_arm_takes_as_many_steps_as_full_ilt(arm, small):
    values = arm_values(arm, small, 1, FILE.full_learning_rate)
    if arm == "one_half":
        assert steps_of(small) / 2 - 5 <= steps_of(values) <= steps_of(small) / 2
    else:
        assert steps_of(values) == steps_of(small) > 0
    assert last_iteration(values) in values["iterations"]


def test_every_arm_can_be_made_of_a_default_that_interpolates(small):
    values = copy.deepcopy(small)
    values["adapter"]["scale"] = 0.7
    scales = {arm: arm_values(arm, values, 1, 0.2)["adapter"]["scale"] for arm in ARMS}
    assert scales.pop("full_ft") == 1.0
    assert set(scales.values()) == {0.7}


def test_other_plain_loras_differ_in_one_setting_alone(small):
    plain, wide, gentle = (
        resolve(check_params(arm_values(arm, small, 1, 0.2))).training("it1", "focus")
        for arm in ("one_long", "one_wide", "one_gentle")
    )
    assert wide.lora.r == 2 * plain.lora.r and gentle.learning_rate == plain.learning_rate / 2
    assert wide.model_copy(update={"lora": plain.lora}) == plain
    assert gentle.model_copy(update={"learning_rate": plain.learning_rate}) == plain


def test_another_seed_is_another_corpus_and_other_trainings(small):
    params = check_params(arm_values("ilt3", small, 7, 0.2))
    assert params.seed == training(params, "it2", "fix").seed == 7


def test_arms_that_iterate_share_their_first_iteration(small):
    first = [arm_values(arm, small, 1, 0.2)["iterations"]["it1"] for arm in ("ilt2", "ilt3", "ilt5")]
    assert first[0] == first[1] == first[2]


def test_the_last_iteration_is_made_like_the_last_however_many_there_are(small):
    """The schedule of the default ends with a long fix; so do two iterations, and five."""
    order = ordered_iterations(check_params(small))
    shares = {}
    for arm in ("ilt2", "ilt3", "ilt5"):
        entry = list(arm_values(arm, small, 1, 0.2)["iterations"].values())[-1]
        assert entry["fix"]["lr_factor"] == small["iterations"][order[-1]]["fix"]["lr_factor"]
        steps = {stage: entry[stage]["steps"] for stage in TRAINING_STAGES}
        shares[arm] = steps["fix"] / sum(steps.values())
    assert shares["ilt2"] == pytest.approx(shares["ilt3"], abs=0.05)
    assert shares["ilt5"] == pytest.approx(shares["ilt3"], abs=0.05)


def test_what_a_single_iteration_has_more_of_steps_goes_to_its_fix(small):
    first, one = small["iterations"]["it1"], arm_values("ilt1", small, 1, 0.2)["iterations"]["it1"]
    assert [one[stage]["steps"] for stage in ("focus", "feedback")] == [
        first[stage]["steps"] for stage in ("focus", "feedback")
    ]
    assert one["fix"]["steps"] > first["fix"]["steps"]


def test_a_key_of_a_stage_means_all_iterations():
    changed = reduced(PARAMS, {"select.keep": 0.3, "focus.batch_size": 4}, 0.1)
    params = check_params(changed)
    for name in params.iterations:
        assert stage_section(params, name, "select", SelectParams).keep == 0.3
        assert training(params, name, "focus").batch_size == 4
    assert training(params, "it1", "focus").steps == round(0.1 * PARAMS["iterations"]["it1"]["focus"]["steps"])


@pytest.mark.parametrize("key", ["focus.batch", "corpus.demo.pools.x", "nothing"])
def test_an_unknown_key_is_named(key):
    with pytest.raises(IltError, match=f"there is no {key} in params.yaml"):
        reduced(PARAMS, {key: 1}, 1.0)


def test_a_key_of_before_is_told_what_it_is_called_now():
    with pytest.raises(IltError, match=r"focus\.learning_rate: there is train\.learning_rate alone"):
        reduced(PARAMS, {"focus.learning_rate": 0.5}, 1.0)


def test_an_unknown_data_set_is_named():
    with pytest.raises(IltError, match="no data set 'digits'; it has demo"):
        list(planned(FILE, PARAMS, ["digits"], {}))


def test_the_file_says_what_runs_on_what_with_which_seeds():
    runs = {(one.data, one.arm, one.seed) for one in planned(FILE, PARAMS, ["demo", "demo-found"], {})}
    assert {seed for _, arm, seed in runs if arm == "gold25"} == {1}
    assert {seed for data, arm, seed in runs if (data, arm) == ("demo", "no_fix")} == {1, 2, 3}
    assert {(arm, seed) for data, arm, seed in runs if data == "demo-found"} == {
        (arm, 1) for arm in FILE.arms["demo-found"]
    }
    with pytest.raises(IltError, match=r"leaves no_fix out of demo-found; see its key `arms`"):
        list(planned(FILE, PARAMS, ["demo-found"], {}, ["ilt3", "no_fix"]))
    assert list(planned(FILE, PARAMS, ["demo", "demo-found"], {}, ["no_fix"]))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"first_seed": {"arms": ["gold_25"]}},
            r"first_seed.arms: there is no arm 'gold_25'; there are ilt3",
        ),
        (
            {"first_seed": {"data": ["found"]}},
            r"first_seed.data: there is no data set 'found'; there are demo",
        ),
        ({"arms": {"demo": ["ilt"]}}, r"arms.demo: there is no arm 'ilt'"),
        ({"arms": {"demos": ["ilt3"]}}, r"arms: there is no data set 'demos'"),
        ({"seeds": [1, 2, 1]}, r"seeds: each stands once, got \[1, 2, 1\]"),
        ({"seeds": [-1]}, r"seeds\.0"),
        ({"seeds": [2**63]}, r"seeds\.0"),
        ({"seeds": [True]}, r"seeds\.0"),
        ({"steps": 1e300}, r"steps"),
        ({"full_learning_rate": 1e-300}, r"full_learning_rate"),
        ({"arms": {"demo": ["ilt3", "ilt3"]}}, r"arms.demo: 'ilt3' stands more than once"),
        ({"first_seed": {"arms": ["ilt1", "ilt1"]}}, r"first_seed.arms: 'ilt1' stands more than once"),
        ({"reduce": {"seed": 4}}, r"reduce: seed has no effect here; `seeds` says it"),
        ({"data": {"demo": {"train.seed": 4}}}, r"data.demo: train.seed has no effect here"),
        (
            {"data": {"demo": {"corpus.demo.pool": 4}}, "reduce": {"corpus.demo.pool": 5}},
            r"data.demo: corpus.demo.pool stands in `reduce` too",
        ),
        ({"first_seeds": {}}, r"first_seeds"),
    ],
)
def test_names_that_the_file_does_not_know_are_errors(tmp_path, changed, message):
    path = tmp_path / "ablation.yaml"
    path.write_text(yaml.safe_dump({"seeds": [1], "data": {"demo": {}}} | changed), encoding="utf-8")
    with pytest.raises(IltError, match=message):
        read_ablation_file(path)


def test_an_arm_that_nobody_wants_need_not_be_possible():
    short = FILE.model_copy(update={"steps": 0.03})  # too few steps for five iterations
    with pytest.raises(IltError, match="too few for 5 iterations"):
        list(planned(short, PARAMS, ["demo"], {}))
    with pytest.raises(IltError, match="too few for 5 iterations"):
        list(planned(short, PARAMS, ["demo"], {}, ["ilt5"]))
    made = {one.arm for one in planned(short, PARAMS, ["demo"], {}, ["ilt3", "one_long"])}
    assert {"ilt3", "one_long"} <= made and "ilt5" not in made
    with pytest.raises(IltError, match="no arm 'it3'; there are ilt3"):
        list(planned(short, PARAMS, ["demo"], {}, ["it3"]))


def test_differences_name_what_changed_alone():
    before = {"a": {"b": 1, "c": {"d": 2}}, "e": {"f": 1}}
    after = {"a": {"b": 1, "c": {"d": 3}}, "g": {"h": [1]}}
    assert differences(before, after) == ["~e", "++a.c.d=3", "++g={h:[1]}"]


def outcome(arm, seed, errors, words="w", dev=0.1):
    errors = np.array(errors).tolist()
    figures = {"units": [4] * len(errors), "dev": dev, "retention": None, "minutes": 2.5}
    return Outcome(arm=arm, seed=seed, references=words, errors=errors, **figures)


def test_contrasts_are_gains_of_full_ilt_and_tell_what_it_closes():
    rng = np.random.default_rng(1)
    outcomes = []
    for seed in (1, 2):
        plain = rng.integers(1, 4, 60)
        outcomes += [outcome("one_long", seed, plain), outcome("oracle", seed, plain - 1)]
        outcomes += [outcome("ilt3", seed, np.where(np.arange(60) % 4, plain - 1, plain))]
    result = summarise(outcomes)
    contrast = result["contrasts"]["ilt3-vs-one_long"]
    assert contrast["gain"] == pytest.approx(0.75 * 0.25)
    assert 0 < contrast["low"] < contrast["gain"] < contrast["high"]
    assert contrast["by_seed"] == pytest.approx([0.75 * 0.25] * 2)
    assert result["contrasts"]["ilt3-vs-oracle"]["high"] < 0
    assert result["closed"] == pytest.approx(0.75)
    assert result["arms"]["ilt3"]["minutes"] == [2.5, 2.5]
    page = to_markdown(result)
    assert "ahead of all of these but the oracle" in page and "closes 75 %" in page


def test_the_same_utterances_in_two_seeds_are_no_more_evidence_than_one():
    rng = np.random.default_rng(2)
    ours, theirs = rng.integers(0, 4, 80), rng.integers(0, 4, 80)

    def width(words):
        pairs = [(seed, words(seed)) for seed in (1, 2)]
        outcomes = [outcome("ilt3", seed, ours, word) for seed, word in pairs]
        outcomes += [outcome("one_long", seed, theirs, word) for seed, word in pairs]
        contrast = summarise(outcomes)["contrasts"]["ilt3-vs-one_long"]
        return contrast["high"] - contrast["low"]

    assert width(lambda _: "same") == pytest.approx(1.41 * width(lambda seed: f"seed {seed}"), rel=0.1)


def test_an_arm_that_is_not_clearly_beaten_is_said_so():
    rng = np.random.default_rng(3)
    errors = rng.integers(0, 4, 40)
    page = to_markdown(summarise([outcome("ilt3", 1, errors), outcome("no_fix", 1, errors[::-1])]))
    assert "no clear advantage over" in page and "`no_fix`" in page
    assert "Not run yet" in page and "`one_long`" in page.split("Not run yet")[1]


def test_the_base_alone_is_no_comparison():
    errors = np.array([1, 2, 0, 3] * 5)
    better = to_markdown(summarise([outcome("ilt3", 1, errors), outcome("base", 1, errors + 1)]))
    assert "ahead of" not in better and "advantage" not in better
    same = to_markdown(summarise([outcome("ilt3", 1, errors), outcome("base", 1, errors)]))
    assert "no clear advantage over" in same and "`base`" in same


def test_a_result_of_before_gains_by_seed_is_shown():
    summary = summarise([outcome("ilt3", 1, [1, 2]), outcome("one_long", 1, [2, 2])])
    del summary["contrasts"]["ilt3-vs-one_long"]["by_seed"]
    assert "| `one_long` |" in to_markdown(summary)


def test_the_best_plain_lora_is_chosen_over_the_seeds_that_all_have():
    errors = np.array([1, 2, 0, 3] * 5)
    outcomes = [outcome("one_half", 2, errors, dev=0.12), outcome("ilt3", 2, errors)]
    outcomes += [outcome("one_long", seed, errors, dev=dev) for seed, dev in ((1, 0.3), (2, 0.1), (3, 0.1))]
    assert summarise(outcomes)["best_plain"] == "one_long"
    assert summarise([*outcomes, outcome("one_wide", 1, errors, dev=0.05)])["best_plain"] is None


def test_a_key_that_an_arm_changes_need_not_stand_in_params_yaml(small):
    values = copy.deepcopy(small)
    for section in ("adapter", "select", "correct"):
        del values[section]
    assert arm_values("full_ft", values, 1, 0.2)["adapter"] == {"mode": "full", "scale": 1.0}
    assert arm_values("logprob", values, 1, 0.2)["select"] == {"method": "logprob"}


def test_a_stage_that_is_left_out_stays_so():
    values = copy.deepcopy(PARAMS)
    values["iterations"]["it2"]["focus"]["steps"] = 0
    small = reduced(values, {}, 0.5)
    assert small["iterations"]["it2"]["focus"]["steps"] == 0
    assert arm_values("ilt5", small, 1, 0.2)["iterations"]["it3"]["focus"]["steps"] == 0


@pytest.fixture
def recorded(monkeypatch, tmp_path):
    """A run that is recorded in an otherwise empty project, and its file."""
    model = tmp_path / "data/models/demo-whisper"
    shutil.copytree(ROOT / "data/models/demo-whisper", model)
    monkeypatch.chdir(tmp_path)
    one = next(planned(FILE, PARAMS, ["demo"], {}))
    write(one, [0, 2, 1])
    return one, tmp_path / RECORDS / "demo-s1-ilt3.json"


def write(one, errors, identity=None):
    ours, base = outcome(one.arm, one.seed, errors), outcome("base", one.seed, [3, 3, 4])
    identity = identity or planned_identity(one)
    Record(data=one.data, commit="abc", machine={"cores": 2}, ours=ours, base=base, identity=identity).write()


def why(one):
    return read_record(one).identity.why_other(planned_identity(one))


def with_code(identity, stage, digest):
    """The identity with other code in a stage."""
    changed = copy.deepcopy(identity.stages)
    changed[stage]["code"] = digest
    return identity.model_copy(update={"stages": changed})


def test_a_record_is_read_as_it_was_written(recorded):
    one, path = recorded
    record = read_record(one)
    assert record.ours.errors == [0, 2, 1] and record.base.errors == [3, 3, 4]
    assert record.ours.units == [4, 4, 4] and record.ours.minutes == 2.5 and record.ours.dev == 0.1
    assert record.ours.arm == "ilt3" and record.base.arm == "base" and record.machine == {"cores": 2}
    kept = json.loads(path.read_text(encoding="utf-8"))["identity"]["stages"]["it2/fix"]
    assert kept["parameters"]["train"]["steps"] == one.values["iterations"]["it2"]["fix"]["steps"]
    assert len(kept["code"]) == 64


def test_a_record_counts_for_its_own_code_and_parameters_alone(recorded):
    one, _ = recorded
    now = planned_identity(one)
    assert why(one) == ""
    assert with_code(now, "it3/fix", "other").why_other(now) == FORMER_CODE
    values = copy.deepcopy(one.values)
    values["iterations"]["it2"]["correct"]["keep"] = 0.5
    assert why(replace(one, values=values)) == "of other parameters"
    values = copy.deepcopy(one.values)
    values["report"]["price_per_hour"] = 2.5  # changes nothing that a run leaves
    assert why(replace(one, values=values)) == ""
    assert now.model_copy(update={"model": "another"}).why_other(now) == "of another base model"


def test_a_record_counts_however_dvc_writes_a_number(recorded):
    one, _ = recorded
    for written, counts in (("1.6e-03", True), (1.6e-3, True), (1.7e-3, False)):
        values = copy.deepcopy(one.values)
        values["train"]["learning_rate"] = written  # what the model's size comes to
        assert (why(replace(one, values=values)) == "") == counts


def test_a_record_that_is_carried_over_counts_for_the_new_code_and_says_with_which_it_ran(recorded):
    one, path = recorded
    now = planned_identity(one)
    code = now.part("code")["it1/select"]
    write(one, [0, 2, 1], with_code(now, "it1/select", "old"))
    assert why(one) == FORMER_CODE
    read_record(one).carried(now).write()
    assert why(one) == "" and read_record(one).ours.errors == [0, 2, 1]
    assert json.loads(path.read_text(encoding="utf-8"))["ran"] == {"it1/select": "old"}
    again = read_record(one).carried(with_code(now, "it1/label", "newer"))
    assert again.ran == {"it1/select": "old", "it1/label": now.part("code")["it1/label"]}
    assert again.carried(with_code(now, "it1/select", "old")).ran == {}
    assert code == now.part("code")["it1/select"]


@pytest.mark.parametrize(
    ("changed", "differ"),
    [
        ({}, 0),
        ({"minutes": 99.0}, 0),
        ({"errors": [0, 1, 2]}, 2),
        ({"dev": 0.2}, -1),
        ({"retention": 0.2}, -1),
        ({"references": "other words"}, 3),
        ({"units": [4, 4, 5]}, 3),
        ({"errors": [0, 2], "units": [4, 4]}, 3),
    ],
)
def test_records_differ_by_their_errors_and_not_by_how_long_they_took(recorded, changed, differ):
    before = read_record(recorded[0])
    after = before.model_copy(update={"ours": before.ours.model_copy(update=changed)})
    assert before.differences(after) == differ


def test_of_a_manifest_the_text_counts_and_not_the_place(recorded, tmp_path):  # noqa: ARG001
    def with_manifest(path, text):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        extra = {"human-digits": {"corpus.manifest": str(path)}}
        return next(planned(FILE, PARAMS, ["human-digits"], extra))

    write(with_manifest(tmp_path / "a" / "m.jsonl", "one"), [0, 2, 1])
    assert why(with_manifest(tmp_path / "b" / "other.jsonl", "one")) == ""
    assert why(with_manifest(tmp_path / "b" / "other.jsonl", "two")) == "of other parameters"


@pytest.mark.parametrize(
    "broken",
    [
        lambda text: "<<<<<<< ours\n" + text,
        lambda _: "{}",
        lambda _: "[]",
        lambda text: text.replace('"errors": "0 2 1"', '"errors": "0 2"'),
        lambda text: text.replace('"errors": "0 2 1"', '"errors": "0 two 1"'),
        lambda text: text.replace('"seed": 1', '"seed": 2'),
    ],
)
def test_a_broken_record_is_named(recorded, broken):
    one, path = recorded
    text = path.read_text(encoding="utf-8")
    assert broken(text) != text
    path.write_text(broken(text), encoding="utf-8")
    with pytest.raises(IltError, match=r"demo-s1-ilt3\.json.*delete it"):
        read_record(one)


OLD = {
    "run": {"data": "tiny", "seed": 1, "arm": "ilt3"}, "params": "f91885", "code": "44e313", "ran": "cbda08",
    "machine": {"cores": 2}, "said": "720a73", "units": "6 1 6",
    "ours": {"errors": "0 1 2", "dev": 0.1, "retention": 0.1, "minutes": 5.0},
    "base": {"errors": "4 1 6", "dev": 0.7, "retention": 0.1, "minutes": 0.0},
}  # fmt: skip
"""A record of version 0.1."""


def test_records_of_the_version_before_do_not_count_and_are_said_to_be_of_former_code(tmp_path):
    folder = new_repository(tmp_path / "repository")
    file = {"seeds": [1], "data": {"tiny": {}}, "arms": {"tiny": ["ilt3", "one_long"]}}
    (folder / "ablation.yaml").write_text(yaml.safe_dump(file), encoding="utf-8")
    path = folder / RECORDS / "tiny-s1-ilt3.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(OLD), encoding="utf-8")
    output = run(folder, "ilt", "ablate", "--read")
    assert "0 of 2 runs are there" in output
    assert "1 more are recorded, but of former code, from before version 0.2: they do not count" in output
    output = run(folder, "ilt", "ablate", "--verify", status=2)
    assert "ablate-tiny-s1-ilt3 is of former code, from before version 0.2: there is nothing to compare" in output
    assert json.loads(path.read_text(encoding="utf-8")) == OLD


@pytest.mark.full
def test_arms_run_as_experiments_and_only_once(base_folder, tmp_path, monkeypatch):  # noqa: ARG001
    folder = new_repository(tmp_path / "repository")
    edit_params(folder, lambda values: values["iterations"]["it2"].update(focus={"steps": 2}))
    file = {"seeds": [1], "data": {"tiny": {"corpus.demo.pool": 12}}}
    (folder / "ablation.yaml").write_text(yaml.safe_dump(file), encoding="utf-8")
    run(folder, "git", "add", "-A")
    run(folder, "git", "commit", "-qm", "sizes")
    arms = [part for arm in ("ilt1", "one_long", "full_ft", "no_fix", "reset_no_pseudo") for part in ("--arm", arm)]
    output = run(folder, "ilt", "ablate", *arms)
    assert "0 of 5 runs are there" in output
    results = json.loads((folder / "benchmarks/results/ablation-tiny.json").read_text(encoding="utf-8"))
    assert set(results["arms"]) == {"base", "ilt1", "one_long", "full_ft", "no_fix", "reset_no_pseudo"}
    assert all(len(arm["test_micro"]) == 1 for arm in results["arms"].values())
    assert "## tiny" in (folder / "docs/RESULTS.md").read_text(encoding="utf-8")
    log = (folder / ".ilt/ablation/ablate-tiny-s1-no-fix.log").read_text(encoding="utf-8")
    assert not stages_run(log) & {"corpus", "baseline", "focus@it1"}
    assert "5 of 5 runs are there" in run(folder, "ilt", "ablate", *arms)
    assert "ablate-tiny-s1-no-fix" in run(folder, "dvc", "exp", "list", "--name-only")
    refs = run(folder, "git", "for-each-ref", "--format=%(refname)", "refs/exps").split()
    for arm in ("no_fix", "one_long"):
        ref = next(ref for ref in refs if ref.endswith(f"/ablate-tiny-s1-{arm.replace('_', '-')}"))
        shown = json.loads(run(folder, "git", "show", f"{ref}:data/metrics/metrics.json"))
        assert [shown["final"]["test"]] == results["arms"][arm]["test_micro"]

    # What ran here counts in a clone, which has no experiments, as long as the code is the same.
    run(folder, "git", "add", "-A")
    run(folder, "git", "commit", "-qm", "results")
    clone = tmp_path / "clone"
    run(tmp_path, "git", "clone", "-q", str(folder), str(clone))
    result = "benchmarks/results/ablation-tiny.json"
    for name in (result, "docs/RESULTS.md"):
        (clone / name).unlink()
    assert "5 of 5 runs are there" in run(clone, "ilt", "ablate", "--read", *arms)
    assert "## tiny" in (clone / "docs/RESULTS.md").read_text(encoding="utf-8")
    assert (clone / result).read_text(encoding="utf-8") == (folder / result).read_text(encoding="utf-8")
    code = shutil.copytree(ROOT / "src", tmp_path / "code")
    monkeypatch.setenv("PYTHONPATH", str(code))
    with (code / "ilt/labels/selection.py").open("a", encoding="utf-8") as file:
        file.write("# another comment\n")
    assert "5 of 5 runs are there" in run(clone, "ilt", "ablate", "--read", *arms)
    with (code / "ilt/labels/selection.py").open("a", encoding="utf-8") as file:
        file.write("ANOTHER = 1\n")
    output = run(clone, "ilt", "ablate", "--read", *arms)
    assert "0 of 5 runs are there" in output and "5 more are recorded, but of former code" in output

    # A change that changes no result: one arm shows it, and all count on.
    output = run(clone, "ilt", "ablate", "--verify", "--arm", "ilt1")
    assert "the same as recorded" in output
    assert "tiny: 5 of 5 records of former code count for the code of now" in output
    assert "5 of 5 runs are there" in run(clone, "ilt", "ablate", "--read", *arms)
    assert "all records count already" in run(clone, "ilt", "ablate", "--verify", "--arm", "ilt1")
    # One that does, which a record with other errors stands for.
    with (code / "ilt/labels/selection.py").open("a", encoding="utf-8") as file:
        file.write("YET_ANOTHER = 1\n")
    record = clone / "benchmarks/results/ablation/tiny-s1-ilt1.json"
    content = json.loads(record.read_text(encoding="utf-8"))
    first, _, rest = content["ours"]["errors"].partition(" ")
    content["ours"]["errors"] = f"{int(first) + 1} {rest}"
    record.write_text(json.dumps(content), encoding="utf-8")
    done = run(clone, "ilt", "ablate", "--verify", "--arm", "ilt1", status=1)
    assert "other errors than recorded in 1 of" in done
    assert "0 of 5 runs are there" in run(clone, "ilt", "ablate", "--read", *arms)
    assert "other errors than recorded" in run(clone, "ilt", "ablate", "--verify", "--arm", "ilt1", status=1)
    assert json.loads(record.read_text(encoding="utf-8")) == content
    record.unlink()
    assert "ilt1 is not recorded" in run(clone, "ilt", "ablate", "--verify", "--arm", "ilt1", status=2)
