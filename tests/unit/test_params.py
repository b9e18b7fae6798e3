"""params.yaml: what is wrong in it is named, and iterations override stages."""

from __future__ import annotations

import pytest

from ilt.errors import IltError
from ilt.params import (
    TRAINING_STAGES,
    default_learning_rate,
    load_params,
    ordered_iterations,
    read_params,
    training,
)
from ilt.stages.plan import notes, plan_files, resolve

CHAIN = {"it1": {"prev": "base"}, "it2": {"prev": "it1"}, "it3": {"prev": "it2"}}


@pytest.fixture
def load(tmp_path, write_params):
    def loaded(changes):
        return load_params(write_params(tmp_path, {"iterations": CHAIN} | changes))

    return loaded


def test_yaml_is_read_as_dvc_writes_it(tmp_path):
    """YAML 1.2: Norwegian is no truth value, and a rate without a point is a number."""
    (tmp_path / "params.yaml").write_text("languages:\n  no: {as: da}\nrate: 2e-05\n", encoding="utf-8")
    assert read_params(tmp_path / "params.yaml") == {"languages": {"no": {"as": "da"}}, "rate": 2e-5}
    (tmp_path / "params.yaml").write_text("a: [1", encoding="utf-8")
    with pytest.raises(IltError, match=r"params\.yaml is not YAML"):
        read_params(tmp_path / "params.yaml")


def test_the_repositorys_own_params_are_valid(load):
    assert ordered_iterations(load({})) == ["it1", "it2", "it3"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("fix.learnin_rate", 1e-3),  # no such key
        ("colour", "red"),
        ("focus.lora.rank", 4),
        ("seed", "many"),  # wrong type
        ("seed", -1),
        ("focus.lora.target_modules", "q_proj"),
        ("corpus.demo.languages", []),  # impossible value
        ("fix.lora.r", 0),
        ("feedback.gold_share", 1.5),
        ("select.keep", -0.1),
        ("select.method", "guess"),
        ("evaluate.normaliser", "mine"),
        ("adapter.mode", "merge"),
        ("label.beams", 0),
        ("train.learning_rate", float("nan")),
        ("train.learning_rate", 1e-300),
        ("train.learning_rate", 5.0),
        ("train.lr_factor", 1e300),
        ("train.lora.alpha", 1e-300),
        ("train.lora.target_modules", ["q_proj", "q_proj"]),
        ("train.max_grad_norm", 1e-300),
        ("train.weight_decay", 1e300),
        ("train.evaluations", 1_000_000),
        ("train.average", 1_000_000),
        ("train.batch_size", 10**9),
        ("train.batch_size", True),
        ("train.steps", 10**12),
        ("train.spec_augment.frequency_width", 1000),
        ("train.spec_augment.time_width", 10**6),
        ("train.spec_augment.time_masks", 10**6),
        ("label.perturb_noise", 1e300),
        ("label.beams", 100_000),
        ("label.similarity_neighbours", 10**9),
        ("evaluate.bootstrap", 2_000_000_000),
        ("evaluate.bootstrap", 2e9),
        ("mixture.temperature", 1e-300),
        ("adapter.scale", 1e-300),
        ("model.decode_batch", 10**9),
        ("model.max_chars_per_second", 1e-300),
        ("select.keep", True),
        ("select.similarity_weight", 1e300),
        ("select.max_compression_ratio", 1e-3),
        ("corpus.demo.languages", ["en", "en"]),
        ("corpus.demo.pool", 10**12),
        ("corpus.demo.target.noise_snr", [-1e9, 5.0]),
        ("corpus.min_duration", 1e9),
        ("corpus.cut.pause", 1e9),
        ("seed", 2**63),
        ("report.price_per_hour", 1e300),
        ("iterations.it2.label.beam", 2),  # the same in an override
        ("iterations.it2.fix.lora.r", -1),
        ("iterations.it2.tune", {"steps": 3}),  # no such stage
        ("iterations.it2.prev", "it9"),
        ("iterations.it2.prev", None),
        pytest.param(
            "train.learning_rate",
            float("inf"),
        ),
        pytest.param(
            "iterations.it2.fix",
            3,
        ),
        pytest.param(
            "iterations.it2.prev",
            ["it1"],
        ),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(load, key, value):
    with pytest.raises(IltError) as caught:
        load({key: value})
    assert key in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"corpus.max_duration": 0.01}, "corpus: max_duration 0.01 must be above min_duration, 0.1"),
        ({"corpus.cut.padding": 5.0, "corpus.cut.max_duration": 8.0}, "corpus.cut: padding of 5 s on both sides"),
        ({"select.min_chars_per_second": 50.0}, "select: min_chars_per_second 50 must be below"),
        (
            {"iterations.it1.select.keep": 0, "select.min_rows": 0},
            "iterations.it1.select: keep and min_rows are both 0",
        ),
        (
            {"iterations.it1.correct.keep": 0, "select.min_rows": 0},
            "iterations.it1.correct: keep and min_rows are both 0",
        ),
    ],
)
def test_values_that_exclude_one_another_are_refused(load, changes, message):
    with pytest.raises(IltError) as caught:
        load(changes)
    assert message in str(caught.value)


