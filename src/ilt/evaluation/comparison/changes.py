"""Changed rows of a comparison, each with its labels before and after."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from ilt.evaluation.comparison.compare import KINDS, Comparison
from ilt.evaluation.highlight import diff_spans

__all__ = ["Label", "Row", "changed_rows"]


class Label(BaseModel):
    """Label of a row in one table."""

    model_config = ConfigDict(extra="forbid")

    text: str | None
    source: str | None
    selected: bool | None
    reason: str | None
    expected_error: float | None


class Row(BaseModel):
    """One changed row."""

    model_config = ConfigDict(extra="forbid")

    id: str
    language: str | None
    split: str | None
    changes: list[str] = Field(description=f"of {', '.join(KINDS)}")
    moved: float = Field(description="edits over units of the text before, at most 1")
    before: Label | None = Field(description="null for an added row")
    after: Label | None = Field(description="null for a missing row")
    reference: str | None = None
    true_error_before: float | None = Field(default=None, description="at most 1")
    true_error_after: float | None = None

    @property
    def spans(self) -> list[tuple[str, str]]:
        """The change of the text: see `ilt.evaluation.highlight.diff_spans`."""
        before, after = ((label.text or "") if label else "" for label in (self.before, self.after))
        return diff_spans(before, after, self.language or "")


def _label(values: dict[str, Any], side: str) -> Label | None:
    if not values[f"in_{side}"]:
        return None
    return Label(**{name: values[f"{name}_{side}"] for name in Label.model_fields})


def _true_error(values: dict[str, Any], side: str) -> float | None:
    errors = values.get(f"errors_{side}")
    if errors is None or not values[f"in_{side}"]:
        return None
    return round(min(1.0, errors / max(1, values["units"])), 6)


def changed_rows(comparison: Comparison) -> list[Row]:
    """Return the rows that the comparison kept, in its order: most moved first."""
    return [
        Row(
            id=values["id"],
            language=values["language"],
            split=values["split"],
            changes=[kind for kind in KINDS if values[kind]],
            moved=round(values["moved"], 6),
            before=_label(values, "before"),
            after=_label(values, "after"),
            reference=values.get("reference"),
            true_error_before=_true_error(values, "before"),
            true_error_after=_true_error(values, "after"),
        )
        for values in comparison.rows.iter_rows(named=True)
    ]
