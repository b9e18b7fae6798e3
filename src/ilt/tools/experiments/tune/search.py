"""The search: ask for settings, run them as an experiment, tell what came of it; until the budget is spent.

Everything is in SQLite before and after each iteration, so that a search may be killed at any time: what it
was running is tried again, and the stages that had run come from DVC's cache.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import psutil

from ilt.errors import IltError
from ilt.evaluation.figures import interval, percent
from ilt.tools.experiments.dvc import ExperimentError, remove_experiment
from ilt.tools.experiments.tune.file import Knob, Scalar
from ilt.tools.experiments.tune.pruning import verdict
from ilt.tools.experiments.tune.records import FOLDER, Study, open_study, read_study, use_optuna
from ilt.tools.experiments.tune.running import only_one
from ilt.tools.experiments.tune.space import Space
from ilt.tools.experiments.tune.trial import Step, run_trial

if TYPE_CHECKING:
    import optuna

__all__ = ["STARTUP", "search"]

STARTUP = 8
"""Trials before TPE (Bergstra et al. 2011) models what is good: today's defaults, then random ones."""

FAILURES = 3
"""Failed trials in a row that end a search: then it is not the settings."""

Say = Callable[[str], None]


def search(space: Space, name: str, trials: int | None, minutes: float | None, say: Say, stage: Say) -> Study:
    """Go on with a study, or begin it, until it has `trials` trials or this call has lasted `minutes`.

    No trial begins after that; one that runs is finished. say: is told what came of each iteration and trial.
    stage: is told what runs just now. Raises IltError for another search in the same study, for one that was
    begun with other files, and after three failed trials in a row.
    """
    until = None if minutes is None else time.monotonic() + 60 * minutes
    with only_one(FOLDER / f"{name}.running.json") as started:
        study = open_study(name, space.file.objective.minutes, create=True)
        _same(study, space)
        _pick_up(study, space, say)
        failed = 0
        while True:
            known = read_study(study)
            if trials is not None and known.counted >= trials:
                break
            if until is not None and time.monotonic() >= until:
                break
            failed = 0 if _trial(study, known, space, started, say, stage) else failed + 1
            if failed == FAILURES:
                raise IltError(
                    f"{FAILURES} trials in a row failed, the last with:\n"
                    f"{read_study(study).records[-1].reason}\n"
                    "Mend that and run the same command again: the study goes on"
                )
        return known


def _same(study: optuna.Study, space: Space) -> None:
    """Keep what the study is begun with; raise IltError where it was begun with something else."""
    now, before = space.fingerprint(), study.user_attrs.get("begun_with")
    if before is None:
        study.set_user_attr("defaults", space.defaults)
        study.set_user_attr("begun_with", now)
        return
    for file, part in (("tune.yaml", "tune"), ("params.yaml", "params")):
        if key := _difference(before[part], now[part]):
            raise IltError(
                f"study {study.study_name} was begun with another {file} ({key} differs), and its trials "
                "could not be compared with new ones; put it back, or begin another study: --study NAME"
            )


def _difference(one: Any, other: Any) -> str:
    """The dotted name of the first difference, or nothing."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted(one.keys() | other.keys()):
            if key not in one or key not in other:
                return str(key)
            if one[key] != other[key]:
                rest = _difference(one[key], other[key])
                return f"{key}.{rest}" if rest else str(key)
    return ""


def _pick_up(study: optuna.Study, space: Space, say: Say) -> None:
    """Let what a killed search was running be tried again, and today's defaults if they have not run."""
    optuna = use_optuna()
    trials = study.get_trials(deepcopy=False)
    waiting = [trial for trial in trials if trial.state.name == "WAITING"]
    for trial in trials:
        if trial.state.name != "RUNNING":
            continue
        values = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
        if values and not any(one.user_attrs.get("again") == trial.number for one in waiting):
            study.enqueue_trial(values, user_attrs={"again": trial.number})
        _stop(study, trial.number)
        remove_experiment(_experiment(study, trial.number))
        say(f"trial {trial.number} was stopped; its settings are tried again")
    state = optuna.trial.TrialState
    done = (state.COMPLETE, state.PRUNED, state.WAITING)
    tried = [
        {**trial.system_attrs.get("fixed_params", {}), **trial.params}
        for trial in study.get_trials(deepcopy=False, states=done)
    ]
    if space.defaults not in tried:
        study.enqueue_trial(space.defaults)


def _stop(study: optuna.Study, number: int) -> None:
    study.set_user_attr("stopped", sorted({*study.user_attrs.get("stopped", []), number}))
    study.tell(number, state=use_optuna().trial.TrialState.FAIL)


