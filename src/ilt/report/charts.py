"""The charts of the report page, as Altair specifications. Frames in, nothing read; errors are fractions."""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl

from ilt.report.draw import COLOURS
from ilt.report.pool import FATES

__all__ = [
    "calibration_chart",
    "churn_chart",
    "cost_chart",
    "error_chart",
    "exact_chart",
    "fate_chart",
    "gap_chart",
    "language_chart",
    "quality_chart",
    "steps_chart",
]

WIDTH, HEIGHT = 290, 190
"""Pixels of the plot of an ordinary chart: with its axes it fits a phone without being scaled down."""

STEPS_WIDTH, STEPS_GAP = 250, 14
"""Pixels of the plots of an iteration's stages together, and between them."""

LOOKS = {
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
    "re-decided or re-worded": ("orange", [5, 3], "square"),
    "re-worded": ("blue", [1, 0], "circle"),
}
"""Colour, dash and shape of each series: no colour has to be told apart to read a chart."""

FATE_COLOURS = {
    "sure": "blue", "least": "pale", "people": "green", "off": "blue", "budget": "fog", "doubtful": "mist",
    "flagged": "amber", "unusable": "plum", "other": "quiet", "right": "blue", "wrong": "mist",
}  # fmt: skip

PERCENT = "datum.value === 0 ? '0' : format(100 * datum.value, '~r') + ' %'"


