"""Charts of the report page, as Altair charts of data frames. Errors are fractions; `tooltip` is a mark's text."""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl

from ilt.report.draw import COLOURS
from ilt.report.pool import OUTCOMES

__all__ = [
    "calibration_chart",
    "churn_chart",
    "cost_chart",
    "error_chart",
    "exact_chart",
    "gap_chart",
    "language_chart",
    "outcome_chart",
    "quality_chart",
    "steps_chart",
]

WIDTH, HEIGHT = 290, 190
"""Pixels of the plot of an ordinary chart: with its axes it fits a phone without being scaled down."""

STEPS_WIDTH, STEPS_GAP = 250, 14
"""Pixels of the plots of an iteration's stages together, and between them."""

STYLES = {
    "test": ("blue", [1, 0], "circle"),
    "dev": ("orange", [5, 3], "square"),
    "gold": ("green", [2, 2], "diamond"),
    "retention": ("green", [2, 2], "diamond"),
    "pool": ("orange", [5, 3], "square"),
    "selected": ("green", [2, 2], "diamond"),
    "corrected": ("blue", [1, 0], "circle"),
    "select": ("orange", [5, 3], "square"),
    "correct": ("blue", [1, 0], "circle"),
    "focus": ("orange", [5, 3], "square"),
    "feedback": ("blue", [1, 0], "circle"),
    "fix": ("green", [2, 2], "diamond"),
    "changed": ("orange", [5, 3], "square"),
    "re-worded": ("blue", [1, 0], "circle"),
}
"""Colour, dash and shape of each series, so that a chart can be read without its colours."""

OUTCOME_COLOURS = dict(
    zip(
        OUTCOMES,
        ("blue", "pale", "green", "blue", "blue", "fog", "mist", "mist", "amber", "plum", "quiet"),
        strict=True,
    )
)

PERCENT = "datum.value === 0 ? '0' : format(100 * datum.value, '~r') + ' %'"


def _styles(names: list[str]) -> dict[str, Any]:
    """Return encodings of colour, dash and shape by `series`, with one legend."""
    styles = [STYLES[name] for name in names]
    return {
        "color": alt.Color("series:N", sort=names,
                           scale=alt.Scale(domain=names, range=[COLOURS[style[0]] for style in styles])),
        "strokeDash": alt.StrokeDash("series:N", sort=names,
                                     scale=alt.Scale(domain=names, range=[style[1] for style in styles])),
        "shape": alt.Shape("series:N", sort=names,
                           scale=alt.Scale(domain=names, range=[style[2] for style in styles])),
    }  # fmt: skip


def _iterations(frame: pl.DataFrame) -> alt.X:
    order = frame.sort("number")["iteration"].unique(maintain_order=True).to_list()
    axis = alt.Axis(title=None, labelAngle=0, grid=False, labelOverlap=True)
    return alt.X("iteration:N", sort=order, scale=alt.Scale(type="point", padding=0.3), axis=axis)


def _error(title: str | None = None, top: float | None = None, ticks: int = 5) -> alt.Y:
    scale = alt.Scale(domainMin=0) if top is None else alt.Scale(domain=[0, top])
    axis = alt.Axis(title=title, labelExpr=PERCENT, tickCount=ticks)
    return alt.Y("error:Q", scale=scale, axis=axis)


def _of(y: alt.Y, column: str) -> alt.Y:
    """Return the same axis and scale for another column."""
    other = y.copy()
    other["shorthand"] = f"{column}:Q"
    return other


def _lines(frame: pl.DataFrame, x: alt.X, y: alt.Y, names: list[str], legend: bool = True) -> Any:
    """Return lines with a point and a tooltip a row, and bands where the frame has `low` and `high`."""
    names = [name for name in names if name in frame["series"].unique()]
    styles = _styles(names)
    base = alt.Chart(frame).encode(x=x, y=y)
    if not legend:
        for channel in styles.values():
            channel.legend = None
    line = base.mark_line(strokeWidth=2, aria=False).encode(color=styles["color"], strokeDash=styles["strokeDash"])
    point = base.mark_point(filled=True, size=45, opacity=1, aria=False).encode(
        color=styles["color"], shape=styles["shape"]
    )
    layers = [line, point, _targets(base)]
    if "low" in frame.columns:
        band = base.mark_area(opacity=0.16, aria=False).encode(y=_of(y, "low"), y2="high:Q", color=styles["color"])
        layers.insert(0, band.transform_filter("isValid(datum.low)"))
    return alt.layer(*layers)