def test_a_learning_rate_is_bounded_with_its_factor(load):
    resolved = resolve(load({"train.learning_rate": 0.5, "iterations.it1.focus.lr_factor": 100.0}))
    with pytest.raises(IltError, match=r"iterations\.it1\.focus \(learning_rate times lr_factor\)\.learning_rate"):
        resolved.training("it1", "focus")


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"train.gold_share": 0.0},
            "iterations.it1.feedback: gold_share is 0, so that it trains on pseudo-labels alone",
        ),
        ({"focus.gold_share": 0.5}, "focus.gold_share has no effect: focus has gold alone"),
        ({"iterations.it2.focus.gold_share": 0.5}, "iterations.it2.focus.gold_share has no effect"),
        ({"train.evaluations": 300}, "iterations.it1.focus: of 300 evaluations, 100 are made, one a step"),
        ({"train.average": 60}, "iterations.it1.focus: average is 60, and the second half has 50 steps"),
        ({"corpus.manifest": "m.jsonl"}, "corpus.manifest has no effect: corpus.source is demo"),
        ({"model.prompts": {"en": "Write: "}}, "model.prompts has no effect: whisper takes none"),
    ],
)
def test_what_has_no_effect_is_said(load, changes, line):
    steps = {"iterations.it1.focus.steps": 100}
    assert not [one for one in notes(resolve(load(steps))) if "no effect" in one or "evaluations" in one]
    assert any(one.startswith(line) for one in notes(resolve(load(steps | changes))))


def test_all_wrong_values_are_named_at_once(load):
    with pytest.raises(IltError) as caught:
        load({"select.keep": 2, "colour": "red", "seed": "many"})
    assert all(key in str(caught.value) for key in ("select.keep", "colour", "seed"))


def test_a_section_that_has_no_default_is_named(tmp_path, write_params):
    path = write_params(tmp_path, {})
    path.write_text("seed: 1\n")
    with pytest.raises(IltError, match=r"iterations: Field required"):
        load_params(path)


def test_an_iteration_without_prev_is_refused(load):
    with pytest.raises(IltError, match=r"iterations\.it2\.prev: missing"):
        load({"iterations.it2": {}})


@pytest.mark.parametrize(
    "iterations",
    [
        {"it1": {"prev": "base"}, "it2": {"prev": "base"}},
        {"it1": {"prev": "base"}, "it2": {"prev": "it1"}, "it3": {"prev": "it1"}},
        {"it1": {"prev": "it2"}, "it2": {"prev": "it1"}},
        {"it1": {"prev": "base"}, "it2": {"prev": "it3"}, "it3": {"prev": "it2"}},
        {"it1": {"prev": "it1"}},
    ],
    ids=["two after base", "two after it1", "cycle", "cycle aside", "self"],
)
def test_iterations_that_are_no_chain_are_refused(load, iterations):
    with pytest.raises(IltError, match="they must form one chain"):
        load({"iterations": iterations})


@pytest.mark.parametrize("name", ["base", "1st", "a b", "it/1"])
def test_an_iteration_name_that_is_no_file_name_is_refused(load, name):
    with pytest.raises(IltError, match=f"iterations.{name}"):
        load({"iterations": {name: {"prev": "base"}}})


def test_no_iterations_at_all_are_refused(load):
    with pytest.raises(IltError, match="iterations: at least one"):
        load({"iterations": {}})


def test_the_order_follows_prev_and_not_the_file(load):
    params = load({"iterations": {"c": {"prev": "a"}, "b": {"prev": "c"}, "a": {"prev": "base"}}})
    assert ordered_iterations(params) == ["a", "c", "b"]


def test_an_override_holds_in_its_iteration_alone(load):
    params = load({"fix.lora.r": 8, "iterations.it2.fix": {"lora": {"r": 4}}})
    ranks = {name: training(params, name, "fix").lora.r for name in ordered_iterations(params)}
    assert ranks == {"it1": 8, "it2": 4, "it3": 8}
    assert training(params, "it2", "fix").lora.alpha == training(params, "it1", "fix").lora.alpha
    assert training(params, "it2", "feedback") == training(params, None, "feedback")


