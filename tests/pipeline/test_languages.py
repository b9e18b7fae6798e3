"""Languages: adapters of their own, how batches mix them, budgets, and what is outside of the target."""

import copy
import json
import subprocess
import sys
from collections import Counter

import numpy as np
import polars as pl
import pytest
import torch
from peft.tuners.lora import LoraLayer

from ilt import paths
from ilt.asr.batching import Batching
from ilt.asr.features import FeatureStore
from ilt.asr.lineage import AdapterLink, Lineage, base_lineage, read_lineage
from ilt.asr.transcribe import Decoding, transcribe_table
from ilt.corpus.checks import check_corpus
from ilt.corpus.intake import INTAKE_TABLE
from ilt.corpus.table import POOL_REFERENCE_TABLE, UTTERANCE_TABLE
from ilt.demo.corpus import demo_corpus
from ilt.errors import IltError
from ilt.labels.rules import RULES
from ilt.labels.selection import decide
from ilt.params import DemoParams, MixtureParams, SelectParams, TrainParams, load_params
from ilt.stages.plan import plan_files, resolve
from ilt.training.batches import Composition, plan_batches
from ilt.training.data import Example, TrainingData
from ilt.training.jobs import TrainJob
from ilt.training.mixture import LEAST_STEPS, allocate_steps, language_weights
from ilt.training.trainer import Trainer


@pytest.fixture(scope="module")
def adapters(load_model, tmp_path_factory):
    """Three LoRA adapters with random weights, of different layers, as PEFT saves them."""
    from peft import LoraConfig, get_peft_model

    base, folders = load_model().model, []
    for number, modules in enumerate((["q_proj", "fc1"], ["v_proj", "fc1"], ["k_proj", "q_proj"])):
        torch.manual_seed(number)
        model = get_peft_model(copy.deepcopy(base), LoraConfig(r=4, lora_alpha=8, target_modules=modules))
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.05)
        folders.append(tmp_path_factory.mktemp("adapters") / f"adapter{number}")
        model.save_pretrained(str(folders[-1]))
    return folders


@pytest.fixture(scope="module")
def own_adapters(base_folder, adapters):
    """A lineage of one shared adapter, with adapters of their own for German and Spanish over it."""
    lineage = base_lineage(str(base_folder), None).with_adapter(adapters[0])
    return lineage.with_adapter(adapters[1], "de").with_adapter(adapters[2], "es", scale=0.5)


def test_a_lineage_without_languages_is_written_and_hashed_as_ever(base_folder, adapters, tmp_path):
    lineage = base_lineage(str(base_folder), None).with_adapter(adapters[0])
    lineage.write(tmp_path / "plain.json")
    link = json.loads((tmp_path / "plain.json").read_text(encoding="utf-8"))["adapters"][0]
    assert set(link) == {"path", "hash"}
    assert lineage.adapters[0].identity == link["hash"]


def test_a_lineage_with_adapters_of_languages_is_read_back_and_named_by_all_of_them(own_adapters, tmp_path):
    own_adapters.write(tmp_path / "it1.json")
    assert read_lineage(tmp_path / "it1.json") == own_adapters
    assert own_adapters.adapter_languages == ["de", "es"]
    assert [link.path for link in own_adapters.shared.adapters] == [own_adapters.adapters[0].path]
    plain = [AdapterLink(link.path, link.hash) for link in own_adapters.adapters]
    assert len({own_adapters.hash, Lineage(own_adapters.id, None, own_adapters.content, tuple(plain)).hash}) == 2


def test_an_adapter_says_which_stage_of_which_language_it_is():
    assert AdapterLink("data/iterations/it2/adapters/fix/de", "", "de").stage == "it2.fix.de"
    assert AdapterLink("data/iterations/it2/adapters/focus", "").stage == "it2.focus"
    assert AdapterLink("data/iterations/it2/adapters/fix/de", "").iteration == "it2"


def test_switching_adapters_gives_the_weights_of_each_language_bit_for_bit(load_model, own_adapters):
    recogniser = load_model(lineage=own_adapters)
    for language in ("de", "en", "es", "de"):
        recogniser.language_adapters.switch([language])
        alone = load_model(lineage=own_adapters.of_language(language))
        assert alone.language_adapters is None
        theirs = alone.model.state_dict()
        for name, weight in recogniser.model.state_dict().items():
            assert torch.equal(weight, theirs[name]), (language, name)


