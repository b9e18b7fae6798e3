"""The search: Optuna proposes settings, an experiment tries them, until the budget is spent.

All of it is in SQLite before and after each iteration, so that a search may be killed at any time. What is proposed
follows from the finished trials alone: what was running is proposed again, and its stages come from DVC's cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from ilt.errors import IltError
from ilt.evaluation.figures import interval, percent
from ilt.evaluation.scoring import frame_errors, rate
from ilt.tools.experiments import dvc
from ilt.tools.experiments.tune.space import Scalar, Space
from ilt.tools.experiments.tune.study import FOLDER, Step, Study, gain_over, open_study, use_optuna
from ilt.tools.revisions import filesystem

if TYPE_CHECKING:
    import optuna

__all__ = ["STARTUP", "rival_of", "search"]

STARTUP = 8
"""Trials before TPE (Bergstra et al. 2011) models what is good: today's defaults, then random ones."""

FAILURES = 3
"""Failed trials in a row that end a search: then it is not the settings."""

DEFAULTS = "today's defaults"

Say = Callable[[str], None]


def search(space: Space, name: str, trials: int | None, minutes: float | None, say: Say, on_stage: Say) -> Study:
    """Go on with a study, or begin it, until it has `trials` trials or this call has lasted `minutes`.

    No trial begins after that; one that runs is finished. say: called with the outcome of each iteration and trial.
    on_stage: called with each stage that begins. Raises IltError for another search in the same study, for one that was
    begun with other files, and after three failed trials in a row.
    """
    busy = "another `ilt tune` searches in this study; wait for it, stop it, or begin another one: --study NAME"
    with dvc.only_one(FOLDER / f"{name}.lock", busy):
        stored = open_study(name, space.file.objective.minutes)
        _begin(stored, space)
        _pick_up(stored, space, say)
        run = _Search(stored, space, say, on_stage)
        run.seed()
        stored.optimize(
            run.objective,
            n_trials=None if trials is None else max(0, trials - Study.of(stored).counted),
            timeout=None if minutes is None else 60 * minutes,
            catch=(IltError,),
            callbacks=[lambda *_: run.seed(), lambda *_: run.check_failures()],
        )
        return Study.of(stored)


def _begin(stored: optuna.Study, space: Space) -> None:
    """Keep what the study is begun with; raise IltError where it was begun with something else."""
    now, before = space.fingerprint(), stored.user_attrs.get("begun_with")
    if before is None:
        stored.set_user_attr("defaults", space.defaults)
        stored.set_user_attr("begun_with", now)
        return
    for file, part in (("tune.yaml", "tune"), ("params.yaml", "params")):
        if key := _difference(before[part], now[part]):
            raise IltError(
                f"study {stored.study_name} was begun with another {file} ({key} differs), and its trials "
                "could not be compared with new ones; put it back, or begin another study: --study NAME"
            )


def _difference(one: Any, other: Any) -> str:
    """Return the dotted name of the first difference, or nothing."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted(one.keys() | other.keys()):
            if one.get(key, ...) != other.get(key, ...):
                rest = _difference(one.get(key), other.get(key))
                return f"{key}.{rest}" if rest else str(key)
    return ""


def _pick_up(stored: optuna.Study, space: Space, say: Say) -> None:
    """Clear up after a killed search, and enqueue today's defaults where they have not been tried."""
    tried = []
    for trial in stored.get_trials(deepcopy=False):
        if trial.state.name == "RUNNING":
            stored.tell(trial.number, state=use_optuna().trial.TrialState.FAIL)
            dvc.remove_experiment(_experiment(stored, trial.number))
            say(f"trial {trial.number} was stopped; its settings are tried again")
        elif trial.state.name != "FAIL":
            tried.append({**trial.system_attrs.get("fixed_params", {}), **trial.params})
    if space.defaults not in tried:
        stored.enqueue_trial(space.defaults)


def _experiment(stored: optuna.Study, number: int) -> str:
    return f"tune-{stored.study_name}-{number:04d}"


