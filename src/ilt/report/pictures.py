"""Figures of the report: which charts it has, with the texts of their tooltips."""

from __future__ import annotations

from typing import Any

import polars as pl

from ilt.evaluation.figures import percent
from ilt.report import charts
from ilt.report.draw import specification, to_svg
from ilt.report.errors import ALL
from ilt.report.gather import Report, language_name

__all__ = ["figures_of"]


def _pct(column: str) -> pl.Expr:
    return (pl.col(column) * 100).round(1).cast(pl.String)


def _long(report: Report, rates: dict[str, dict[str, float | None]]) -> pl.DataFrame:
    """Return rows iteration, number, series, error, tooltip. rates: by series and iteration; None is no row."""
    rows = [
        {"number": report.order.index(name), "iteration": name, "series": series, "error": value,
         "tooltip": f"{name}, {series}: {percent(value)} %"}
        for series, values in rates.items()
        for name, value in values.items()
        if value is not None
    ]  # fmt: skip
    return pl.DataFrame(rows)


def _with_intervals(errors: pl.DataFrame) -> pl.DataFrame:
    text = pl.format("{}, {}: {} % [{}, {}]", "iteration", "split", _pct("error"), _pct("low"), _pct("high"))
    return errors.select("number", "iteration", "error", "low", "high", series="split", tooltip=text)


def _errors(report: Report) -> pl.DataFrame:
    dev = _long(report, {"dev": {name: report.summary[name]["dev"]["micro"] for name in report.order}})
    others = _with_intervals(report.errors.filter(pl.col("language") == ALL))
    return pl.concat([others, dev], how="diagonal_relaxed").sort("series", "number")


def _top(values: pl.Series) -> float:
    highest: Any = values.max()
    return float(highest or 0.0) * 1.05 or 0.01


def _languages(report: Report) -> list[tuple[str, Any]]:
    """Return a small chart a language of the test set, all on one scale."""
    errors = report.errors.filter(pl.col("language") != ALL)
    top = min(1.0, _top(errors["error"]) * 1.1)
    rows = _with_intervals(errors).with_columns(pl.col("error", "low", "high").clip(upper_bound=top))
    return [
        (language_name(code), charts.language_chart(rows.filter(errors["language"] == code), top))
        for code in report.languages
    ]


def _gap(report: Report) -> pl.DataFrame:
    rates: dict[str, Any] = {"gold": report.gold}
    for split in ("dev", "test"):
        rates[split] = {name: report.summary[name][split]["micro"] for name in report.order}
    return _long(report, rates)


def _labels(report: Report, keys: dict[str, str]) -> pl.DataFrame:
    """Return figures of the labels by iteration. keys: of `labels` in the summary, by series."""
    return _long(
        report,
        {
            series: {name: report.summary[name]["labels"].get(key) for name in report.order}
            for series, key in keys.items()
        },
    )


def _churn(report: Report) -> pl.DataFrame:
    series = {"churn": "changed", "reworded": "re-worded"}
    churn = report.series["churn"].drop_nulls()
    rows = churn.unpivot(on=list(series), index=["number", "iteration"], value_name="error")
    text = pl.format("{}, {}: {} % of the rows", "iteration", "series", _pct("error"))
    return rows.with_columns(series=pl.col("variable").replace_strict(series)).with_columns(tooltip=text)


def _outcomes(report: Report) -> pl.DataFrame:
    text = pl.format("{} {}, {}: {} rows, {} %", "iteration", "stage", "outcome", "rows", _pct("share"))
    return report.outcomes.filter(pl.col("language") == ALL).with_columns(tooltip=text)


def _calibration(report: Report) -> list[tuple[str, Any]]:
    """Return a chart an iteration that was calibrated."""
    bins = report.series["calibration"]
    top = _top(pl.concat([bins["expected"], bins["observed"]]))
    text = pl.format(
        "{}: {} rows, expected error {} %, true error {} %", "stage", "rows", _pct("expected"), _pct("observed")
    )
    bins = bins.with_columns(series="stage", tooltip=text)
    parts = [(name, bins.filter(pl.col("iteration") == name)) for name in report.order[1:]]
    return [(name, charts.calibration_chart(part, top)) for name, part in parts if len(part)]


