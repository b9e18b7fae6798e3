"""`ilt tune show`: the trials of a study, which are best, which knobs mattered, and how to use the best."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ilt import paths
from ilt.evaluation.figures import interval, percent
from ilt.tools.experiments.dvc import experiments
from ilt.tools.experiments.tune.study import Study, Trial, gain_over, use_optuna
from ilt.tools.revisions import filesystem, read_json

if TYPE_CHECKING:
    import optuna

__all__ = ["ENOUGH", "Importances", "Shown", "importances", "test_errors"]

STATES = ("finished", "pruned", "failed", "stopped", "running")

ENOUGH = 8
"""Finished trials below which importances would be noise."""


@dataclass(frozen=True)
class Importances:
    """Share of the variance over finished trials that each knob explains (fANOVA, Hutter et al. 2014).

    of: by objective (`error`, `minutes`) and knob, from the greatest; None with a reason why there are none.
    """

    of: dict[str, dict[str, float]] | None
    reason: str = ""


def importances(stored: optuna.Study, seed: int) -> Importances:
    """Return the importances of a study; none where there are too few finished trials or nothing varies."""
    optuna = use_optuna()
    finished = stored.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
    if len(finished) < ENOUGH:
        return Importances(None, f"{ENOUGH} finished trials are needed, there are {len(finished)}")
    result: dict[str, dict[str, float]] = {}
    for at, objective in enumerate(["error", "minutes"][: len(stored.directions)]):
        if len({trial.values[at] for trial in finished}) > 1:
            shares = optuna.importance.get_param_importances(
                stored,
                evaluator=optuna.importance.FanovaImportanceEvaluator(seed=seed),
                target=lambda trial, at=at: trial.values[at],
            )
            result[objective] = {name: round(share, 4) for name, share in shares.items()}
    return Importances(result) if result else Importances(None, "all finished trials are alike")


def test_errors(study: Study) -> dict[int, float]:
    """Return the micro error rate on test, by number, of finished trials whose experiments are still there."""
    known, result = experiments(), {}
    for trial in study.finished:
        with suppress(FileNotFoundError):  # not in DVC's cache any more
            if trial.experiment in known:
                scores = read_json(filesystem(trial.experiment), paths.evaluation(trial.steps[-1].iteration))
                result[trial.number] = float(scores["test"]["micro"])
    return result


@dataclass(frozen=True)
class Shown:
    """A study to be shown. tests: error on test by number; None where nobody asked."""

    study: Study
    shares: Importances
    tests: dict[int, float] | None

    @property
    def gain(self) -> dict[str, float] | None:
        """What the best trial gained on dev over the defaults."""
        best, default, params = self.study.best, self.study.default, self.study.params
        if best is None or default is None or best.number == default.number:
            return None
        samples = int((params.get("evaluate") or {}).get("bootstrap", 2000))
        return gain_over(default.steps[-1], best.steps[-1], samples, int(params.get("seed", 1)))

    @property
    def commands(self) -> dict[str, str] | None:
        """Commands that bring the best trial back, and run its settings at full size."""
        best = self.study.best
        if best is None:
            return None
        settings = [f"-S {shlex.quote(text)}" for text in best.full_overrides]
        return {"apply": f"dvc exp apply {best.experiment}", "full": " ".join(["dvc exp run", *settings])}

    def to_dict(self) -> dict[str, Any]:
        """Return all of it, as JSON can hold it."""
        study, best = self.study, self.study.best
        return {
            "study": study.name,
            "objective": study.file.objective.model_dump(),
            "reduce": study.file.reduce,
            "defaults": study.defaults,
            "trials": [self._entry(trial) for trial in study.trials],
            "best": best.number if best else None,
            "gain_over_defaults": self.gain,
            "front": study.front if study.file.objective.minutes else None,
            "importances": self.shares.of,
            "importances_missing": self.shares.reason,
            "commands": self.commands,
        }

    def _entry(self, trial: Trial) -> dict[str, Any]:
        names = ("number", "state", "experiment", "commit", "values", "reason", "overrides", "full_overrides")
        shown = ("iteration", "error", "minutes")
        return {
            **{name: getattr(trial, name) for name in names},
            "steps": [{name: getattr(step, name) for name in shown} for step in trial.steps],
            "error": trial.last.error if trial.last else None,
            "minutes": trial.last.minutes if trial.last else None,
            **({} if self.tests is None else {"test": self.tests.get(trial.number)}),
        }

    def print(self) -> None:
        """Print tables and sentences for people."""
        from ilt.tools.marks import plain_console

        study, best = self.study, self.study.best
        console = plain_console(150)
        console.print(self._head())
        console.print(self._table())
        if study.file.objective.minutes and study.front:
            numbers = ", ".join(map(str, study.front))
            console.print(f"* Pareto front ({numbers}): no trial is both as good and as cheap.")
        for trial in study.trials:
            if trial.reason:
                console.print(f"trial {trial.number} {trial.state}: {trial.reason}")
        if len({trial.commit for trial in study.trials if trial.commit}) > 1:
            console.print("Trials ran on more than one commit (--format json has them): compare with care.")
        console.print(self._importances())
        for line in self._best():
            console.print(line)
        if best and self.commands:
            apply = f"\n  {self.commands['apply']}    # brings the trial back, at the size that it ran"
            console.print(apply, soft_wrap=True)
            if best.full_overrides:
                console.print(f"  {self.commands['full']}    # its settings at full size", soft_wrap=True)

    def _head(self) -> str:
        file, states = self.study.file, [trial.state for trial in self.study.trials]
        counts = [f"{states.count(state)} {state}" for state in STATES if state in states]
        judged = "dev error and minutes" if file.objective.minutes else "dev error"
        smaller = ", ".join(f"{key}={value}" for key, value in file.reduce.items())
        also = f"\nAll trials are smaller than params.yaml: {smaller}." if smaller else ""
        return f"Study {self.study.name}: trials {', '.join(counts) or 'none'}; judged by {judged}.{also}"

    def _table(self) -> Any:
        from rich.table import Table

        table, names = Table(), list(self.study.file.parameters)
        table.add_column("trial", justify="right", no_wrap=True)
        table.add_column("", no_wrap=True)
        for name in ["dev %", *([] if self.tests is None else ["test %"]), "minutes"]:
            table.add_column(name, justify="right", no_wrap=True)
        for name in names:
            table.add_column(name, justify="right", overflow="fold")
        front = self.study.front if self.study.file.objective.minutes else []
        best, default = self.study.best, self.study.default
        for trial in self.study.trials:
            if trial.state == "waiting":
                continue
            step, number = trial.last, trial.number
            notes = [trial.state] if trial.state != "finished" else []
            notes += [name for name, one in (("defaults", default), ("best", best)) if one and one.number == number]
            given_up = f" at {step.iteration}" if trial.state == "pruned" and step else ""
            cells = [f"{'*' if number in front else ''}{number}", ", ".join(notes) + given_up]
            cells.append(percent(step.error) if step else "")
            cells += [] if self.tests is None else [percent(self.tests.get(number))]
            cells.append(f"{step.minutes:.1f}" if step else "")
            cells += [_text(trial.values.get(name, "")) for name in names]
            table.add_row(*cells, style="bold" if "best" in notes else "dim" if step is None or given_up else None)
        return table

    def _importances(self) -> Any:
        from rich.table import Table

        if self.shares.of is None:
            return f"Importance of parameters: {self.shares.reason}."
        table = Table(title="Importance: share of the variance over finished trials", title_justify="left")
        table.add_column("parameter")
        for objective in self.shares.of:
            table.add_column(f"of {'dev error' if objective == 'error' else objective}", justify="right")
        for name in next(iter(self.shares.of.values())):
            table.add_row(name, *(f"{100 * of.get(name, 0.0):.0f} %" for of in self.shares.of.values()))
        return table

    def _best(self) -> Iterator[str]:
        """Yield the sentences on the best trial."""
        study, best, default, gain = self.study, self.study.best, self.study.default, self.gain
        if best is None:
            yield "No trial has finished yet."
            return
        end = best.steps[-1]
        head = f"Best: trial {best.number}, dev {percent(end.error)} %, {end.minutes:.1f} minutes"
        if gain:
            clear = "" if gain["low"] > 0 else ", not clear of 0"
            yield f"{head}; over today's defaults {interval(gain)} points on dev{clear}."
            picked = f"It was picked out of {len(study.finished)} by dev, which flatters it"
            yield f"{picked}: judge it on test, at full size."
        else:
            yield f"{head}: today's defaults. No trial was better." if default else f"{head}."
        tests = self.tests or {}
        if best.number in tests:
            also = f" (the defaults: {percent(tests[default.number])} %)" if default and default.number in tests else ""
            yield f"On test: {percent(tests[best.number])} %{also}."


def _text(value: Any) -> str:
    return "null" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
