"""Contents of the report, read from the outputs of the stages; nothing here is drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

from ilt import paths
from ilt.corpus.table import UTTERANCE_TABLE
from ilt.escapes import visible
from ilt.evaluation.comparison.changes import Row
from ilt.params import TRAINING_STAGES
from ilt.report.cost import Cost, costs_of
from ilt.report.errors import ALL, error_tables, gains_of_last, score_utterances
from ilt.report.examples import WorstUtterance, most_changed_labels, worst_utterances
from ilt.report.pool import expected_errors, flags, funnel, has_labels, outcomes
from ilt.report.sound import Sound, sounds

__all__ = ["Report", "Settings", "gather", "language_name"]


@dataclass(frozen=True)
class Settings:
    """Parameters of a report.

    previous:        the iteration before each.
    audio_contexts:  of the `base` and of the `iterations`: full, or batch (cut to what a batch needs).
    mode:            `adapter.mode`.
    bootstrap, seed: samples and seed of the intervals.
    price_per_hour:  of the machine, None where it is not declared.
    """

    previous: dict[str, str]
    model_id: str
    audio_contexts: dict[str, str]
    mode: str
    normaliser: str
    bootstrap: int
    seed: int
    price_per_hour: float | None


@dataclass(frozen=True)
class Report:
    """Contents of the report. Errors, shares and gains are fractions.

    order:    the base and the iterations. summary: as in data/metrics/summary.json.
    last_run: the last iteration that was not skipped. previous: the one before it, which the changed labels are
              compared with; None where that has no labels.
    gold:     error on gold by iteration.
    errors, gains, gains_of_last: from `ilt.report.errors`.
    series:   history, funnel, calibration and churn, as in data/metrics/*.csv.
    history:  a row a measurement during training: iteration, stage, step, steps (of the stage), dev_error,
              train_error (None where it was not measured), loss (None before the first step), kept.
    expected_errors, outcomes, flags, funnel: from `ilt.report.pool`.
    """

    settings: Settings
    order: list[str]
    last_run: str
    previous: str | None
    summary: dict[str, Any]
    gold: dict[str, float]
    errors: pl.DataFrame
    gains: pl.DataFrame
    gains_of_last: dict[str, dict[str, float]]
    series: dict[str, pl.DataFrame]
    history: pl.DataFrame
    expected_errors: dict[str, dict[str, float | None]]
    outcomes: pl.DataFrame
    flags: pl.DataFrame
    funnel: pl.DataFrame
    costs: list[Cost]
    worst: list[WorstUtterance]
    changed: list[Row]
    sounds: dict[str, Sound]
    speakers: dict[str, str | None]

    @property
    def last(self) -> str:
        """The last iteration."""
        return self.order[-1]

    @property
    def skipped(self) -> list[Cost]:
        """The iterations that were skipped, since the one before them had not gained enough."""
        return [cost for cost in self.costs if cost.skipped]

    @property
    def ran(self) -> list[Cost]:
        """The iterations that were not skipped."""
        return [cost for cost in self.costs if not cost.skipped]

    @property
    def languages(self) -> list[str]:
        """Languages of the test set."""
        return self._languages_of("test")

    @property
    def retention_languages(self) -> list[str]:
        """Languages that only retention has: nothing adapts to them, and they may be forgotten."""
        return [code for code in self._languages_of("retention") if code not in self.languages]

    def _languages_of(self, split: str) -> list[str]:
        return self.gains.filter(pl.col("split") == split, pl.col("language") != ALL)["language"].to_list()


def language_name(code: str) -> str:
    """Return the English name of a language that Whisper knows; the code of another."""
    from transformers.models.whisper.tokenization_whisper import LANGUAGES

    return str(LANGUAGES[code]).title() if code in LANGUAGES else visible(code)


_HISTORY = {
    "iteration": pl.String(), "stage": pl.String(), "step": pl.Int64(), "steps": pl.Int64(),
    "dev_error": pl.Float64(), "train_error": pl.Float64(), "loss": pl.Float64(), "kept": pl.Boolean(),
}  # fmt: skip


def _history(iterations: list[str]) -> pl.DataFrame:
    rows = []
    for iteration in iterations:
        for stage in TRAINING_STAGES:
            path = paths.details(iteration, stage)
            details = paths.read_json(path) if path.is_file() else {}
            rows += [
                {
                    "iteration": iteration, "stage": stage, "step": int(entry["step"]),
                    "steps": int(details["steps"]), "dev_error": entry["dev_error"],
                    "train_error": entry.get("train_error"), "loss": entry.get("loss"),
                    # With an adapter for each language, each keeps another step, and this is their sum.
                    "kept": "languages" not in details and entry["step"] == details["kept_step"],
                }
                for entry in details.get("history", [])
            ]  # fmt: skip
    return pl.DataFrame(rows, schema=_HISTORY)


def _speakers(ids: list[str]) -> dict[str, str | None]:
    rows = UTTERANCE_TABLE.scan(paths.UTTERANCES).filter(pl.col("id").is_in(ids))
    return dict(rows.select("id", "speaker").collect().iter_rows())


def gather(
    settings: Settings, summary: dict[str, Any], series: dict[str, pl.DataFrame], costs: dict[str, Any]
) -> Report:
    """Return the contents of the report: what the stage has made already, and what else the page needs.

    Raises IltError for tables that are missing, of another version, or of
    different utterances, and for audio that cannot be read.
    """
    order, normaliser = list(summary), settings.normaliser
    iterations = order[1:]
    last_run = [name for name in iterations if not summary[name].get("skipped")][-1]
    previous = settings.previous[last_run] if has_labels(settings.previous[last_run]) else None
    scores = score_utterances(order, normaliser)
    errors, gains = error_tables(scores, settings.bootstrap, settings.seed)
    worst = worst_utterances(scores, normaliser)
    changed = most_changed_labels(previous, last_run, normaliser) if previous else []
    ids = [*(row.id for row in worst), *(row.id for row in changed)]
    return Report(
        settings=settings,
        order=order,
        last_run=last_run,
        previous=previous,
        summary=summary,
        gold={name: paths.read_json(paths.evaluation(name))["gold"]["micro"] for name in order},
        errors=errors,
        gains=gains,
        gains_of_last=gains_of_last(scores, settings.bootstrap, settings.seed),
        series=series,
        history=_history(iterations),
        expected_errors=expected_errors(iterations, normaliser),
        outcomes=outcomes(iterations),
        flags=flags(iterations),
        funnel=funnel(iterations),
        costs=costs_of(costs, summary, settings.price_per_hour),
        worst=worst,
        changed=changed,
        sounds=sounds(ids),
        speakers=_speakers(ids),
    )
