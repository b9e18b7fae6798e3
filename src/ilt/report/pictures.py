"""Which charts the report has, with the sentences that their tooltips say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

from ilt.evaluation.figures import percent
from ilt.report import charts
from ilt.report.draw import specification
from ilt.report.errors import ALL
from ilt.report.gather import Report, language_name

__all__ = ["Figure", "figures_of"]


@dataclass(frozen=True)
class Figure:
    """A chart. alt: what it shows, for those who cannot see it."""

    alt: str
    specification: dict[str, Any]


def _pct(column: str) -> pl.Expr:
    return (pl.col(column) * 100).round(1).cast(pl.String)


def _long(report: Report, keys: dict[str, dict[str, float | None]]) -> pl.DataFrame:
    """Rows iteration, number, series, error, said; keys: by series and iteration."""
    rows = [
        {"number": report.order.index(name), "iteration": name, "series": series, "error": value,
         "said": f"{name}, {series}: {percent(value)} %"}
        for series, values in keys.items()
        for name, value in values.items()
        if value is not None
    ]  # fmt: skip
    return pl.DataFrame(rows)


def _with_intervals(errors: pl.DataFrame) -> pl.DataFrame:
    said = pl.format("{}, {}: {} % [{}, {}]", "iteration", "split", _pct("error"), _pct("low"), _pct("high"))
    return errors.select("number", "iteration", "error", "low", "high", series="split", said=said).drop_nulls("error")


def _errors(report: Report) -> pl.DataFrame:
    dev = _long(report, {"dev": {name: report.summary[name]["dev"]["micro"] for name in report.order}})
    known = _with_intervals(report.errors.filter(pl.col("language") == ALL))
    return pl.concat([known, dev], how="diagonal_relaxed").sort("series", "number")


def _top(values: pl.Series) -> float:
    highest: Any = values.max()
    return float(highest or 0.0) * 1.05 or 0.01


def _languages(report: Report) -> list[tuple[str, Any]]:
    """A small chart a language of the test set, in their order, all on one scale."""
    errors = report.errors.filter(pl.col("language") != ALL)
    top = min(1.0, _top(errors["error"]) * 1.1)
    within = _with_intervals(errors).with_columns(pl.col("error", "low", "high").clip(upper_bound=top))
    errors = errors.drop_nulls("error")
    languages = errors["language"]
    return [
        (language_name(code), charts.language_chart(within.filter(languages == code), top)) for code in report.languages
    ]


def _gap(report: Report) -> pl.DataFrame:
    rates: dict[str, Any] = {"gold": report.gold}
    for split in ("dev", "test"):
        rates[split] = {name: report.summary[name][split]["micro"] for name in report.order}
    return _long(report, rates)


def _quality(report: Report) -> pl.DataFrame:
    keys = {"pool": "pool_error", "selected": "selected_error", "corrected": "corrected_error"}
    return _long(
        report,
        {
            series: {name: report.summary[name]["labels"].get(key) for name in report.order}
            for series, key in keys.items()
        },
    )


def _churn(report: Report) -> pl.DataFrame:
    series = {"churn": "re-decided or re-worded", "reworded": "re-worded"}
    found = report.series["churn"].unpivot(on=list(series), index=["number", "iteration"], value_name="error")
    said = pl.format("{}, {}: {} % of the rows", "iteration", "series", _pct("error"))
    return found.with_columns(series=pl.col("variable").replace_strict(series)).with_columns(said=said)


def _fates(report: Report) -> pl.DataFrame:
    said = pl.format("{}, before {}, {}: {} rows, {} %", "iteration", "stage", "fate", "rows", _pct("share"))
    return report.fates.filter(pl.col("language") == ALL).with_columns(said=said)


def _calibration(report: Report) -> list[tuple[str, Any]]:
    found = report.series["calibration"]
    top = _top(pl.concat([found["expected"], found["observed"]]))
    told = "{}: {} rows, expected {} %, truly {} %"
    said = pl.format(told, "stage", "rows", _pct("expected"), _pct("observed"))
    found = found.with_columns(series="stage", said=said)
    parts = [(name, found.filter(pl.col("iteration") == name)) for name in report.order[1:]]
    return [(name, charts.calibration_chart(part, top)) for name, part in parts if len(part)]


def _steps(report: Report) -> list[tuple[str, Any]]:
    found = report.history
    top = _top(pl.concat([found["dev_error"], found["train_error"]]))
    loss = _top(found["loss"])
    told = "{} {}, step {}: "
    errors = (
        found.rename({"dev_error": "dev", "train_error": "gold"})
        .unpivot(on=["dev", "gold"], index=["iteration", "stage", "step", "steps", "kept"],
                 variable_name="series", value_name="error")
        .drop_nulls("error")
        .with_columns(said=pl.format(told + "{} error {} %", "iteration", "stage", "step", "series",
                                     _pct("error")))
    )  # fmt: skip
    losses = found.drop_nulls("loss").with_columns(
        said=pl.format(told + "loss {}", "iteration", "stage", "step", pl.col("loss").round(3))
    )
    return [
        (
            name,
            charts.steps_chart(
                errors.filter(pl.col("iteration") == name),
                losses.filter(pl.col("iteration") == name),
                top,
                loss,
            ),
        )
        for name in losses["iteration"].unique(maintain_order=True)
    ]


def _exact(report: Report) -> pl.DataFrame:
    keys = {"selected": "selected_exact", "corrected": "corrected_exact"}
    return _long(report, {series: {name: report.summary[name]["labels"].get(key) for name in report.order}
                          for series, key in keys.items()})  # fmt: skip


def _costs(report: Report) -> pl.DataFrame:
    minutes = {"base": 0.0} | {cost.iteration: cost.total for cost in report.ran}
    found = report.errors.filter(
        pl.col("language") == ALL, pl.col("split") == "test", pl.col("iteration").is_in(list(minutes))
    )
    spent = pl.col("iteration").replace_strict(minutes, return_dtype=pl.Float64)
    said = pl.format("{}: {} % [{}, {}] after {} minutes", "iteration", _pct("error"), _pct("low"),
                     _pct("high"), spent.round(1))  # fmt: skip
    return found.with_columns(minutes=spent, said=said)


def figures_of(report: Report) -> dict[str, list[Figure]]:
    """The figures of each part of the report, by its name; of some parts one an iteration."""
    over = "test and retention error over iterations"
    found = {
        "errors": [("", charts.error_chart(_errors(report)), f"dev, {over}")],
        "fates": [("", charts.fate_chart(_fates(report)), "what became of the pool, by iteration")],
        "languages": [(n, c, f"{n}: {over}") for n, c in _languages(report)],
        "churn": [("", charts.churn_chart(_churn(report)), "share of labels that changed, by iteration")],
        "gap": [("", charts.gap_chart(_gap(report)), "error on gold, dev and test over iterations")],
        "cost": [("", charts.cost_chart(_costs(report)), "test error against minutes of computing")],
        "calibration": [(n, c, f"{n}: expected against true error on dev") for n, c in _calibration(report)],
        "steps": [(n, c, f"{n}: error on dev and gold, and loss, over steps") for n, c in _steps(report)],
    }
    if len(quality := _quality(report)) and quality["series"].n_unique() > 1:
        found["quality"] = [("", charts.quality_chart(quality), "true error of the labels, by iteration")]
    if len(exact := _exact(report)):
        found["exact"] = [("", charts.exact_chart(exact), "share of chosen labels without an error")]
    return {
        part: [Figure(told, specification(chart, name)) for name, chart, told in entries]
        for part, entries in found.items()
    }
