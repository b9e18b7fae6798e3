"""The label table: one row an utterance an iteration, with the evidence and the decision."""

from __future__ import annotations

import polars as pl

from ilt.tables import Table

__all__ = ["CORRECTIONS_TABLE", "LABEL_TABLE", "PREDICTION_TABLE"]

LABEL_TABLE = Table(
    "label table",
    {
        "id": pl.String(),
        "language": pl.String(),
        "split": pl.String(),
        "duration": pl.Float64(),
        "iteration": pl.String(),
        "stage": pl.String(),
        "text": pl.String(),
        "previous_text": pl.String(),
        "perturbed_text": pl.String(),
        "source": pl.String(),
        "avg_logprob": pl.Float64(),
        "perturbed_logprob": pl.Float64(),
        "min_logprob": pl.Float64(),
        "token_entropy": pl.Float64(),
        "compression_ratio": pl.Float64(),
        "no_speech_prob": pl.Float64(),
        "chars_per_second": pl.Float64(),
        "agreement": pl.Float64(),
        "previous_agreement": pl.Float64(),
        "detected_language": pl.String(),
        "detected_probability": pl.Float64(),
        "expected_error": pl.Float64(),
        "gold_similarity": pl.Float64(),
        "flags": pl.List(pl.String()),
        "selected": pl.Boolean(),
        "reason": pl.String(),
        "lineage": pl.String(),
    },
)
"""duration in seconds.

source:             gold, pseudo, corrected (by voting or de-looping) or human.
perturbed_text, perturbed_logprob: text and `avg_logprob` of the same model on stretched, noisy speech.
agreement:          1 - normalised edit distance (characters) of text and perturbed_text.
previous_agreement: the same for text and previous_text, the label of the row before.
expected_error:     calibrated WER or CER of the text, in [0, 1].
gold_similarity:    mean cosine similarity of the mean encoder state to its nearest gold ones of the same language,
                    in [-1, 1].
flags:              signs of a bad text, such as `loop` or `too_fast`.
selected, reason:   whether the row is trained on, and why or why not.
lineage:            hash of the model that wrote the text.
"""

PREDICTION_TABLE = Table(
    "prediction table",
    {
        "id": pl.String(),
        "language": pl.String(),
        "split": pl.String(),
        "reference": pl.String(),
        "hypothesis": pl.String(),
        "avg_logprob": pl.Float64(),
        "lineage": pl.String(),
    },
)
"""Hypotheses of a model for utterances whose texts are known."""

CORRECTIONS_TABLE = Table(
    "corrections",
    {
        "id": pl.String(),
        "language": pl.String(),
        "text": pl.String(),
        "text_before": pl.String(),
        "verdict": pl.String(),
        "reviewer": pl.String(),
        "review": pl.String(),
    },
)
"""Decisions of people, one row an utterance; `ilt review import` writes it, no stage does.

text:        the true text; null where the row is unusable.
text_before: the label that the person was shown.
verdict:     accepted (the label is right), corrected (text holds) or unusable (never trained on).
reviewer:    the person; review: the export that was answered, a file in data/reviews.
"""
