"""Interface of a speech model, and its result: a hypothesis with evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    import torch

    from ilt.asr.lineage import Lineage

__all__ = ["Hypothesis", "Recogniser"]


@dataclass(slots=True)
class Hypothesis:
    """Text of one utterance, and the evidence for it.

    avg_logprob:       mean log-probability (nats) of the tokens and the end token, as Whisper's gate uses it.
    min_logprob:       of the least probable token.
    token_entropy:     mean entropy (nats) of the distributions that the tokens were chosen from.
    compression_ratio: bytes of the text over bytes after zlib, as Whisper's gate uses it.
    no_speech_prob:    probability of the no-speech token at the start; None where the model has none.
    detected_language, detected_probability: the most probable language; an alias (`languages.CODE.as`) counts as
                       the language that it stands in for.
    finished:          False where decoding ran into the length limit.
    embedding:         mean encoder state, (d,), or None if not asked for.
    """

    text: str
    avg_logprob: float
    min_logprob: float
    token_entropy: float
    compression_ratio: float
    no_speech_prob: float | None
    detected_language: str | None
    detected_probability: float | None
    finished: bool = True
    embedding: np.ndarray | None = None


class Recogniser(Protocol):
    """A speech model of any family.

    encoder_prefix: module-name prefix of the audio encoder.
    Where the lineage has language adapters, a batch for `transcribe` or `loss` is of one adapter's language, or of
    languages without.
    """

    encoder_prefix: str
    lineage: Lineage
    model: torch.nn.Module
    extractor: Any

    @property
    def max_frames(self) -> int:
        """Return how many mel frames the encoder takes at most."""

    @property
    def max_tokens(self) -> int:
        """Return how many tokens a text may have at most."""

    def fits(self, text: str, language: str = ...) -> bool:
        """Return whether the model can write a text of this length."""

    def label_tokens(self, languages: Sequence[str], texts: Sequence[str]) -> int:
        """Return the number of tokens that `loss` is the mean over."""

    def transcribe(
        self, features: Sequence[torch.Tensor], languages: Sequence[str], beams: int = 1, embed: bool = False
    ) -> list[Hypothesis]:
        """Transcribe a batch. Each feature is (mel bins, frames); each language a code."""

    def loss(
        self,
        features: Sequence[torch.Tensor],
        languages: Sequence[str],
        texts: Sequence[str],
        label_smoothing: float = 0.0,
    ) -> torch.Tensor:
        """Return the mean cross-entropy (nats a token) of the texts, with gradients."""
