"""All that the report says, from what the stages wrote; nothing here is drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from ilt import paths
from ilt.corpus.table import UTTERANCE_TABLE
from ilt.evaluation.comparison.changes import Row
from ilt.report.cost import Cost, costs_of
from ilt.report.errors import ALL, error_tables, gains_of_last, scored
from ilt.report.examples import Misheard, changed_labels, worst
from ilt.report.pool import expected, fates, flags, funnel
from ilt.report.sound import Sound, sounds

if TYPE_CHECKING:
    from ilt.stages.report import ReportPlan

__all__ = ["Report", "gather", "language_name"]


@dataclass(frozen=True)
class Report:
    """What page and Markdown are made of. Errors, shares and gains are fractions.

    order:    the base and the iterations. summary: as in data/metrics/summary.json.
    errors, gains, last_over: what `error_tables` and `gains_of_last` of `ilt.report.errors` give.
    gold:     error on gold by iteration.
    series:   history, funnel, calibration and churn, as in data/metrics/*.csv.
    expected: the error that was expected of the labels trained on, by iteration and table.
    history:  a row a measurement during training: iteration, stage, step, steps (of the stage), dev_error,
              train_error (None where it was not measured), loss (None before the first step), kept.
    latest:   the last iteration that was not passed through. previous: the one before it, which the changed
              labels are compared with.
    """

    model: str
    mode: str
    normaliser: str
    price_per_hour: float | None
    order: list[str]
    latest: str
    previous: str
    summary: dict[str, Any]
    gold: dict[str, float]
    errors: pl.DataFrame
    gains: pl.DataFrame
    last_over: dict[str, dict[str, float]]
    series: dict[str, pl.DataFrame]
    history: pl.DataFrame
    expected: dict[str, dict[str, float | None]]
    fates: pl.DataFrame
    flags: pl.DataFrame
    funnel: pl.DataFrame
    costs: list[Cost]
    worst: list[Misheard]
    changed: list[Row]
    sounds: dict[str, Sound]
    speakers: dict[str, str | None]

    @property
    def last(self) -> str:
        """The last iteration."""
        return self.order[-1]

    @property
    def passed(self) -> list[Cost]:
        """The iterations that passed the model through, since the one before them had not gained enough."""
        return [cost for cost in self.costs if cost.passed]

    @property
    def ran(self) -> list[Cost]:
        """The others."""
        return [cost for cost in self.costs if not cost.passed]

    @property
    def languages(self) -> list[str]:
        """Languages of the test set."""
        return self._languages_of("test")

    @property
    def watched(self) -> list[str]:
        """Languages that only retention has: nobody adapts to them, and they may be forgotten."""
        return [code for code in self._languages_of("retention") if code not in self.languages]

    def _languages_of(self, split: str) -> list[str]:
        return self.gains.filter(pl.col("split") == split, pl.col("language") != ALL)["language"].to_list()


def language_name(code: str) -> str:
    """The English name of a language that Whisper knows; of others the code."""
    from transformers.models.whisper.tokenization_whisper import LANGUAGES

    return str(LANGUAGES.get(code, code)).title() if code in LANGUAGES else code


_HISTORY = {
    "iteration": pl.String(), "stage": pl.String(), "step": pl.Int64(), "steps": pl.Int64(),
    "dev_error": pl.Float64(), "train_error": pl.Float64(), "loss": pl.Float64(), "kept": pl.Boolean(),
}  # fmt: skip


def _history(iterations: list[str]) -> pl.DataFrame:
    rows = []
    for iteration in iterations:
        for stage in ("focus", "feedback", "fix"):
            path = paths.details(iteration, stage)
            told = paths.read_json(path) if path.is_file() else {}
            rows += [
                {
                    "iteration": iteration, "stage": stage, "step": int(entry["step"]),
                    "steps": int(told["steps"]), "dev_error": entry["dev_error"],
                    "train_error": entry.get("train_error"), "loss": entry.get("loss"),
                    # With an adapter for each language, each keeps another step, and this is their sum.
                    "kept": "languages" not in told and entry["step"] == told["kept_step"],
                }
                for entry in told.get("history", [])
            ]  # fmt: skip
    return pl.DataFrame(rows, schema=_HISTORY)


def _speakers(ids: list[str]) -> dict[str, str | None]:
    wanted = UTTERANCE_TABLE.scan(paths.UTTERANCES).filter(pl.col("id").is_in(ids))
    return dict(wanted.select("id", "speaker").collect().iter_rows())


def gather(plan: ReportPlan, summary: dict[str, Any], series: dict[str, pl.DataFrame], costs: dict[str, Any]) -> Report:
    """Read what the report needs beside what the stage has made already.

    Raises IltError for tables that are missing, of another version, or of
    different utterances, and for audio that cannot be read.
    """
    order, normaliser = list(summary), plan.normaliser
    iterations = order[1:]
    latest = [name for name in iterations if not summary[name].get("skipped")][-1]
    previous = plan.previous[latest]
    found = scored(order, normaliser)
    errors, gains = error_tables(found, plan.bootstrap, plan.seed)
    misheard, changed = worst(found, normaliser), changed_labels(previous, latest, normaliser)
    ids = [*(row.id for row in misheard), *(row.id for row in changed)]
    return Report(
        model=plan.model_id,
        mode=plan.mode,
        normaliser=normaliser,
        price_per_hour=plan.price_per_hour,
        order=order,
        latest=latest,
        previous=previous,
        summary=summary,
        gold={name: paths.read_json(paths.evaluation(name))["gold"]["micro"] for name in order},
        errors=errors,
        gains=gains,
        last_over=gains_of_last(found, plan.bootstrap, plan.seed),
        series=series,
        history=_history(iterations),
        expected=expected(iterations, normaliser),
        fates=fates(iterations),
        flags=flags(iterations),
        funnel=funnel(iterations),
        costs=costs_of(costs, summary, plan.price_per_hour),
        worst=misheard,
        changed=changed,
        sounds=sounds(ids),
        speakers=_speakers(ids),
    )
