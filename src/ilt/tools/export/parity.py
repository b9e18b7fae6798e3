"""Parity of an exported form with the pipeline's own recogniser, on dev."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import polars as pl

from ilt.errors import IltError
from ilt.evaluation.scoring import frame_errors, rate

__all__ = ["Parity", "ParityError", "measure"]


class ParityError(IltError):
    """An exported form that is worse than the pipeline's model by more than the tolerance."""


@dataclass(frozen=True)
class Parity:
    """An exported form beside the pipeline's recogniser, on the same utterances.

    identical: share of utterances with the same text, letter by letter.
    pipeline, exported: micro error rates (fractions; WER, or CER where a language is scored so).
    """

    utterances: int
    identical: float
    pipeline: float
    exported: float

    @property
    def points(self) -> float:
        """Error rate of the exported form less that of the pipeline, in percentage points."""
        return 100 * (self.exported - self.pipeline)

    def to_dict(self) -> dict[str, float]:
        """For JSON."""
        return {**asdict(self), "points": round(self.points, 4)}

    def __str__(self) -> str:
        return (
            f"{100 * self.identical:.1f} % of {self.utterances} dev texts identical; error rate "
            f"{100 * self.exported:.2f} % against {100 * self.pipeline:.2f} % ({self.points:+.2f} points)"
        )

    def check(self, tolerance: float, hint: str = "") -> None:
        """Raise ParityError if the exported form has more than `tolerance` points more errors."""
        if self.points > tolerance:
            raise ParityError(
                f"the exported form does not do what the pipeline's model does: {self}; "
                f"--tolerance is {tolerance:g} points. Nothing was written.{hint}"
            )


def measure(rows: pl.DataFrame, pipeline: Sequence[str], exported: Sequence[str], normaliser: str) -> Parity:
    """Compare texts of rows with `language` and `text`, in the order of `rows`."""
    frame = rows.select("language", "text").with_columns(
        pipeline=pl.Series(list(pipeline), dtype=pl.String),
        exported=pl.Series(list(exported), dtype=pl.String),
    )
    same = frame.select((pl.col("pipeline") == pl.col("exported")).mean()).item()
    return Parity(
        utterances=len(frame),
        identical=round(float(same), 6),
        pipeline=round(rate(*frame_errors(frame, "text", "pipeline", normaliser)), 6),
        exported=round(rate(*frame_errors(frame, "text", "exported", normaliser)), 6),
    )