def test_a_batch_of_two_languages_with_adapters_of_their_own_is_refused(load_model, own_adapters, spoken_table):
    recogniser = load_model(lineage=own_adapters)
    store = FeatureStore(spoken_table, recogniser.extractor, 0)
    with pytest.raises(IltError, match="de, es needs more than one language adapter"):
        recogniser.transcribe([store["u0"], store["u1"]], ["de", "es"])


def test_each_language_of_a_table_is_decoded_with_its_own_adapter(
    load_model, own_adapters, spoken_table, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    recogniser = load_model(lineage=own_adapters)
    store = FeatureStore(spoken_table, recogniser.extractor, 0)
    together = transcribe_table(recogniser, spoken_table, store, Decoding(Batching(64)))
    for language in ("de", "en", "es"):
        alone = load_model(lineage=own_adapters.of_language(language))
        rows = spoken_table.filter(pl.col("language") == language)
        expected = transcribe_table(alone, rows, store, Decoding(Batching(64)))
        own = together.filter(pl.col("id").is_in(rows["id"].implode()))
        assert own.equals(expected), language


def test_a_scaled_adapter_moves_the_weights_less(load_model, base_folder, adapters):
    base = load_model().model.state_dict()
    whole, half = (
        load_model(lineage=base_lineage(str(base_folder), None).with_adapter(adapters[0], scale=scale))
        for scale in (1.0, 0.5)
    )
    moved = whole.model.state_dict()
    for name, weight in half.model.state_dict().items():
        assert torch.allclose(weight - base[name], 0.5 * (moved[name] - base[name]), atol=1e-6), name
    assert whole.lineage.hash != half.lineage.hash


def test_an_adapter_is_judged_as_it_will_be_used(load_model, spoken_table, monkeypatch, tmp_path):
    """With adapter.scale, the dev error that chooses a checkpoint is that of the model that is then merged."""
    monkeypatch.chdir(tmp_path)
    recogniser = load_model()
    store = FeatureStore(spoken_table, recogniser.extractor, 64)
    gold = [Example(*row) for row in spoken_table.select("id", "language", "text").iter_rows()]
    seen = []

    def scales():
        layers = [module for module in recogniser.model.modules() if isinstance(module, LoraLayer)]
        return {layer.scaling["default"] for layer in layers}

    def judge(_):
        seen.append(scales())
        return np.array([10 - len(seen)]), np.array([10])

    values = {"lora": {"r": 2, "target_modules": ["q_proj"]}, "learning_rate": 1e-3, "steps": 2,
              "batch_size": 2, "evaluations": 1, "spec_augment": {}}  # fmt: skip
    params, folder = TrainParams.model_validate(values), tmp_path / "adapter"
    job = TrainJob(lambda: recogniser, TrainingData(gold), params, folder, tmp_path / "work")
    Trainer(store, lambda *_: judge, scale=0.25).train(job)
    assert seen == [{2 * 0.25}] * 2
    assert scales() == {2.0}


GOLD = [Example(f"{code}{n}", code, "x") for code, count in (("de", 90), ("ko", 10)) for n in range(count)]
REPLAY = [Example(f"r{n}", "de", "x") for n in range(20)]
LENGTHS = {example.id: 1 + number % 7 for number, example in enumerate([*GOLD, *REPLAY])}


def _languages(temperature):
    plan = plan_batches(TrainingData(GOLD), LENGTHS, Composition(16, temperature=temperature), 200, 1)
    counts = Counter(example.language for batch in plan for example in batch)
    return counts["ko"] / counts.total()


def test_temperature_one_draws_languages_as_they_are_and_a_large_one_alike():
    assert _languages(1.0) == pytest.approx(0.1, abs=0.005)
    assert 0.2 < _languages(3.0) < 0.45
    assert _languages(1e9) == pytest.approx(0.5, abs=0.02)


def test_every_utterance_of_a_language_comes_before_one_comes_again():
    plan = plan_batches(TrainingData(GOLD), LENGTHS, Composition(10, temperature=1e9), 100, 1)
    counts = Counter(example.id for batch in plan for example in batch if example.language == "ko")
    assert max(counts.values()) - min(counts.values()) <= 1


def test_replay_has_its_share_and_gold_that_of_the_rest():
    pseudo = [Example(f"p{n}", "ko", "x") for n in range(50)]
    lengths = LENGTHS | {example.id: 3 for example in pseudo}
    composition = Composition(10, gold_share=0.5, replay_share=0.2)
    plan = plan_batches(TrainingData(GOLD, pseudo, REPLAY), lengths, composition, 100, 1)
    counts = Counter(example.id[0] for batch in plan for example in batch)
    assert counts["r"] == 200
    assert counts["p"] == 400
    assert counts.total() == 1000


def test_without_replay_rows_a_batch_is_as_before():
    data, replayed = TrainingData(GOLD), Composition(10, replay_share=0.5)
    assert plan_batches(data, LENGTHS, replayed, 9, 1) == plan_batches(data, LENGTHS, Composition(10), 9, 1)


@pytest.mark.parametrize("total", [2, 7, 60, 161])
def test_steps_are_shared_over_languages_and_none_is_lost(total):
    counts = {"de": 500, "ko": 3}
    steps = allocate_steps(total, counts)
    assert sum(steps.values()) == total
    assert min(steps.values()) >= min(LEAST_STEPS, total // 2)
    assert steps["de"] >= steps["ko"]


def test_steps_follow_the_rows_and_the_temperature():
    assert allocate_steps(100, {"de": 300, "ko": 100}) == {"de": 75, "ko": 25}
    assert allocate_steps(100, {"de": 300, "ko": 100}, 1e9) == {"de": 50, "ko": 50}
    assert language_weights([0, 5], 2.0) == [0.0, 1.0]


def test_fewer_steps_than_languages_are_refused():
    with pytest.raises(IltError, match=r"1 steps are not enough for 2 languages.*\(de, ko\)"):
        allocate_steps(1, {"de": 1, "ko": 1})


def _labels():
    rows = [
        {"id": f"{code}{n}", "language": code, "split": "pool", "flags": [], "gold_similarity": 0.5,
         "expected_error": n / 100, "avg_logprob": -1.0, "selected": False, "reason": ""}
        for code in ("de", "ko") for n in range(10)
    ]  # fmt: skip
    return pl.DataFrame(rows, schema_overrides={"flags": pl.List(pl.String)})


def test_a_language_can_have_a_budget_of_its_own():
    params = SelectParams(keep=0.5, max_expected_error=1.0, min_rows=0, similarity_weight=0.0)
    rule, own = RULES.load("calibrated"), params.model_copy(update={"keep_by_language": {"ko": 0.9}})
    chosen = decide(_labels(), rule, own).filter("selected")
    assert dict(chosen.group_by("language").len().iter_rows()) == {"de": 5, "ko": 9}
    chosen = decide(_labels(), rule, params).filter("selected")
    assert dict(chosen.group_by("language").len().iter_rows()) == {"de": 5, "ko": 5}


@pytest.fixture
def load(write_params, tmp_path):
    return lambda changes: load_params(write_params(tmp_path, changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"adapter": {"mode": "single", "scope": "per_language"}}, "scope: per_language is for mode"),
        ({"adapter": {"mode": "continue", "scope": "shared+per_language"}}, "is for mode: merge_and_reset"),
        ({"adapter.scope": "each"}, r"adapter\.scope"),
        ({"mixture.replay_share": 1.0}, r"mixture\.replay_share"),
        ({"mixture.temperature": 0}, r"mixture\.temperature"),
        ({"adapter.scale": 0}, r"adapter\.scale"),
        ({"adapter.scale": 1.5}, r"adapter\.scale"),
        ({"select.keep_by_language": {"ko": 1.5}}, r"keep_by_language\.ko"),
        ({"languages": {"ko": {"from": "it9"}}}, r"languages\.ko\.from: there is no iteration 'it9'"),
        ({"languages": {"ko": {}}}, r"languages\.ko: say as: CODE"),
    ],
)
def test_what_cannot_be_is_one_clear_error(load, changes, message):
    with pytest.raises(IltError, match=message):
        load(changes)


