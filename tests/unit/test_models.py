"""Whisper of every kind, as the released checkpoints are written: prompts, languages, decoding, training."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import soundfile
import torch
from transformers.models.whisper.tokenization_whisper import LANGUAGES

from ilt.asr.batching import Batching
from ilt.asr.device import LONG_CONTEXT, pick_attention
from ilt.asr.families import load_recogniser
from ilt.asr.features import FeatureStore, pad_features
from ilt.asr.languages import check_languages, known_languages, note_language_alias
from ilt.asr.lineage import base_lineage
from ilt.asr.tokens import control_tokens, plain_encoder
from ilt.asr.transcribe import Decoding, perturb, transcribe_table
from ilt.asr.whisper.texts import load_texts
from ilt.errors import IltError
from ilt.params import LoraParams, RecogniserParams, SpecAugmentParams, TrainParams
from ilt.stages._stage import Run, stage_named
from ilt.stages.plan import resolve
from ilt.training.data import Example, TrainingData
from ilt.training.jobs import TrainJob
from ilt.training.trainer import Trainer
from small_whisper import CHECKPOINTS, CONTEXT, build, tokenizer_of

KINDS = list(CHECKPOINTS)
MULTILINGUAL = [kind for kind in KINDS if not CHECKPOINTS[kind].english]
ENGLISH = "tiny.en to medium.en"


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("checkpoints")
    return {kind: build(root / kind.replace(" ", "-"), CHECKPOINTS[kind]) for kind in KINDS}


@pytest.fixture(scope="session")
def load(folders):
    """A function that loads a kind of checkpoint; other parameters of the model by name."""

    def loaded(kind, lineage=None, **changes):
        folder = str(folders[kind])
        params = RecogniserParams(id=folder, **changes)
        return load_recogniser(lineage or base_lineage(folder, None), params)

    return loaded


def _features(kind, *frames):
    torch.manual_seed(3)
    return [torch.randn(CHECKPOINTS[kind].mels, count).clamp(-1.5, 1.5) for count in frames]


def _prompt(recogniser, *tokens):
    return recogniser.tokenizer.convert_tokens_to_ids(["<|startoftranscript|>", *tokens, "<|notimestamps|>"])


def test_the_prompt_says_language_and_task_where_there_are_any(load):
    for kind in MULTILINGUAL:
        recogniser = load(kind)
        rows = recogniser.vocabulary.prefixes(["en", "de"]).tolist()
        assert rows == [_prompt(recogniser, f"<|{code}|>", "<|transcribe|>") for code in ("en", "de")]
    english = load(ENGLISH)
    assert english.vocabulary.prefixes(["en"]).tolist() == [_prompt(english)]


def test_languages_are_those_of_the_checkpoint(load, folders):
    ninety_nine = set(LANGUAGES) - {"yue"}
    for kind, languages in (
        ("tiny to large-v2", ninety_nine),
        ("large-v3", set(LANGUAGES)),
        ("without generation_config.json", ninety_nine),
        (ENGLISH, {"en"}),
    ):
        assert load(kind).vocabulary.languages == languages
        assert known_languages(str(folders[kind])) in (languages, None)
    with pytest.raises(IltError, match=r"'yue'.*99 languages(.|\n)*languages\.yue\.as"):
        load("tiny to large-v2").transcribe(_features("tiny to large-v2", 50), ["yue"])


# Without generation_config.json transformers takes no language.
@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if CHECKPOINTS[kind].tables])
def test_decoding_is_that_of_transformers(load, kind, beams):
    recogniser = load(kind, audio_context="full", max_chars_per_second=None)
    features, own = _features(kind, 300), recogniser.vocabulary
    (ours,) = recogniser.transcribe(features, ["en"], beams=beams)
    prompt = {} if CHECKPOINTS[kind].english else {"language": "en", "task": "transcribe"}
    theirs = recogniser.model.generate(
        pad_features(features, recogniser.max_frames), num_beams=beams, **prompt,
        max_new_tokens=recogniser.max_tokens + 1,
        suppress_tokens=own.banned.tolist(), begin_suppress_tokens=own.banned_first.tolist(),
    )  # fmt: skip
    assert ours.text == own.decode(theirs)[0]
    assert len(ours.text) > 20


@pytest.mark.parametrize("beams", [1, 2])
def test_odd_generation_settings_change_nothing(load, folders, tmp_path, beams, caplog):
    kind = "large-v3"
    plain = load(kind).transcribe(_features(kind, 200, 80), ["en", "de"], beams=beams)
    folder = Path(shutil.copytree(folders[kind], tmp_path / "odd"))
    path = folder / "generation_config.json"
    values = json.loads(path.read_text())
    values["suppress_tokens"] += [-1, 10**6]
    values |= {"forced_decoder_ids": None, "max_length": 5, "num_beams": 7, "return_timestamps": True}
    path.write_text(json.dumps(values | {"language": "fr", "task": "translate"}))
    params = RecogniserParams(id=str(folder))
    odd = load_recogniser(base_lineage(str(folder), None), params)
    decoded = odd.transcribe(_features(kind, 200, 80), ["en", "de"], beams=beams)
    assert [one.text for one in decoded] == [one.text for one in plain]
    assert not [record for record in caplog.records if "max_length" in record.message]


def test_beam_search_in_a_batch_of_languages_is_that_of_each_alone_and_keeps_the_limit(load):
    recogniser = load("large-v3", audio_context="full", max_chars_per_second=8.0)
    features, languages = _features("large-v3", 200, 60), ["de", "en"]
    together = recogniser.transcribe(features, languages, beams=2)
    for feature, language, one in zip(features, languages, together, strict=True):
        (alone,) = recogniser.transcribe([feature], [language], beams=2)
        assert one.text == alone.text
        assert len(one.text) < 40 and not one.finished


def test_an_english_only_checkpoint_says_that_it_cannot_have_a_language(load):
    with pytest.raises(IltError, match=r"'de', 'fr'; it has English alone") as caught:
        load(ENGLISH).loss(_features(ENGLISH, 50, 50, 50), ["en", "de", "fr"], ["two"] * 3)
    assert "languages.de.as" in str(caught.value)


def test_a_language_that_another_stands_in_for(load):
    kind = "tiny to large-v2"
    recogniser, plain = load(kind, languages={"pcm": "en", "mdw": "fr"}), load(kind)
    features = _features(kind, 120, 120)
    mapped = recogniser.transcribe(features, ["pcm", "mdw"])
    direct = plain.transcribe(features, ["en", "fr"])
    assert [one.text for one in mapped] == [one.text for one in direct]
    for one, other, code, stand_in in zip(mapped, direct, ("pcm", "mdw"), ("en", "fr"), strict=True):
        expected = code if other.detected_language == stand_in else other.detected_language
        assert one.detected_language == expected
    assert torch.equal(
        recogniser.loss(features, ["pcm", "mdw"], ["two", "six"]),
        plain.loss(features, ["en", "fr"], ["two", "six"]),
    )


def test_unknown_languages_are_one_error_and_mapped_ones_are_said_in_the_table():
    with pytest.raises(IltError) as caught:
        check_languages(["pcm", "en", "pcm", "mdw"], frozenset({"en", "fr"}), {"mdw": "xx"}, "some/model")
    message = str(caught.value)
    assert "'mdw', 'pcm'" in message and "languages.pcm.as: CODE" in message
    assert "languages.mdw.as: 'xx' is no language of it either" in message
    frame = pl.DataFrame({"language": ["pcm", "en"], "reason": ["kept: gold", "undecided"]})
    for _ in range(2):  # a second time changes nothing
        frame = note_language_alias(frame, {"pcm": "en"})
        assert frame["reason"].to_list() == ["kept: gold; decoded as en", "undecided"]


@pytest.mark.parametrize(("name", "code"), [("de-DE", "de"), ("EN", "en"), ("eng", "en"), ("English", "en")])
def test_another_name_of_a_language_is_answered_with_its_code_and_no_alias(name, code):
    with pytest.raises(IltError) as caught:
        check_languages([name], frozenset({"de", "en"}), {}, "some/model")
    assert f"  {name}: write {code!r}" in str(caught.value) and "as: " not in str(caught.value)


def test_the_plan_takes_the_mapping_to_every_stage_that_needs_it(tmp_path, base_folder, write_params):
    from ilt.params import load_params

    changes = {"model.id": str(base_folder), "languages": {"pcm": {"as": "en"}}}
    resolved, mapped = resolve(load_params(write_params(tmp_path, changes))), {"pcm": "en"}
    for name in ("corpus", "select"):
        assert stage_named(name).resolve(resolved, "it1").language_alias == mapped
    for name in ("baseline", "focus", "label", "feedback", "correct", "fix", "predict"):
        assert stage_named(name).resolve(resolved, "it1").model.languages == mapped
    for wrong in ({"model.languages": mapped}, {"languages": {"pcm": {"as": "mdw"}, "mdw": {"as": "en"}}}):
        with pytest.raises(IltError, match=r"languages\.(CODE|mdw)\.as"):
            load_params(write_params(tmp_path, wrong))


def test_a_corpus_in_an_unknown_language_is_refused_until_the_language_is_mapped(
    spoken_table, folders, tmp_path, monkeypatch, write_params
):
    from ilt import paths
    from ilt.corpus.table import UTTERANCE_TABLE
    from ilt.params import load_params

    monkeypatch.chdir(tmp_path)
    rows = spoken_table.filter(pl.col("language") == "en")
    lines = []
    for key, audio, split in zip(rows["id"], rows["audio"].struct.field("bytes"), ("gold", "pool", "dev"), strict=True):
        (tmp_path / f"{key}.flac").write_bytes(audio)
        lines.append({"audio_filepath": f"{key}.flac", "text": "two", "lang": "pcm", "split": split})
    samples, rate = soundfile.read(tmp_path / "u1.flac")
    soundfile.write(tmp_path / "test.flac", samples * 0.5, rate)
    lines.append({"audio_filepath": "test.flac", "text": "two", "lang": "pcm", "split": "test"})
    (tmp_path / "m.jsonl").write_text("\n".join(map(json.dumps, lines)))

    def run(more=()):
        changes = {
            "model.id": str(folders["tiny to large-v2"]), "corpus.source": "manifest",
            "corpus.manifest": "m.jsonl",
        }  # fmt: skip
        resolved = resolve(load_params(write_params(tmp_path, changes | dict(more))))
        corpus = stage_named("corpus")
        corpus.body(Run(corpus, "base", corpus.resolve(resolved, "base"), code=""))

    with pytest.raises(IltError, match=r"4 found(.|\n)*m\.jsonl:1.*'pcm'.*languages: \{pcm: \{as"):
        run()
    assert not paths.UTTERANCES.exists()
    with pytest.raises(IltError, match=r"'de', 'es', .*English alone"):
        run({"corpus.source": "demo", "model.id": str(folders[ENGLISH])})
    run({"languages": {"pcm": {"as": "en"}}})
    assert set(UTTERANCE_TABLE.read(paths.UTTERANCES)["language"]) == {"pcm"}


def test_files_of_different_checkpoints_are_refused(folders, tmp_path):
    def mixed(name, *files):
        folder = Path(shutil.copytree(folders[ENGLISH], tmp_path / name))
        for file in files:
            shutil.copy(folders["large-v3"] / file, folder / file)
        params = RecogniserParams(id=str(folder))
        return load_recogniser(base_lineage(str(folder), None), params)

    with pytest.raises(IltError, match=r"80 mel bins.*makes 128"):
        mixed("mels", "preprocessor_config.json")
    with pytest.raises(IltError, match=r"a tokenizer of \d+ tokens but weights for \d+"):
        mixed("tokens", "tokenizer.json", "tokenizer_config.json")


@pytest.mark.parametrize(
    ("name", "device", "context", "attention"),
    [
        ("auto", "cpu", 30.0, "sdpa"),
        ("auto", "cpu", LONG_CONTEXT, "sdpa"),
        ("auto", "cpu", LONG_CONTEXT - 0.1, "eager"),
        ("auto", "cuda", 6.0, "sdpa"),
        ("eager", "cuda", 30.0, "eager"),
        ("sdpa", "cpu", 6.0, "sdpa"),
    ],
)
def test_attention_goes_by_the_context(name, device, context, attention):
    assert pick_attention(name, torch.device(device), context) == attention


def test_a_long_context_is_loaded_with_sdpa_and_a_short_one_with_eager_attention(load, load_model):
    assert load("large-v3").model.config._attn_implementation == "sdpa"  # 30 s
    assert load_model().model.config._attn_implementation == "eager"  # 6 s
    assert load("large-v3", attention="eager").model.config._attn_implementation == "eager"


def test_words_begin_with_a_space_where_the_vocabulary_has_such_words(load, load_model):
    released, small = load("large-v3").vocabulary, load_model().vocabulary
    assert released.decode([released.encode("two six")]) == ["two six"]
    assert released.tokenizer.decode(released.encode(" two")) == " two"
    assert released.tokenizer.decode(released.encode("two", "ja")) == "two"
    assert small.tokenizer.decode(small.encode("two")) == "two"


CONTROL = ("<|startoftranscript|><|de|> hallo", "hallo <|endoftext|> welt", "<|0.02|> hallo <|notimestamps|>")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", CONTROL)
def test_the_names_of_control_tokens_are_text(load, kind, text):
    """Time stamps too, which the released tokenizers do not mark as special."""
    vocabulary = load(kind).vocabulary
    control = {index for index, token in vocabulary.tokenizer.added_tokens_decoder.items() if "<|" in token.content}
    assert len(control) > 1501
    tokens = vocabulary.encode(text)
    assert not control & set(tokens)
    assert vocabulary.tokenizer.backend_tokenizer.decode(tokens) == f" {text}"
    # As transformers encodes a text without such names.
    plain = " two six zero, (nine)"
    assert vocabulary.encode(plain) == vocabulary.tokenizer(plain, add_special_tokens=False).input_ids


def test_control_tokens_are_known_without_the_list_in_tokenizer_config(folders, tmp_path):
    folder = Path(shutil.copytree(folders["large-v3"], tmp_path / "short"))
    path = folder / "tokenizer_config.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps({key: value for key, value in values.items() if "special_tokens" not in key}))
    vocabulary = load_recogniser(base_lineage(str(folder), None), RecogniserParams(id=str(folder))).vocabulary
    assert len(vocabulary.tokenizer.all_special_ids) < 5
    control = {index for index, token in vocabulary.tokenizer.added_tokens_decoder.items() if "<|" in token.content}
    assert control - {vocabulary.end} <= set(vocabulary.banned.tolist())
    for text in CONTROL:
        assert not control & set(vocabulary.encode(text))


def test_a_tokenizer_that_is_saved_with_a_length_cuts_no_label(load):
    vocabulary, text = load("large-v3").vocabulary, "one two three four five six"
    whole = vocabulary.encode(text)
    vocabulary.tokenizer.backend_tokenizer.enable_truncation(3)
    assert vocabulary.encode(text) == plain_encoder(vocabulary.tokenizer, set())(f" {text}") == whole
    vocabulary.tokenizer.backend_tokenizer.no_truncation()


def test_a_word_that_was_added_to_a_tokenizer_stays_one_token():
    tokenizer = tokenizer_of(CHECKPOINTS["large-v3"])
    tokenizer.add_tokens(["Grüezi"])
    word, end = tokenizer.convert_tokens_to_ids(["Grüezi", "<|endoftext|>"])
    tokens = plain_encoder(tokenizer, control_tokens(tokenizer))("Grüezi<|endoftext|>")
    assert tokens[0] == word and end not in tokens


def test_a_label_that_is_too_long_is_refused_and_one_that_just_fits_is_not(load):
    recogniser = load("large-v3")
    fits = "one" * (CONTEXT * 3)
    while not recogniser.fits(fits):
        fits = fits[:-1]
    longer = fits + "one" * 9
    assert torch.isfinite(recogniser.loss(_features("large-v3", 50), ["en"], [fits]))
    assert not recogniser.fits(longer)
    with pytest.raises(IltError, match=f"longer than the {recogniser.max_tokens}"):
        recogniser.loss(_features("large-v3", 50), ["en"], [longer])


@pytest.mark.parametrize("kind", KINDS)
def test_the_import_of_a_corpus_counts_tokens_as_training_does(load, folders, kind):
    alias = {"pcm": "en", "wuu": "zh"}
    texts, vocabulary = load_texts(str(folders[kind]), None, alias), load(kind, languages=alias).vocabulary
    assert texts.max_tokens == vocabulary.max_tokens
    for text in ("two six zero", "<|endoftext|> Grüße", "二六零", ""):
        for language in ("en", "zh", "pcm", "wuu"):
            assert texts.encode(text, language) == vocabulary.encode(text, language)


def test_audio_that_is_too_long_is_refused_and_none_at_all_is_silence(load):
    recogniser = load("large-v3")
    with pytest.raises(IltError, match=r"3001 mel frames is longer than the 3000"):
        recogniser.transcribe(_features("large-v3", 3001), ["en"])
    assert recogniser.transcribe([], []) == []
    silence = recogniser.extractor(torch.zeros(1600).numpy(), sampling_rate=16000).input_features[0]
    nothing, silent = torch.zeros(128, 0), torch.from_numpy(silence)
    assert torch.allclose(pad_features([nothing], 3000)[0], silent[:, :3000])
    (silence_text,) = recogniser.transcribe([nothing], ["en"], embed=True)
    assert silence_text.compression_ratio >= 0
    stretched = perturb(_features("large-v3", 2900)[0], 0.8, 0.0, 1, recogniser.max_frames)
    assert stretched.shape[1] == 3000


TRAIN = TrainParams(
    lora=LoraParams(r=4, target_modules=["q_proj", "v_proj", "fc1"]),
    learning_rate=5e-3, steps=3, batch_size=4, evaluations=1, spec_augment=SpecAugmentParams(),
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_an_adapter_is_trained_merged_and_loaded_again(load, spoken_table, tmp_path, kind):
    recogniser = load(kind)
    table = spoken_table.filter(pl.col("language") == "en")
    store = FeatureStore(table, recogniser.extractor, 0)
    gold = [Example(*row) for row in table.select("id", "language", "text").iter_rows()]
    batch = [store[e.id] for e in gold], [e.language for e in gold], [e.text for e in gold]

    def evaluate(model):
        with torch.no_grad():
            return np.array([float(model.loss(*batch))]), np.ones(1)

    job = TrainJob(lambda: recogniser, TrainingData(gold), TRAIN, tmp_path / "adapter", tmp_path / "work")
    result = Trainer(store, lambda *_: evaluate).train(job)
    assert result.kept_dev_error < result.history[0]["dev_error"]
    again = load(kind, recogniser.lineage.with_adapter(tmp_path / "adapter"))
    assert evaluate(again)[0][0] == pytest.approx(result.kept_dev_error, abs=1e-4)
    decoded = transcribe_table(again, table, store, Decoding(Batching(2)))
    assert decoded["avg_logprob"].is_finite().all() and len(decoded) == len(table)