def _steps(report: Report) -> list[tuple[str, Any]]:
    """Return a chart an iteration that trained."""
    history = report.history
    top = _top(pl.concat([history["dev_error"], history["train_error"]]))
    loss = _top(history["loss"])
    place = "{} {}, step {}: "
    errors = (
        history.rename({"dev_error": "dev", "train_error": "gold"})
        .unpivot(on=["dev", "gold"], index=["iteration", "stage", "step", "steps", "kept"],
                 variable_name="series", value_name="error")
        .drop_nulls("error")
        .with_columns(tooltip=pl.format(place + "{} error {} %", "iteration", "stage", "step", "series",
                                        _pct("error")))
    )  # fmt: skip
    losses = history.drop_nulls("loss").with_columns(
        tooltip=pl.format(place + "loss {}", "iteration", "stage", "step", pl.col("loss").round(3))
    )
    parts = [
        (name, *(frame.filter(pl.col("iteration") == name) for frame in (errors, losses)))
        for name in losses["iteration"].unique(maintain_order=True)
    ]
    return [(name, charts.steps_chart(error, lost, top, loss)) for name, error, lost in parts]


def _costs(report: Report) -> pl.DataFrame:
    minutes = {"base": 0.0} | {cost.iteration: cost.total for cost in report.ran}
    errors = report.errors.filter(
        pl.col("language") == ALL, pl.col("split") == "test", pl.col("iteration").is_in(list(minutes))
    )
    spent = pl.col("iteration").replace_strict(minutes, return_dtype=pl.Float64)
    text = pl.format("{}: {} % [{}, {}] after {} minutes", "iteration", _pct("error"), _pct("low"),
                     _pct("high"), spent.round(1))  # fmt: skip
    return errors.with_columns(minutes=spent, tooltip=text)


def _svg(chart: Any, alt: str, title: str = "") -> str:
    return to_svg(specification(chart, title), alt)


def figures_of(report: Report) -> dict[str, list[str]]:
    """Return the figures of each part of the report as SVG, by its name; of some parts one a language or iteration.

    `quality` and `exact` are absent where no label has a reference, `churn` where no labels can be compared.
    """
    over = "test and retention error over iterations"
    figures = {
        "errors": [_svg(charts.error_chart(_errors(report)), f"dev, {over}")],
        "outcomes": [_svg(charts.outcome_chart(_outcomes(report)), "outcomes of the pool, by iteration")],
        "languages": [_svg(chart, f"{name}: {over}") for name, chart in _languages(report)],
        "gap": [_svg(charts.gap_chart(_gap(report)), "error on gold, dev and test over iterations")],
        "cost": [_svg(charts.cost_chart(_costs(report)), "test error against minutes of computing")],
        "calibration": [
            _svg(chart, f"{name}: expected against true error on dev", name) for name, chart in _calibration(report)
        ],
        "steps": [
            _svg(chart, f"{name}: error on dev and gold, and loss, over steps", name) for name, chart in _steps(report)
        ],
    }
    if len(churn := _churn(report)):
        figures["churn"] = [_svg(charts.churn_chart(churn), "share of labels that changed, by iteration")]
    quality = _labels(report, {"pool": "pool_error", "selected": "selected_error", "corrected": "corrected_error"})
    if len(quality) and quality["series"].n_unique() > 1:
        figures["quality"] = [_svg(charts.quality_chart(quality), "true error of the labels, by iteration")]
    if len(exact := _labels(report, {"selected": "selected_exact", "corrected": "corrected_exact"})):
        figures["exact"] = [_svg(charts.exact_chart(exact), "share of chosen labels without an error")]
    return figures