ROWS = [("gold", "de"), ("gold", "ko"), ("pool", "ko"), ("dev", "de"), ("test", "de")]


@pytest.fixture
def run_intake(tmp_path, base_folder, write_params, monkeypatch):
    """A function that runs the stages plan and intake, of an iteration, on a small corpus of German and Korean."""
    (tmp_path / "data" / "models").mkdir(parents=True)
    (tmp_path / "data" / "models" / "demo-whisper").symlink_to(base_folder.resolve())
    monkeypatch.chdir(tmp_path)
    rows = [{"id": f"{split}-{code}", "split": split, "language": code} for split, code in ROWS]
    UTTERANCE_TABLE.write(pl.DataFrame(rows), paths.UTTERANCES)
    POOL_REFERENCE_TABLE.write(POOL_REFERENCE_TABLE.empty(), paths.POOL_REFERENCE)

    def run(iteration, changes):
        write_params(tmp_path, {"mixture.replay_share": 0.0} | changes)
        for stage in (["plan"], ["intake", iteration]):
            command = [sys.executable, "-m", f"ilt.stages.{stage[0]}", *stage[1:]]
            result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
            assert "Traceback" not in result.stderr, result.stderr
            assert stage == ["intake", iteration] or result.returncode == 0, result.stderr
        return result

    return run


