"""`ilt tune show`: the trials of a study, which are best, which knobs mattered, and how to use the best."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ilt import paths
from ilt.evaluation.figures import interval, percent
from ilt.tools.experiments.dvc import experiments, read_json
from ilt.tools.experiments.tune.pruning import gain_over
from ilt.tools.experiments.tune.records import Record, Study, use_optuna

if TYPE_CHECKING:
    import optuna

__all__ = ["ENOUGH", "Importances", "importances", "print_study", "test_errors", "to_dict"]

ENOUGH = 8
"""Finished trials below which importances would be noise."""


@dataclass(frozen=True)
class Importances:
    """Share of the variance over finished trials that each knob explains (fANOVA, Hutter et al. 2014).

    of: by objective (`error`, `minutes`) and knob, from the greatest; None with a reason why there are none.
    """

    of: dict[str, dict[str, float]] | None
    reason: str = ""


def importances(study: optuna.Study, found: Study) -> Importances:
    """The importances of a study; none where there are too few trials or nothing varies."""
    if len(found.finished) < ENOUGH:
        return Importances(None, f"{ENOUGH} finished trials are needed, there are {len(found.finished)}")
    optuna = use_optuna()
    result: dict[str, dict[str, float]] = {}
    for at, objective in enumerate(["error", "minutes"][: len(study.directions)]):
        values = {trial.values[at] for trial in study.get_trials(deepcopy=False) if trial.values}
        if len(values) < 2:
            continue

        def target(trial: Any, at: int = at) -> float:
            return trial.values[at]

        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=int(found.params["seed"]))
        shares = optuna.importance.get_param_importances(study, evaluator=evaluator, target=target)
        result[objective] = {name: round(share, 4) for name, share in shares.items()}
    return Importances(result) if result else Importances(None, "all finished trials are alike")


def test_errors(found: Study) -> dict[int, float]:
    """Micro error rate on test after the last iteration of each finished trial whose experiment is there."""
    there, result = experiments(), {}
    for record in found.finished:
        if record.experiment not in there:
            continue
        read = read_json(record.experiment, paths.evaluation(record.steps[-1].iteration))
        if read is not None:
            result[record.number] = float(read["test"]["micro"])
    return result


def _gain(found: Study, record: Record) -> dict[str, float] | None:
    """What a trial gained on dev over the defaults."""
    default = found.default
    if default is None or default.number == record.number:
        return None
    samples = int((found.params.get("evaluate") or {}).get("bootstrap", 2000))
    return gain_over(default.steps[-1], record.steps[-1], samples, int(found.params["seed"]))


def _commands(record: Record) -> dict[str, str]:
    settings = " ".join(f"-S {shlex.quote(text)}" for text in record.full_overrides)
    return {
        "apply": f"dvc exp apply {record.experiment}",
        "full": f"dvc exp run {settings}".strip(),
    }


def to_dict(found: Study, shares: Importances, tests: dict[int, float] | None) -> dict[str, Any]:
    """All of it, as JSON can hold it."""
    best = found.best
    trials = []
    for record in found.records:
        entry: dict[str, Any] = {
            "number": record.number,
            "state": record.state,
            "experiment": record.experiment,
            "commit": record.commit,
            "values": record.values,
            "steps": [
                {"iteration": step.iteration, "error": step.error, "minutes": step.minutes} for step in record.steps
            ],
            "error": record.last.error if record.last else None,
            "minutes": record.last.minutes if record.last else None,
            "reason": record.reason,
            "overrides": record.overrides,
            "full_overrides": record.full_overrides,
        }
        if tests is not None:
            entry["test"] = tests.get(record.number)
        trials.append(entry)
    return {
        "study": found.name,
        "objective": found.file.objective.model_dump(),
        "reduce": found.file.reduce,
        "defaults": found.defaults,
        "trials": trials,
        "best": best.number if best else None,
        "gain_over_defaults": _gain(found, best) if best else None,
        "front": [record.number for record in found.front] if found.file.objective.minutes else None,
        "importances": shares.of,
        "importances_missing": shares.reason,
        "commands": _commands(best) if best else None,
    }


def print_study(found: Study, shares: Importances, tests: dict[int, float] | None) -> None:
    """Tables and sentences for people."""
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else 150, highlight=False)
    console.print(_headline(found))
    console.print(_trials(found, tests))
    if found.file.objective.minutes and found.front:
        numbers = ", ".join(str(record.number) for record in found.front)
        console.print(f"* Pareto front ({numbers}): no trial is both as good and as cheap.")
    for record in found.records:
        if record.reason:
            console.print(f"trial {record.number} {record.state}: {record.reason}", markup=False)
    if len({record.commit for record in found.records if record.commit}) > 1:
        console.print("Trials ran on more than one commit (--format json has them): compare with care.")
    console.print(_importances(shares))
    _print_best(console, found, tests)


def _headline(found: Study) -> str:
    counts = {
        state: sum(record.state == state for record in found.records)
        for state in ("finished", "pruned", "failed", "stopped", "running")
    }
    said = ", ".join(f"{count} {state}" for state, count in counts.items() if count) or "none"
    small = ", ".join(f"{key}={value}" for key, value in found.file.reduce.items())
    judged = "dev error and minutes" if found.file.objective.minutes else "dev error"
    lines = [f"Study {found.name}: trials {said}; judged by {judged}."]
    if small:
        lines.append(f"All trials are smaller than params.yaml: {small}.")
    return "\n".join(lines)


def _trials(found: Study, tests: dict[int, float] | None) -> Any:
    from rich.table import Table

    table = Table()
    table.add_column("trial", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for name in ["dev %", *([] if tests is None else ["test %"]), "minutes"]:
        table.add_column(name, justify="right", no_wrap=True)
    names = list(found.file.parameters)
    for name in names:
        table.add_column(name, justify="right", overflow="fold")
    front = {record.number for record in found.front} if found.file.objective.minutes else set()
    best, default = found.best, found.default
    for record in found.records:
        if record.state == "waiting":
            continue
        step = record.last
        notes = [record.state] if record.state != "finished" else []
        notes += ["defaults"] if default and record.number == default.number else []
        notes += ["best"] if best and record.number == best.number else []
        at = f" at {step.iteration}" if record.state == "pruned" and step else ""
        cells = [f"{'*' if record.number in front else ''}{record.number}", ", ".join(notes) + at]
        cells.append(percent(step.error) if step else "")
        cells += [] if tests is None else [percent(tests.get(record.number))]
        cells.append(f"{step.minutes:.1f}" if step else "")
        cells += [_value(record.values.get(name, "")) for name in names]
        table.add_row(*cells, style="bold" if "best" in notes else "dim" if step is None or at else None)
    return table


def _value(value: Any) -> str:
    if value is None:
        return "null"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _importances(shares: Importances) -> Any:
    from rich.table import Table

    if shares.of is None:
        return f"Importance of parameters: {shares.reason}."
    table = Table(title="Importance: share of the variance over finished trials", title_justify="left")
    table.add_column("parameter")
    for objective in shares.of:
        table.add_column(f"of {'dev error' if objective == 'error' else objective}", justify="right")
    for name in next(iter(shares.of.values())):
        table.add_row(name, *(f"{100 * of.get(name, 0.0):.0f} %" for of in shares.of.values()))
    return table


def _print_best(console: Any, found: Study, tests: dict[int, float] | None) -> None:
    best, default = found.best, found.default
    if best is None or best.last is None:
        console.print("No trial has finished yet.")
        return
    said = f"Best: trial {best.number}, dev {percent(best.last.error)} %, {best.last.minutes:.1f} minutes"
    gain = _gain(found, best)
    if default is not None and best.number == default.number:
        console.print(said + ": today's defaults. No trial was better.")
    elif gain is not None:
        clear = "" if gain["low"] > 0 else ", not clear of 0"
        console.print(
            f"{said}; over today's defaults {interval(gain)} points on dev{clear}.\n"
            f"It was picked out of {len(found.finished)} by dev, which flatters it: judge it on test, "
            "at full size."
        )
    else:
        console.print(said + ".")
    if tests is not None and best.number in tests:
        also = f" (the defaults: {percent(tests[default.number])} %)" if default and default.number in tests else ""
        console.print(f"On test: {percent(tests[best.number])} %{also}.")
    commands = _commands(best)
    print(f"\n  {commands['apply']}    # brings the trial back, at the size that it ran")
    if best.full_overrides:
        print(f"  {commands['full']}    # its settings at full size")