@pytest.mark.parametrize(("steps", "epochs"), [(10, 2.0), (None, None)])
def test_exactly_one_of_steps_and_epochs_must_be_set(load, steps, epochs):
    with pytest.raises(IltError, match="focus: exactly one of steps and epochs"):
        load({"focus.steps": steps, "focus.epochs": epochs})


def test_an_epoch_of_gold_needs_gold(load):
    with pytest.raises(IltError, match=r"fix: an epoch is one pass over gold, of which gold_share 0 has none"):
        load({"fix.steps": None, "fix.epochs": 1.0, "fix.gold_share": 0.0})


@pytest.mark.parametrize("mode", ["single", "full"])
def test_one_training_on_gold_does_not_depend_on_the_first_stage_alone(load, mode):
    """It takes the steps of all stages: that the first has none must not skip it."""
    none = dict.fromkeys(("iterations.it1.feedback.steps", "iterations.it1.fix.steps"), 0)
    last = {f"iterations.{name}.{stage}.steps": 0 for name in ("it2", "it3") for stage in TRAINING_STAGES}
    first = {"adapter.mode": mode, "iterations.it1.focus.steps": 0}

    def skip(changes):
        return plan_files(resolve(load(changes)))["it1/focus"]["parameters"]["skip"]

    assert skip(first) is None
    assert skip(first | none | last) == "all stages have 0 steps"


def test_overriding_epochs_unsets_steps_and_the_other_way_round(load):
    params = load(
        {
            "fix.steps": 10,
            "fix.epochs": None,
            "focus.steps": None,
            "focus.epochs": 2.0,
            "iterations.it2.fix.epochs": 3,
            "iterations.it2.focus.steps": 7,
        }
    )
    fix, focus = training(params, "it2", "fix"), training(params, "it2", "focus")
    assert (fix.steps, fix.epochs) == (None, 3.0)
    assert (focus.steps, focus.epochs) == (7, None)
    assert training(params, "it1", "fix").steps == 10


def test_an_override_of_both_steps_and_epochs_is_refused(load):
    with pytest.raises(IltError, match=r"iterations\.it2\.fix: exactly one"):
        load({"iterations.it2.fix": {"steps": 3, "epochs": 1}})


def test_a_manifest_corpus_needs_a_manifest(load):
    with pytest.raises(IltError, match=r"corpus\.manifest"):
        load({"corpus.source": "manifest", "corpus.manifest": None})


def test_a_missing_file_and_one_that_is_not_yaml_are_refused(tmp_path):
    path = tmp_path / "params.yaml"
    with pytest.raises(IltError, match="missing"):
        load_params(path)
    path.write_text("seed: [1\n")
    with pytest.raises(IltError, match="not YAML"):
        load_params(path)


def test_full_fine_tuning_has_no_adapter_to_scale(load):
    with pytest.raises(IltError, match=r"scale is for adapters"):
        load({"adapter.mode": "full", "adapter.scale": 0.9})


def test_a_wrong_value_of_a_section_is_named_there_though_iterations_override_it(load):
    overrides = {f"iterations.{name}.fix": {"steps": 3} for name in ("it1", "it2", "it3")}
    with pytest.raises(IltError, match=r"\n  fix\.lora\.dropout: "):
        load({"fix.lora.dropout": 2.0} | overrides)


@pytest.mark.parametrize(
    ("width", "rate", "known"),
    [(192, 1.6e-3, "measured on the demo"), (512, 5e-4, "measured on whisper-base"), (384, 7e-4, "a guess"),
     (768, 3e-4, "a guess"), (4096, 1e-4, "a guess"), (None, 1e-4, "not known")],
)  # fmt: skip
def test_without_a_learning_rate_it_goes_by_the_models_width(width, rate, known):
    value, source = default_learning_rate(width)
    assert value == rate and known in source


def test_one_learning_rate_is_all_and_stages_say_factors(load):
    changes = {"train.learning_rate": 1e-4, "fix.lr_factor": 0.5, "iterations.it2.fix": {"lr_factor": 0.25}}
    plans = plan_files(resolve(load(changes)))
    rates = {key: plans[key]["parameters"]["train"]["learning_rate"] for key in ("it1/focus", "it1/fix", "it2/fix")}
    assert rates == {"it1/focus": 1e-4, "it1/fix": 5e-5, "it2/fix": 2.5e-5}


def test_a_key_that_every_iteration_overrides_is_named(load):
    steps = {f"iterations.{name}.focus": {"steps": 9} for name in ("it1", "it2", "it3")}
    assert any("focus.steps" in line for line in notes(resolve(load({"focus.steps": 5} | steps))))
    assert not any("focus.steps" in line for line in notes(resolve(load({"focus.steps": 5}))))