def _targets(base: Any) -> Any:
    """Return invisible points, larger than the marks, that carry the tooltips."""
    return base.mark_point(filled=True, shape="circle", size=300, opacity=0, color=COLOURS["ink"]).encode(
        description="tooltip:N"
    )


def error_chart(frame: pl.DataFrame) -> Any:
    """Draw test, dev and retention error over iterations: number, iteration, series, error, low, high, tooltip."""
    names = ["test", "dev", "retention"]
    return _lines(frame, _iterations(frame), _error(), names).properties(width=WIDTH, height=HEIGHT)


def language_chart(frame: pl.DataFrame, top: float) -> Any:
    """Draw the same for one language, small and without a legend. top: the end of its scale."""
    chart = _lines(frame, _iterations(frame), _error(top=top, ticks=3), ["test", "retention"], legend=False)
    return chart.properties(width=120, height=84)


def gap_chart(frame: pl.DataFrame) -> Any:
    """Draw error on gold, dev and test over iterations."""
    names = ["gold", "dev", "test"]
    return _lines(frame, _iterations(frame), _error(), names).properties(width=WIDTH, height=HEIGHT)


def quality_chart(frame: pl.DataFrame) -> Any:
    """Draw the true error of all pseudo-labels, of the selected and of the corrected ones, over iterations."""
    names = ["pool", "selected", "corrected"]
    return _lines(frame, _iterations(frame), _error(), names).properties(width=WIDTH, height=HEIGHT)


def exact_chart(frame: pl.DataFrame) -> Any:
    """Draw the share of the selected and of the corrected labels without any error, over iterations."""
    names = ["selected", "corrected"]
    return _lines(frame, _iterations(frame), _error(top=1.0), names).properties(width=WIDTH, height=HEIGHT)


def churn_chart(frame: pl.DataFrame) -> Any:
    """Draw the share of rows whose label changed since the iteration before: iteration, series, error, tooltip."""
    names = ["changed", "re-worded"]
    return _lines(frame, _iterations(frame), _error(top=1.0), names).properties(width=WIDTH, height=HEIGHT)


def outcome_chart(frame: pl.DataFrame) -> Any:
    """Draw the outcomes of pool rows in each iteration: iteration, stage, outcome, share, tooltip."""
    names = [outcome for outcome in OUTCOMES if outcome in frame["outcome"].unique()]
    frame = frame.with_columns(
        place=pl.col("outcome").replace_strict({outcome: number for number, outcome in enumerate(names)}),
        bar=pl.format("{} {}", "iteration", "stage"),
    )
    scale = alt.Scale(domain=names, range=[COLOURS[OUTCOME_COLOURS[name]] for name in names])
    return (
        alt.Chart(frame)
        .mark_bar(height={"band": 0.72}, stroke=None)
        .encode(
            x=alt.X("share:Q", stack="zero", scale=alt.Scale(domain=[0, 1]),
                    axis=alt.Axis(title="share of the pool", labelExpr=PERCENT, values=[0, 0.5, 1])),
            y=alt.Y("bar:N", sort=frame["bar"].unique(maintain_order=True).to_list(),
                    axis=alt.Axis(title=None, grid=False)),
            color=alt.Color("outcome:N", scale=scale, legend=alt.Legend(columns=1, symbolType="square")),
            order="place:Q",
            description="tooltip:N",
        )
        .properties(width=WIDTH - 30, height=alt.Step(24))
    )  # fmt: skip


def calibration_chart(frame: pl.DataFrame, top: float) -> Any:
    """Draw expected against true error of one iteration, by bin: series, expected, observed, tooltip."""
    names = ["select", "correct"]
    styles = _styles([name for name in names if name in frame["series"].unique()])
    scale = alt.Scale(domain=[0, top])
    axis: dict[str, Any] = {"labelExpr": PERCENT, "tickCount": 3}
    x = alt.X("expected:Q", scale=scale, axis=alt.Axis(title="expected error", **axis))
    y = alt.Y("observed:Q", scale=scale, axis=alt.Axis(title="true error", **axis))
    ends = pl.DataFrame({"expected": [0.0, top], "observed": [0.0, top]})
    even = alt.Chart(ends).mark_line(color=COLOURS["quiet"], strokeWidth=1, aria=False).encode(x=x, y=y)
    base = alt.Chart(frame).encode(x=x, y=y)
    point = base.mark_point(filled=True, size=60, opacity=0.9, aria=False).encode(
        color=styles["color"], shape=styles["shape"]
    )
    return alt.layer(even, point, _targets(base)).properties(width=150, height=150)