def _experiment(study: optuna.Study, number: int) -> str:
    return f"tune-{study.study_name}-{number:04d}"


def _trial(
    study: optuna.Study,
    known: Study,
    space: Space,
    started: Callable[[psutil.Process], None],
    say: Say,
    stage: Say,
) -> bool:
    """Run one trial; whether it did not fail."""
    optuna = use_optuna()
    # The seed follows from the trials so far, so that a search that was stopped goes on as it would have.
    study.sampler = optuna.samplers.TPESampler(
        n_startup_trials=STARTUP, multivariate=True, seed=space.params.seed + 1000 * known.counted
    )
    trial = study.ask()
    knobs, defaults = space.file.parameters, space.defaults
    values = {name: _suggest(trial, name, knob, defaults[name]) for name, knob in knobs.items()}
    name = _experiment(study, trial.number)
    overrides = space.fixed() + space.overrides(values)
    for key, value in {
        "values": values,
        "experiment": name,
        "overrides": overrides,
        "full_overrides": space.overrides(values, full=True),
        "commit": _commit(),
    }.items():
        trial.set_user_attr(key, value)
    said = "today's defaults" if values == space.defaults else _said(values, space.defaults)
    say(f"trial {trial.number} ({name}): {said}")
    state = optuna.trial.TrialState
    try:
        steps, reason = _iterate(study, trial, known, space, (name, overrides), started, (say, stage))
    except KeyboardInterrupt:
        study.enqueue_trial(trial.params, user_attrs={"again": trial.number})
        _stop(study, trial.number)
        say(f"trial {trial.number} stopped; the same command goes on with it")
        raise
    except IltError as error:
        trial.set_user_attr("reason", error.tail if isinstance(error, ExperimentError) else str(error))
        study.tell(trial, state=state.FAIL)
        say(f"  failed: {error}")
        return False
    if reason:
        trial.set_user_attr("reason", reason)
        study.tell(trial, state=state.PRUNED)
        say(f"  pruned: {reason}")
        return True
    end = steps[-1]
    study.tell(trial, [end.error, end.minutes] if space.file.objective.minutes else [end.error])
    best = known.best
    if best is None or best.last is None:
        say("  the first to finish")
    else:
        also = "the best so far, before" if end.error < best.last.error else "the best is"
        say(f"  {also} trial {best.number}: dev {percent(best.last.error)} %")
    return True


def _iterate(
    study: optuna.Study,
    trial: optuna.Trial,
    known: Study,
    space: Space,
    experiment: tuple[str, list[str]],
    started: Callable[[psutil.Process], None],
    tell: tuple[Say, Say],
) -> tuple[list[Step], str]:
    """The steps of a trial, and why it was pruned, if it was. Raises IltError where it fails."""
    evaluate, iterations = space.params.evaluate, space.iterations
    earlier = {record.number: record.steps for record in known.finished}
    steps: list[Step] = []
    log = FOLDER / study.study_name / f"{trial.number:04d}.log"
    for step in run_trial(*experiment, iterations, evaluate.normaliser, log, started, tell[1]):
        steps.append(step)
        trial.set_user_attr("steps", [one.to_dict() for one in steps])
        if not space.file.objective.minutes:  # Optuna takes these where there is one objective
            trial.report(step.error, len(steps))
        tell[0](f"  {step.iteration}: dev {percent(step.error)} %, {step.minutes:.1f} minutes")
        if len(steps) == len(iterations):
            break
        found = verdict(step, earlier, space.file.objective.minutes, evaluate.bootstrap, space.params.seed)
        if found is not None and found.clearly_worse:
            cheap = " for no more minutes" if space.file.objective.minutes else ""
            return steps, (
                f"after {step.iteration} clearly worse than trial {found.rival}{cheap}: {interval(found.gain)} points"
            )
    return steps, ""


def _suggest(trial: optuna.Trial, name: str, knob: Knob, default: Scalar) -> Scalar:
    """A value of a knob: of four digits where it is neither whole nor today's."""
    if knob.choices is not None:
        chosen: Scalar = trial.suggest_categorical(name, knob.choices)
        return chosen
    low, high = knob.low or 0, knob.high or 0
    if knob.whole:
        return trial.suggest_int(name, int(low), int(high), step=int(knob.step or 1), log=knob.log)
    found = trial.suggest_float(name, low, high, step=knob.step, log=knob.log)
    return found if found == default else float(f"{found:.4g}")


def _said(values: dict[str, Scalar], defaults: dict[str, Scalar]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items() if value != defaults[name])


def _commit() -> str:
    done = subprocess.run(["git", "rev-parse", "HEAD"], check=False, capture_output=True, text=True)
    return done.stdout.strip()