@dataclass(frozen=True)
class _Search:
    """A search that goes on, as Optuna's loop calls it. say, on_stage: see `search`."""

    stored: optuna.Study
    space: Space
    say: Say
    on_stage: Say

    def seed(self) -> None:
        """Seed the sampler by the trials so far, so that a search that was stopped goes on as it would have."""
        seed = self.space.params.seed + 1000 * Study.of(self.stored).counted
        sampler = use_optuna().samplers.TPESampler(n_startup_trials=STARTUP, multivariate=True, seed=seed)
        self.stored.sampler = sampler

    def check_failures(self) -> None:
        """Raise IltError after three failed trials in a row."""
        last = [trial for trial in Study.of(self.stored).trials if trial.state != "stopped"][-FAILURES:]
        if [trial.state for trial in last] == ["failed"] * FAILURES:
            raise IltError(
                f"{FAILURES} trials in a row failed, the last with:\n{last[-1].reason}\n"
                "Mend that and run the same command again: the study goes on"
            )

    def objective(self, trial: optuna.Trial) -> list[float]:
        """Run one trial; return its error and minutes. Raises IltError where it fails, TrialPruned where given up."""
        study, minutes = Study.of(self.stored), self.space.file.objective.minutes
        self._choose(trial)
        try:
            reason = self._run(trial, study)
        except KeyboardInterrupt:
            self.say(f"trial {trial.number} stopped; the same command goes on with it")
            raise
        except IltError as error:
            trial.set_user_attr("reason", error.tail if isinstance(error, dvc.ExperimentError) else str(error))
            self.say(f"  failed: {error}")
            raise
        if reason:
            trial.set_user_attr("reason", reason)
            self.say(f"  pruned: {reason}")
            raise use_optuna().TrialPruned
        end, best = Step(**trial.user_attrs["steps"][-1]), study.best
        if best is None:
            self.say("  the first to finish")
        else:
            also = "the best so far, before" if end.error < best.steps[-1].error else "the best is"
            self.say(f"  {also} trial {best.number}: dev {percent(best.steps[-1].error)} %")
        return [end.error, end.minutes] if minutes else [end.error]

    def _choose(self, trial: optuna.Trial) -> None:
        """Let Optuna choose settings, and keep what `ilt tune show` says of the trial."""
        knobs, defaults = self.space.file.parameters, self.space.defaults
        values = {name: _short(knob.suggest(trial, name), defaults[name]) for name, knob in knobs.items()}
        kept = {
            "values": values,
            "experiment": _experiment(self.stored, trial.number),
            "overrides": self.space.fixed() + self.space.overrides(values),
            "full_overrides": self.space.overrides(values, full=True),
            "commit": dvc.commit(),
        }
        for key, value in kept.items():
            trial.set_user_attr(key, value)
        changed = ", ".join(f"{key} {value}" for key, value in values.items() if value != defaults[key])
        self.say(f"trial {trial.number} ({kept['experiment']}): {changed or DEFAULTS}")

    def _run(self, trial: optuna.Trial, study: Study) -> str:
        """Run a trial up to each iteration in turn; return why it was given up, if it was. Raises IltError."""
        minutes, params = self.space.file.objective.minutes, self.space.params
        finished = {earlier.number: earlier.steps for earlier in study.finished}
        steps: list[Step] = []
        for step in self._steps(trial):
            steps.append(step)
            trial.set_user_attr("steps", [asdict(one) for one in steps])
            if not minutes:  # Optuna takes these where there is one objective
                trial.report(step.error, len(steps))
            self.say(f"  {step.iteration}: dev {percent(step.error)} %, {step.minutes:.1f} minutes")
            rival = rival_of(step, finished, minutes)
            if rival is not None and len(steps) < len(self.space.iterations):
                earlier = finished[rival][len(steps) - 1]
                gain = gain_over(earlier, step, params.evaluate.bootstrap, params.seed)
                if gain["high"] < 0:
                    cheap = " for no more minutes" if minutes else ""
                    return f"after {step.iteration} clearly worse than trial {rival}{cheap}: {interval(gain)} points"
        return ""

    def _steps(self, trial: optuna.Trial) -> Iterator[Step]:
        """Yield a trial after each of its iterations; what ran for an earlier one comes from DVC's cache.

        With the last the whole pipeline runs, so that `dvc exp apply` brings back all of it.
        """
        name, order = trial.user_attrs["experiment"], self.space.iterations
        log = FOLDER / self.stored.study_name / f"{trial.number:04d}.log"
        for number, iteration in enumerate(order, 1):
            targets = [f"evaluate@{iteration}"] if number < len(order) else []
            dvc.run_experiment(name, trial.user_attrs["overrides"], targets, log, self.on_stage)
            files = filesystem(name)
            try:
                dev = dvc.predictions_of(files, iteration).filter(pl.col("split") == "dev")
                minutes = round(dvc.minutes_of(files, order[:number]), 3)
            except FileNotFoundError as missing:
                raise IltError(f"experiment {name} lacks {missing.filename or missing}") from None
            errors, units = frame_errors(dev, "reference", "hypothesis", self.space.params.evaluate.normaliser)
            yield Step(iteration, round(rate(errors, units), 6), minutes, errors.tolist(), units.tolist())


def rival_of(step: Step, finished: Mapping[int, Sequence[Step]], minutes: bool) -> int | None:
    """Return the number of the trial that a step is compared with, or None where there is none.

    It is the best of the finished trials after the same iteration; where `minutes` is an objective, of those that had
    cost no more by then, so that a cheap trial is not given up for being worse than a dear one. There is only one:
    with many, some interval would be clear of 0 by chance. Optuna's pruners compare single numbers, or losses by a
    test that knows one objective alone (`WilcoxonPruner`).
    """
    errors = {
        number: earlier.error
        for number, steps in finished.items()
        for earlier in steps
        if earlier.iteration == step.iteration and (earlier.minutes <= step.minutes or not minutes)
    }
    return min(errors, key=lambda number: (errors[number], number)) if errors else None


def _short(value: Scalar, default: Scalar) -> Scalar:
    """Return a value with four digits where it is neither whole nor today's."""
    return float(f"{value:.4g}") if isinstance(value, float) and value != default else value