@pytest.mark.parametrize(
    ("iteration", "changes", "message"),
    [
        ("it1", {"mixture.replay_share": 0.2}, "mixture.replay_share: there are no utterances of the split `replay`"),
        (
            "it1",
            {"select.keep_by_language": {"xx": 0.5}},
            "select.keep_by_language: 'xx' does not take part in it1; de, ko do",
        ),
        (
            "it2",
            {"iterations.it2.correct": {"keep_by_language": {"xx": 0.5}}},
            "correct.keep_by_language: 'xx' does not take part in it2",
        ),
        (
            "it2",
            {"adapter.scope": "per_language", "iterations.it2.focus": {"steps": 1}},
            "focus.steps: 1 in it2 cannot be shared by the adapters of 2 languages",
        ),
        (
            "it2",
            {"adapter.scope": "shared+per_language", "iterations.it2.fix": {"steps": 1}},
            "fix.steps: 1 in it2 cannot be shared",
        ),
    ],
)
def test_parameters_that_do_not_fit_the_corpus_end_the_intake(run_intake, iteration, changes, message):
    result = run_intake(iteration, changes)
    assert result.returncode == 1
    assert message in result.stderr


def test_a_language_that_is_not_there_yet_has_no_budget(run_intake):
    changes = {"languages": {"ko": {"from": "it2"}}, "select.keep_by_language": {"ko": 0.5}}
    result = run_intake("it1", changes)
    assert result.returncode == 1
    assert "the split 'pool' has no utterances" in result.stderr  # ko has the only rows of the pool
    assert run_intake("it2", changes).returncode == 0


def test_the_intake_has_the_languages_that_have_begun(run_intake):
    result = run_intake("it1", {"languages": {"it": {"from": "it2"}}})
    assert result.returncode == 0, result.stderr
    assert result.stdout == "  5 utterances; not yet: it\n"
    assert INTAKE_TABLE.read(paths.intake("it1"))["id"].to_list() == sorted(f"{split}-{code}" for split, code in ROWS)


def test_a_language_that_begins_later_changes_no_plan_before_that(load):
    plain = plan_files(resolve(load({})))
    later = plan_files(resolve(load({"languages": {"sw": {"as": "en", "from": "it3"}}})))
    assert {name for name in plain if plain[name] != later[name]} == {"corpus", "it1/intake", "it2/intake"} | {
        name for name in plain if name.startswith("it3/") and name not in ("it3/intake", "it3/evaluate")
    }


COUNTS = {"gold": 2, "pool": 2, "dev": 2, "test": 2, "retention": 6}


def _demo(languages, later=(), **counts):
    domains = {
        "source": {"patterns": ["digits"], "accents": "source"},
        "target": {"patterns": ["digits"], "accents": "target", "babble_snr": [20.0, 30.0]},
    }
    params = DemoParams.model_validate({"languages": languages, **COUNTS, **counts, **domains})
    return demo_corpus(params, 3, 6.0, later)


def test_a_later_language_leaves_what_others_say_as_it_was():
    before, references = _demo(["de", "ko"])
    after, more = _demo(["de", "it", "ko"], [["it"]])
    assert UTTERANCE_TABLE.conform(after.filter(pl.col("language") != "it")).equals(UTTERANCE_TABLE.conform(before))
    assert set(references["id"]) < set(more["id"])


def test_replay_is_source_speech_that_no_other_split_has():
    rows, _ = _demo(["de"], replay=12)
    without, _ = _demo(["de"])
    assert UTTERANCE_TABLE.conform(rows.filter(pl.col("split") != "replay")).equals(UTTERANCE_TABLE.conform(without))
    replay, retention = (rows.filter(pl.col("split") == split) for split in ("replay", "retention"))
    assert len(replay) == 12
    assert not set(replay["text"]) & set(retention["text"])
    others = rows.filter(pl.col("split") != "replay")
    assert not set(replay["speaker"]) & set(others["speaker"])


def test_languages_that_are_only_kept_need_no_gold():
    rows = [
        ("gold", "de"),
        ("pool", "de"),
        ("dev", "de"),
        ("test", "de"),
        ("retention", "ko"),
        ("replay", "fr"),
    ]
    check_corpus(pl.DataFrame(rows, schema=["split", "language"], orient="row"))


def test_the_default_mixture_is_the_old_one():
    assert MixtureParams() == MixtureParams(temperature=1.0, replay_share=0.0)