def _looks(names: list[str]) -> dict[str, Any]:
    """Colour, dash and shape by `series`, all in one legend."""
    looks = [LOOKS[name] for name in names]
    return {
        "color": alt.Color("series:N", sort=names,
                           scale=alt.Scale(domain=names, range=[COLOURS[look[0]] for look in looks])),
        "strokeDash": alt.StrokeDash("series:N", sort=names,
                                     scale=alt.Scale(domain=names, range=[look[1] for look in looks])),
        "shape": alt.Shape("series:N", sort=names,
                           scale=alt.Scale(domain=names, range=[look[2] for look in looks])),
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
    """The same axis and scale for another column."""
    other = y.copy()
    other["shorthand"] = f"{column}:Q"
    return other


def _lines(frame: pl.DataFrame, x: alt.X, y: alt.Y, names: list[str], legend: bool = True) -> Any:
    """Lines with a point a row, whose `said` is the tooltip; bands where there are `low` and `high`."""
    names = [name for name in names if name in frame["series"].unique()]
    looks = _looks(names)
    base = alt.Chart(frame).encode(x=x, y=y)
    if not legend:
        for channel in looks.values():
            channel.legend = None
    line = base.mark_line(strokeWidth=2, aria=False).encode(color=looks["color"], strokeDash=looks["strokeDash"])
    point = base.mark_point(filled=True, size=45, opacity=1, aria=False).encode(
        color=looks["color"], shape=looks["shape"]
    )
    layers = [line, point, _targets(base)]
    if "low" in frame.columns:
        band = base.mark_area(opacity=0.16, aria=False).encode(y=_of(y, "low"), y2="high:Q", color=looks["color"])
        layers.insert(0, band.transform_filter("isValid(datum.low)"))
    return alt.layer(*layers)


def _targets(base: Any) -> Any:
    """Invisible points, larger than what they stand for, that carry the tooltips."""
    return base.mark_point(filled=True, shape="circle", size=300, opacity=0, color=COLOURS["ink"]).encode(
        description="said:N"
    )


def error_chart(frame: pl.DataFrame) -> Any:
    """Test, dev and retention error over iterations: number, iteration, series, error, low, high, said."""
    names = ["test", "dev", "retention"]
    return _lines(frame, _iterations(frame), _error(), names).properties(width=WIDTH, height=HEIGHT)


def language_chart(frame: pl.DataFrame, top: float) -> Any:
    """The same for one language, small and without a legend; `top`: where its scale ends."""
    chart = _lines(frame, _iterations(frame), _error(top=top, ticks=3), ["test", "retention"], legend=False)
    return chart.properties(width=120, height=84)


def gap_chart(frame: pl.DataFrame) -> Any:
    """Error on gold, dev and test over iterations: how much was learnt by heart."""
    names = ["gold", "dev", "test"]
    return _lines(frame, _iterations(frame), _error(), names).properties(width=WIDTH, height=HEIGHT)


def quality_chart(frame: pl.DataFrame) -> Any:
    """True error of all pseudo-labels, of the selected and of the corrected ones, over iterations."""
    names = ["pool", "selected", "corrected"]
    return _lines(frame, _iterations(frame), _error(), names).properties(width=WIDTH, height=HEIGHT)


def exact_chart(frame: pl.DataFrame) -> Any:
    """Share of the selected and of the corrected labels without any error, over iterations."""
    names = ["selected", "corrected"]
    return _lines(frame, _iterations(frame), _error(top=1.0), names).properties(width=WIDTH, height=HEIGHT)


def churn_chart(frame: pl.DataFrame) -> Any:
    """Share of the rows whose label changed since the iteration before: iteration, series, error."""
    names = ["re-decided or re-worded", "re-worded"]
    return _lines(frame, _iterations(frame), _error(top=1.0), names).properties(width=WIDTH, height=HEIGHT)


def fate_chart(frame: pl.DataFrame) -> Any:
    """What became of the pool in each iteration: iteration, stage, fate, rows, share, said."""
    names = [fate for fate in FATES if fate in frame["fate"].unique()]
    place = {fate: number for number, fate in enumerate(names)}
    frame = frame.with_columns(
        place=pl.col("fate").replace_strict(place),
        fate=pl.col("fate").replace_strict(FATES),
        bar=pl.format("{} {}", "iteration", "stage"),
    )
    scale = alt.Scale(domain=[FATES[name] for name in names],
                      range=[COLOURS[FATE_COLOURS[name]] for name in names])  # fmt: skip
    return (
        alt.Chart(frame)
        .mark_bar(height={"band": 0.72}, stroke=None)
        .encode(
            x=alt.X("share:Q", stack="zero", scale=alt.Scale(domain=[0, 1]),
                    axis=alt.Axis(title="share of the pool", labelExpr=PERCENT, values=[0, 0.5, 1])),
            y=alt.Y("bar:N", sort=frame["bar"].unique(maintain_order=True).to_list(),
                    axis=alt.Axis(title=None, grid=False)),
            color=alt.Color("fate:N", scale=scale, legend=alt.Legend(columns=1, symbolType="square")),
            order="place:Q",
            description="said:N",
        )
        .properties(width=WIDTH - 30, height=alt.Step(24))
    )  # fmt: skip


def calibration_chart(frame: pl.DataFrame, top: float) -> Any:
    """Expected against true error of one iteration, by bin: series, expected, observed, said."""
    names = ["select", "correct"]
    looks = _looks([name for name in names if name in frame["series"].unique()])
    scale = alt.Scale(domain=[0, top])
    axis: dict[str, Any] = {"labelExpr": PERCENT, "tickCount": 3}
    x = alt.X("expected:Q", scale=scale, axis=alt.Axis(title="expected error", **axis))
    y = alt.Y("observed:Q", scale=scale, axis=alt.Axis(title="true error", **axis))
    ends = pl.DataFrame({"expected": [0.0, top], "observed": [0.0, top]})
    even = alt.Chart(ends).mark_line(color=COLOURS["quiet"], strokeWidth=1, aria=False).encode(x=x, y=y)
    base = alt.Chart(frame).encode(x=x, y=y)
    point = base.mark_point(filled=True, size=60, opacity=0.9, aria=False).encode(
        color=looks["color"], shape=looks["shape"]
    )
    return alt.layer(even, point, _targets(base)).properties(width=150, height=150)


def steps_chart(errors: pl.DataFrame, losses: pl.DataFrame, top: float, loss: float) -> Any:
    """Error on dev and on gold, and below it training loss, over the steps of each stage of one iteration.

    errors: stage, step, steps, series (dev, gold), error, kept, said. losses: the same with loss, no series.
    """
    stages = errors["stage"].unique(maintain_order=True).to_list()
    width = (STEPS_WIDTH - STEPS_GAP * (len(stages) - 1)) / len(stages)
    above, below = [], []
    for stage in stages:
        found, lost = (frame.filter(pl.col("stage") == stage) for frame in (errors, losses))
        steps = int(found["steps"][0])
        scale = alt.Scale(domain=[0, steps], nice=False)
        ends = alt.Axis(title="steps", values=[0, steps], grid=False, format="d", labelFlush=True)
        x = alt.X("step:Q", scale=scale, axis=alt.Axis(title=None, labels=False, grid=False))
        y = alt.Y("error:Q", scale=alt.Scale(domain=[0, top]), axis=_beside("error", stage == stages[0]))
        kept = alt.Chart(found.filter("kept", pl.col("series") == "dev")).mark_point(
            shape="circle", size=170, strokeWidth=1.5, color=COLOURS["ink"], aria=False
        ).encode(x=x, y=y)  # fmt: skip
        title = alt.Title(stage, fontSize=12, fontWeight="normal", color=COLOURS["quiet"], frame="group")
        above.append(
            alt.layer(_lines(found, x, y, ["dev", "gold"]), kept).properties(width=width, height=110, title=title)
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
    """An axis, as wide whatever its labels are; without words where a chart to its left has them."""
    if not first:
        return alt.Axis(title=None, labels=False, tickCount=3)
    percent: dict[str, Any] = {"labelExpr": PERCENT} if title == "error" else {}
    return alt.Axis(title=title, tickCount=3, minExtent=34, maxExtent=34, **percent)


def cost_chart(frame: pl.DataFrame) -> Any:
    """Test error against the minutes spent so far: minutes, iteration, error, low, high, said."""
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