def steps_chart(errors: pl.DataFrame, losses: pl.DataFrame, top: float, loss: float) -> Any:
    """Draw error on dev and on gold, and below it training loss, over the steps of each stage of one iteration.

    errors: stage, step, steps, series (dev, gold), error, kept, tooltip. losses: stage, step, loss, tooltip.
    top, loss: the ends of the scales.
    """
    stages = errors["stage"].unique(maintain_order=True).to_list()
    width = (STEPS_WIDTH - STEPS_GAP * (len(stages) - 1)) / len(stages)
    above, below = [], []
    for stage in stages:
        of_stage, lost = (frame.filter(pl.col("stage") == stage) for frame in (errors, losses))
        steps = int(of_stage["steps"][0])
        scale = alt.Scale(domain=[0, steps], nice=False)
        ends = alt.Axis(title="steps", values=[0, steps], grid=False, format="d", labelFlush=True)
        x = alt.X("step:Q", scale=scale, axis=alt.Axis(title=None, labels=False, grid=False))
        y = alt.Y("error:Q", scale=alt.Scale(domain=[0, top]), axis=_beside("error", stage == stages[0]))
        kept = alt.Chart(of_stage.filter("kept", pl.col("series") == "dev")).mark_point(
            shape="circle", size=170, strokeWidth=1.5, color=COLOURS["ink"], aria=False
        ).encode(x=x, y=y)  # fmt: skip
        title = alt.Title(stage, fontSize=12, fontWeight="normal", color=COLOURS["quiet"], frame="group")
        above.append(
            alt.layer(_lines(of_stage, x, y, ["dev", "gold"]), kept).properties(width=width, height=110, title=title)
        )
        base = alt.Chart(lost).encode(
            x=alt.X("step:Q", scale=scale, axis=ends),
            y=alt.Y("loss:Q", scale=alt.Scale(domain=[0, loss]), axis=_beside("loss", stage == stages[0])),
        )
        line = base.mark_line(color=COLOURS["blue"], strokeWidth=1.5, aria=False)
        point = base.mark_point(filled=True, size=30, opacity=1, color=COLOURS["blue"], aria=False)
        below.append(alt.layer(line, point, _targets(base)).properties(width=width, height=56))
    rows = [alt.hconcat(*row, spacing=STEPS_GAP, bounds="flush") for row in (above, below)]
    return alt.vconcat(*rows, spacing=8)


def _beside(title: str, first: bool) -> alt.Axis:
    """Return an axis of a fixed width; without labels unless its chart is the first in its row."""
    if not first:
        return alt.Axis(title=None, labels=False, tickCount=3)
    percent: dict[str, Any] = {"labelExpr": PERCENT} if title == "error" else {}
    return alt.Axis(title=title, tickCount=3, minExtent=34, maxExtent=34, **percent)


def cost_chart(frame: pl.DataFrame) -> Any:
    """Draw test error against the minutes spent so far: minutes, iteration, error, low, high, tooltip."""
    x = alt.X("minutes:Q", scale=alt.Scale(domainMin=0, nice=True, padding=12),
              axis=alt.Axis(title="minutes of computing", tickCount=5, grid=False))  # fmt: skip
    y = _error("test error")
    base = alt.Chart(frame).encode(x=x, y=y)
    blue = COLOURS["blue"]
    return alt.layer(
        base.mark_rule(color=blue, opacity=0.45, strokeWidth=5, aria=False).encode(y=_of(y, "low"), y2="high:Q"),
        base.mark_line(color=blue, strokeWidth=1.5, aria=False),
        base.mark_point(filled=True, size=60, color=blue, opacity=1, aria=False),
        base.mark_text(align="left", dx=8, dy=-8, color=COLOURS["ink"], fontSize=12, aria=False).encode(
            text="iteration:N"
        ),
        _targets(base),
    ).properties(width=WIDTH, height=HEIGHT)
