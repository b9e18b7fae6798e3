"""The ablation: arms are equal in steps, contrasts have the right sign, and a second call runs nothing."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import numpy as np
import pytest
import yaml

from ilt.errors import IltError
from ilt.params import TRAINING_STAGES, check_params, read_params
from ilt.stages.plan import resolve
from ilt.tools.experiments.ablation.arms import ARMS, arm_values, last_iteration, reduced
from ilt.tools.experiments.ablation.file import read_ablation_file
from ilt.tools.experiments.ablation.records import (
    RECORDS,
    carry_over,
    params_digest,
    read_former,
    read_record,
    write_record,
)
from ilt.tools.experiments.ablation.results import Outcome, summarise
from ilt.tools.experiments.ablation.running import planned
from ilt.tools.experiments.ablation.show import to_markdown
from ilt.tools.experiments.dvc import differences
from project import ROOT, edit_params, new_repository, run, stages_run

FILE = read_ablation_file(ROOT / "ablation.yaml")
PARAMS = read_params(ROOT / "params.yaml")


@pytest.fixture(scope="module")
def small():
    return reduced(PARAMS, FILE.data["demo"] | FILE.reduce, FILE.steps)


def steps_of(values):
    """Optimiser steps of the stages that run, as the stages are told."""
    files = resolve(check_params(values))
    total = 0
    for name in values["iterations"]:
        for stage in TRAINING_STAGES:
            told = files[f"{name}/{stage}"]
            if "skipped" not in told:
                total += sum(each["steps"] for each in told.get("stages", [told["train"]]))
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
    values["merge"]["scale"] = 0.7
    scales = {arm: arm_values(arm, values, 1, 0.2)["merge"]["scale"] for arm in ARMS}
    assert scales.pop("full_ft") == 1.0
    assert set(scales.values()) == {0.7}


def test_other_plain_loras_differ_in_one_setting_alone(small):
    plain, wide, gentle = (
        check_params(arm_values(arm, small, 1, 0.2)).training("it1", "focus")
        for arm in ("one_long", "one_wide", "one_gentle")
    )
    assert wide.lora.r == 2 * plain.lora.r and gentle.learning_rate == plain.learning_rate / 2
    assert wide.model_copy(update={"lora": plain.lora}) == plain
    assert gentle.model_copy(update={"learning_rate": plain.learning_rate}) == plain


def test_arms_that_iterate_share_their_first_iteration(small):
    first = [arm_values(arm, small, 1, 0.2)["iterations"]["it1"] for arm in ("ilt2", "ilt3", "ilt5")]
    assert first[0] == first[1] == first[2]


def test_the_last_iteration_is_made_like_the_last_however_many_there_are(small):
    """The schedule of the default ends with a long fix; so do two iterations, and five."""
    order = check_params(small).ordered_iterations()
    shares = {}
    for arm in ("ilt2", "ilt3", "ilt5"):
        entry = list(arm_values(arm, small, 1, 0.2)["iterations"].values())[-1]
        assert entry["fix"]["learning_rate"] == small["iterations"][order[-1]]["fix"]["learning_rate"]
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
        assert params.stage(name, "select").keep == 0.3
        assert params.training(name, "focus").batch_size == 4
    assert params.training("it1", "focus").steps == round(0.1 * PARAMS["iterations"]["it1"]["focus"]["steps"])


@pytest.mark.parametrize("key", ["focus.batch", "corpus.demo.pools.x", "nothing"])
def test_an_unknown_key_is_named(key):
    with pytest.raises(IltError, match=key.split(".")[0]):
        reduced(PARAMS, {key: 1}, 1.0)


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
    return Outcome(arm, seed, words, np.array(errors), np.full(len(errors), 4), dev, None, 2.5)


def test_contrasts_are_gains_of_full_ilt_and_tell_what_it_closes():
    rng = np.random.default_rng(1)
    found = []
    for seed in (1, 2):
        plain = rng.integers(1, 4, 60)
        found += [outcome("one_long", seed, plain), outcome("oracle", seed, plain - 1)]
        found += [outcome("ilt3", seed, np.where(np.arange(60) % 4, plain - 1, plain))]
    result = summarise(found)
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
        found = [outcome("ilt3", seed, ours, word) for seed, word in pairs]
        found += [outcome("one_long", seed, theirs, word) for seed, word in pairs]
        contrast = summarise(found)["contrasts"]["ilt3-vs-one_long"]
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
    found = summarise([outcome("ilt3", 1, [1, 2]), outcome("one_long", 1, [2, 2])])
    del found["contrasts"]["ilt3-vs-one_long"]["by_seed"]
    assert "| `one_long` |" in to_markdown(found)


def test_the_best_plain_lora_is_chosen_over_the_seeds_that_all_have():
    errors = np.array([1, 2, 0, 3] * 5)
    found = [outcome("one_half", 2, errors, dev=0.12), outcome("ilt3", 2, errors)]
    found += [outcome("one_long", seed, errors, dev=dev) for seed, dev in ((1, 0.3), (2, 0.1), (3, 0.1))]
    assert summarise(found)["best_plain"] == "one_long"
    assert summarise([*found, outcome("one_wide", 1, errors, dev=0.05)])["best_plain"] is None


def test_a_key_that_an_arm_changes_must_stand_in_params_yaml(small):
    values = copy.deepcopy(small)
    del values["merge"]
    with pytest.raises(IltError, match=r"full_ft changes .*merge.* write it there"):
        arm_values("full_ft", values, 1, 0.2)


def test_a_stage_that_is_left_out_stays_so():
    values = copy.deepcopy(PARAMS)
    values["iterations"]["it2"]["focus"]["steps"] = 0
    small = reduced(values, {}, 0.5)
    assert small["iterations"]["it2"]["focus"]["steps"] == 0
    assert arm_values("ilt5", small, 1, 0.2)["iterations"]["it3"]["focus"]["steps"] == 0


def test_a_number_is_the_same_however_dvc_writes_it(small):
    values = arm_values("full_ft", small, 1, FILE.full_learning_rate)
    written = copy.deepcopy(values)
    written["iterations"]["it1"]["focus"]["learning_rate"] = "3.2e-04"
    values["iterations"]["it1"]["focus"]["learning_rate"] = 3.2e-4
    assert params_digest(written) == params_digest(values)
    values["iterations"]["it1"]["focus"]["learning_rate"] = 3.3e-4
    assert params_digest(written) != params_digest(values)


@pytest.fixture
def recorded(monkeypatch, tmp_path):
    """A run that is recorded in an empty folder, and its file."""
    monkeypatch.chdir(tmp_path)
    one = next(planned(FILE, PARAMS, ["demo"], {}))
    write_record(one, "code", outcome("ilt3", 1, [0, 2, 1]), outcome("base", 1, [3, 3, 4]))
    return one, tmp_path / RECORDS / "demo-s1-ilt3.json"


def test_a_record_is_read_as_it_was_written(recorded):
    one, _ = recorded
    found = read_record(one, "code")
    assert found.ours.errors.tolist() == [0, 2, 1] and found.base.errors.tolist() == [3, 3, 4]
    assert found.ours.units.tolist() == [4, 4, 4] and found.ours.minutes == 2.5 and found.ours.dev == 0.1
    assert found.ours.arm == "ilt3" and found.base.arm == "base" and found.machine["cores"] > 0


def test_a_record_counts_for_its_own_code_and_parameters_alone(recorded):
    one, _ = recorded
    assert read_record(one, "other code") is None
    values = copy.deepcopy(one.values)
    values["iterations"]["it2"]["correct"]["keep"] = 0.5
    assert read_record(replace(one, values=values), "code") is None
    values = copy.deepcopy(one.values)
    values["report"]["price_per_hour"] = 2.5  # changes nothing that a run leaves
    assert read_record(replace(one, values=values), "code") is not None


def test_a_record_that_is_carried_over_counts_for_the_new_code_and_says_with_which_it_ran(recorded):
    one, path = recorded
    before = read_former(one, "new code")
    assert before.code == "code" and read_former(one, "code") is None
    carry_over(one, "new code")
    assert read_record(one, "code") is None
    now = read_record(one, "new code")
    assert now.ours.errors.tolist() == before.ours.errors.tolist() and now.machine == before.machine
    assert json.loads(path.read_text(encoding="utf-8"))["ran"] == "code"
    carry_over(one, "newer code")
    assert json.loads(path.read_text(encoding="utf-8"))["ran"] == "code"
    carry_over(one, "code")
    assert "ran" not in json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("changed", "differ"),
    [
        ({}, 0),
        ({"minutes": 99.0}, 0),
        ({"errors": np.array([0, 1, 2])}, 2),
        ({"dev": 0.2}, -1),
        ({"retention": 0.2}, -1),
        ({"said": "other words"}, 3),
        ({"units": np.array([4, 4, 5])}, 3),
        ({"errors": np.array([0, 2]), "units": np.array([4, 4])}, 3),
    ],
)
def test_records_differ_by_what_was_heard_and_not_by_how_long_it_took(recorded, changed, differ):
    before = read_record(recorded[0], "code")
    assert before.differences(replace(before, ours=replace(before.ours, **changed))) == differ


def test_of_a_manifest_the_text_counts_and_not_the_place(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    def with_manifest(path, text):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        extra = {"human-digits": {"corpus.manifest": str(path)}}
        return next(planned(FILE, PARAMS, ["human-digits"], extra))

    write_record(
        with_manifest(tmp_path / "a" / "m.jsonl", "one"),
        "code",
        outcome("ilt3", 1, [0]),
        outcome("base", 1, [1]),
    )
    assert read_record(with_manifest(tmp_path / "b" / "other.jsonl", "one"), "code") is not None
    assert read_record(with_manifest(tmp_path / "b" / "other.jsonl", "two"), "code") is None


@pytest.mark.parametrize(
    "broken",
    [
        lambda text: "<<<<<<< ours\n" + text,
        lambda _: "{}",
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
        read_record(one, "code")


@pytest.mark.full
def test_arms_run_as_experiments_and_only_once(base_folder, tmp_path):  # noqa: ARG001
    folder = new_repository(tmp_path / "repository")
    edit_params(folder, lambda values: values["iterations"]["it2"].update(focus={"steps": 2}))
    file = {"seeds": [1], "data": {"tiny": {"corpus.demo.pool": 12}}}
    (folder / "ablation.yaml").write_text(yaml.safe_dump(file), encoding="utf-8")
    run(folder, "git", "add", "-A")
    run(folder, "git", "commit", "-qm", "sizes")
    arms = [part for arm in ("ilt1", "one_long", "full_ft", "no_fix", "reset_no_pseudo") for part in ("--arm", arm)]
    output = run(folder, "ilt", "ablate", *arms)
    assert "0 of 5 runs are there" in output
    found = json.loads((folder / "benchmarks/results/ablation-tiny.json").read_text(encoding="utf-8"))
    assert set(found["arms"]) == {"base", "ilt1", "one_long", "full_ft", "no_fix", "reset_no_pseudo"}
    assert all(len(arm["test_micro"]) == 1 for arm in found["arms"].values())
    assert "## tiny" in (folder / "docs/RESULTS.md").read_text(encoding="utf-8")
    log = (folder / ".ilt/ablation/ablate-tiny-s1-no-fix.log").read_text(encoding="utf-8")
    assert not stages_run(log) & {"corpus", "baseline", "focus@it1"}
    assert "5 of 5 runs are there" in run(folder, "ilt", "ablate", *arms)
    assert "ablate-tiny-s1-no-fix" in run(folder, "dvc", "exp", "list", "--name-only")
    refs = run(folder, "git", "for-each-ref", "--format=%(refname)", "refs/exps").split()
    for arm in ("no_fix", "one_long"):
        ref = next(ref for ref in refs if ref.endswith(f"/ablate-tiny-s1-{arm.replace('_', '-')}"))
        shown = json.loads(run(folder, "git", "show", f"{ref}:data/metrics/metrics.json"))
        assert [shown["final"]["test"]] == found["arms"][arm]["test_micro"]

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
    with (clone / "src/ilt/labels/selection.py").open("a", encoding="utf-8") as file:
        file.write("# another selection\n")
    assert "0 of 5 runs are there" in run(clone, "ilt", "ablate", "--read", *arms)

    # A change that changes no result: one arm shows it, and all count on.
    output = run(clone, "ilt", "ablate", "--verify", "--arm", "ilt1")
    assert "the same as recorded" in output
    assert "tiny: 5 of 5 records of former code count for the code of now" in output
    assert "5 of 5 runs are there" in run(clone, "ilt", "ablate", "--read", *arms)
    assert "all records count already" in run(clone, "ilt", "ablate", "--verify")
    # One that does, which a record with other errors stands for.
    with (clone / "src/ilt/labels/selection.py").open("a", encoding="utf-8") as file:
        file.write("# yet another selection\n")
    record = clone / "benchmarks/results/ablation/tiny-s1-ilt1.json"
    told = json.loads(record.read_text(encoding="utf-8"))
    first, _, rest = told["ours"]["errors"].partition(" ")
    told["ours"]["errors"] = f"{int(first) + 1} {rest}"
    record.write_text(json.dumps(told), encoding="utf-8")
    done = run(clone, "ilt", "ablate", "--verify", "--arm", "ilt1", status=1)
    assert "other errors than recorded in 1 of" in done
    assert "0 of 5 runs are there" in run(clone, "ilt", "ablate", "--read", *arms)
    assert "other errors than recorded" in run(clone, "ilt", "ablate", "--verify", "--arm", "ilt1", status=1)
    assert json.loads(record.read_text(encoding="utf-8")) == told
    record.unlink()
    assert "ilt1 is not recorded" in run(clone, "ilt", "ablate", "--verify", "--arm", "ilt1", status=1)
