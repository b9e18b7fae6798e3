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
perturbed_text, perturbed_logprob: what the same model hears in stretched, noisy speech, and how sure it is.
agreement:          1 - normalised edit distance (characters) of text and perturbed_text.
previous_agreement: the same for text and the text that the pipeline had before.
expected_error:     calibrated WER or CER of the text, in [0, 1].
gold_similarity:          similarity_to_gold to gold of the same language: mean cosine similarity of the mean encoder
                    state to its nearest gold ones, in [-1, 1].
flags:              what looks wrong, such as `loop` or `too_fast`.
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
"""What a model said where the truth is known."""

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
"""What people decided, one row an utterance; `ilt review import` writes it, no stage does.

text:        what is said; null where it is unusable.
text_before: the label that the person was shown.
verdict:     accepted (the label is right), corrected (text holds) or unusable (never trained on).
reviewer:    who decided; review: in which export, a file in data/reviews.
"""
