"""Transcribing a table: finished shards are kept, the order of rows does not matter; labels from its decodes."""

import polars as pl
import pytest

from ilt.asr import transcribe
from ilt.asr.batching import Batching
from ilt.asr.families import load_recogniser
from ilt.asr.features import FeatureStore
from ilt.asr.lineage import base_lineage
from ilt.asr.transcribe import Decoding, Perturbation, perturb, transcribe_table
from ilt.demo.corpus import demo_corpus
from ilt.labels.labelling import Labelling, label_rows
from ilt.params import DemoParams, LabelParams, RecogniserParams


@pytest.fixture(scope="module")
def setting(base_folder):
    counts = {"gold": 3, "pool": 3, "dev": 3, "test": 3, "retention": 0}
    demo = DemoParams(languages=["en", "ru"], **counts)
    rows, _ = demo_corpus(demo, seed=3, max_duration=6.0)
    recogniser = load_recogniser(base_lineage(str(base_folder), None), RecogniserParams(id=str(base_folder)))
    return recogniser, rows, FeatureStore(rows, recogniser.extractor, 0)


def test_a_killed_run_goes_on_from_its_last_shard(setting, tmp_path, monkeypatch):
    recogniser, rows, store = setting
    monkeypatch.setattr(transcribe, "SHARD", 2)
    whole = transcribe_table(recogniser, rows, store, Decoding(Batching(2)))

    class Counting:
        """The recogniser, until it is killed in the middle of a batch."""

        lineage = recogniser.lineage

        def __init__(self, limit):
            self.limit, self.calls = limit, 0

        def transcribe(self, *arguments):
            if self.calls == self.limit:
                raise RuntimeError("killed")
            self.calls += 1
            return recogniser.transcribe(*arguments)

    with pytest.raises(RuntimeError, match="killed"):
        transcribe_table(Counting(5), rows, store, Decoding(Batching(2)), work=tmp_path)
    rest = Counting(100)
    assert transcribe_table(rest, rows, store, Decoding(Batching(2)), work=tmp_path).equals(whole)
    assert rest.calls == len(rows) // 2 - 4  # two shards of two batches were finished


def test_the_order_of_rows_does_not_matter(setting):
    recogniser, rows, store = setting
    straight = transcribe_table(recogniser, rows, store, Decoding(Batching(4)))
    shuffled = transcribe_table(
        recogniser, rows.sample(fraction=1.0, shuffle=True, seed=1), store, Decoding(Batching(4))
    )
    assert straight.equals(shuffled)


def test_perturbed_speech_is_faster_and_always_the_same(setting):
    _, rows, store = setting
    features = store[rows["id"][0]]
    once, again = (perturb(features, speed=1.25, noise=0.1, seed=5) for _ in range(2))
    assert once.shape == (80, round(features.shape[1] / 1.25))
    assert once.equal(again)


def test_evidence_is_complete(setting):
    recogniser, rows, store = setting
    decoded = transcribe_table(recogniser, rows, store, Decoding(Batching(4), embed=True))
    assert decoded["avg_logprob"].is_between(-20, 0).all()
    assert (decoded["min_logprob"] <= decoded["avg_logprob"] + 1e-6).all()
    assert decoded["no_speech_prob"].is_between(0, 1).all()
    assert set(decoded["detected_language"]) <= set(recogniser.language_ids)
    assert decoded["embedding"].list.len().unique().to_list() == [recogniser.model.config.d_model]
    assert decoded.select(pl.all().exclude("embedding").null_count()).row(0) == (0,) * (decoded.width - 1)


def test_labels_are_a_plain_and_a_perturbed_decode_of_pool_and_dev(setting):
    recogniser, rows, store = setting
    params, batching = LabelParams(perturb_speed=1.3, perturb_noise=0.4), Batching(4)
    part = rows.filter(pl.col("split").is_in(["pool", "dev"])).sort("id")
    previous = part.head(1).select("id", text=pl.lit("nine"))
    labels = label_rows(recogniser, rows, previous, store, Labelling(params, batching, seed=3), None)
    assert labels.select("id", "language", "split").equals(part.select("id", "language", "split"))
    plain = transcribe_table(recogniser, part, store, Decoding(batching))
    perturbed = transcribe_table(recogniser, part, store, Decoding(batching, perturbation=Perturbation(1.3, 0.4, 3)))
    assert labels["text"].equals(plain["text"])
    assert labels["perturbed_text"].equals(perturbed["text"])
    assert labels["perturbed_logprob"].equals(perturbed["avg_logprob"].alias("perturbed_logprob"))
    assert not labels["perturbed_logprob"].equals(labels["avg_logprob"])
    assert labels["gold_similarity"].is_between(-1, 1).all()
    assert labels["previous_text"].to_list() == ["nine"] + [None] * (len(part) - 1)
    assert "embedding" not in labels.columns and labels["flags"].null_count() == 0
