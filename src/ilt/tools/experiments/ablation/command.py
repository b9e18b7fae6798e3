"""`ilt ablate`: run what is missing of the arms, and write down what came of them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ilt.errors import IltError
from ilt.evaluation.scoring import rate
from ilt.params import read_params
from ilt.paths import read_json, replacing, write_json
from ilt.tools.experiments.ablation.file import AblationFile, read_ablation_file
from ilt.tools.experiments.ablation.records import (
    Record,
    carry_over,
    code_digest,
    is_done,
    is_recorded,
    read_former,
    read_record,
    write_record,
)
from ilt.tools.experiments.ablation.results import OURS, RESULTS, outcome_of, summarise
from ilt.tools.experiments.ablation.running import Run, planned, queue, run
from ilt.tools.experiments.ablation.show import to_markdown
from ilt.tools.experiments.dvc import experiments, remove_experiment

__all__ = ["run_ablation", "verify_ablation", "write_page"]

PAGE = Path("docs") / "RESULTS.md"


def _wants_manifest(file: AblationFile, name: str) -> bool:
    told = file.data.get(name, {})
    return told.get("corpus.source") == "manifest" and "corpus.manifest" not in told


def _extra(file: AblationFile, data: list[str], manifest: Path | None) -> dict[str, dict[str, Any]]:
    """The manifest for data sets that want one. Raises IltError where it is missing."""
    wanting = [name for name in data if _wants_manifest(file, name)]
    if manifest is None:
        if wanting:
            raise IltError(f"{wanting[0]} needs --manifest PATH of its manifest")
        return {}
    if not manifest.is_file():
        raise IltError(f"--manifest {manifest}: there is no such file")
    found: dict[str, Any] = {"corpus.manifest": str(manifest.resolve())}
    reference = manifest.resolve().with_name("pool_reference.jsonl")
    if reference.is_file():
        found["corpus.pool_reference"] = str(reference)
    return dict.fromkeys(wanting, found)


def _plan(
    path: Path, data: list[str], arms: list[str], manifest: Path | None
) -> tuple[AblationFile, list[str], list[Run]]:
    """The file, the data sets that are asked for, and all their runs."""
    file = read_ablation_file(path)
    names = data or list(file.data)
    if not data and manifest is None:
        names = [name for name in names if not _wants_manifest(file, name)]
    return file, names, list(planned(file, read_params(), names, _extra(file, names, manifest), arms))


def run_ablation(
    path: Path, data: list[str], arms: list[str], manifest: Path | None, queued: bool, only_read: bool
) -> None:
    """Run (or queue) each arm that is not there yet, then write results of all that are.

    A run is there where it is recorded, or an experiment, with the same parameters and code.

    Raises IltError for names that do not exist and for runs that fail; what ran before stays.
    """
    file, names, runs = _plan(path, data, arms, manifest)
    wanted = [one for one in runs if not arms or one.arm in arms]
    found = _Found(file, _there(runs))
    missing = [one for one in wanted if one.name not in found.records]
    print(f"{len(wanted) - len(missing)} of {len(wanted)} runs are there")
    for number, one in enumerate([] if only_read else missing, 1):
        if queued:
            queue(one)
            print(f"[{number}/{len(missing)}] {one.name} is in the queue", flush=True)
            continue
        print(f"[{number}/{len(missing)}] {one.name}", flush=True)
        stages = run(one)
        found.records[one.name] = record = _record(one, _code_of(one))
        error = rate(record.ours.errors, record.ours.units)
        print(f"  {len(stages)} stages ran; test error {error:.1%}", flush=True)
        found.write(one.data, runs)
    if queued and missing:
        print("`dvc queue start --jobs 2` runs them; `ilt ablate` then writes the results")
    for name in names:
        found.write(name, runs)


def verify_ablation(path: Path, data: list[str], arms: list[str], manifest: Path | None) -> bool:
    """Show that records of former code are what the code of now would give, and let them count.

    By data set, each of `arms` (full ILT where none is named) is run again with the first seed. Where all of
    them come out the same, in every utterance, the records of that code count for the code of now; else they
    stay as they are. Returns whether all did.

    Raises IltError, before anything runs, where an arm has no record of former code to be compared with.
    """
    file, names, runs = _plan(path, data, arms, manifest)
    of_each = [[one for one in runs if one.data == name] for name in names]
    wanted = [(those, _tried(those, arms or [OURS])) for those in of_each]
    alike = [_verify(file, those, tried) for those, tried in wanted]
    return all(alike)


def _tried(runs: list[Run], arms: list[str]) -> list[tuple[Run, Record]]:
    """Of each arm, what is to run again and its record of former code; nothing where all records count."""
    codes = _codes(runs)
    recorded = [one for one in runs if is_recorded(one)]
    if recorded and all(read_record(one, codes[_model_files(one)]) for one in recorded):
        return []
    found = []
    for arm in arms:
        one = next((one for one in runs if one.arm == arm), None)
        if one is None:
            raise IltError(f"{runs[0].data} has no arm {arm}; name a data set that has, with --data")
        record = read_former(one, codes[_model_files(one)])
        if record is None:
            why = (
                "is recorded with the code of now, or with other parameters" if is_recorded(one)
                else "is not recorded"
            )  # fmt: skip
            raise IltError(f"{one.name} {why}: there is nothing to compare it with; name another --arm")
        found.append((one, record))
    return found


def _verify(file: AblationFile, runs: list[Run], tried: list[tuple[Run, Record]]) -> bool:
    """`verify_ablation` of one data set, whose runs these are."""
    data = runs[0].data
    if not tried:
        print(f"{data}: all records count already")
        return True
    code = code_digest(_model_files(tried[0][0]))
    alike = [_alike(one, record) for one, record in tried]
    if not all(alike):
        return False
    former = [(one, record) for one in runs if (record := read_former(one, code)) is not None]
    shown = {record.code for _, record in tried}
    carried = [one for one, record in former if record.code in shown]
    for one in carried:
        carry_over(one, code)
    print(f"{data}: {len(carried)} of {len(former)} records of former code count for the code of now")
    _Found(file, _there(runs)).write(data, runs)
    return True


def _alike(one: Run, before: Record) -> bool:
    """Run an arm again, and tell whether it comes out as it did.

    Where it does not, its experiment is forgotten: it would count as the run, and its record be written over.
    """
    print(f"{one.name} runs again", flush=True)
    stages = run(one)
    now = Record(outcome_of(one), outcome_of(one, base=True), {}, _code_of(one))
    wrong = before.differences(now)
    what = "the same as recorded" if not wrong else (
        "other errors on dev or retention than recorded" if wrong < 0
        else f"other errors than recorded in {wrong} of {len(now.ours.units)} test utterances"
    )  # fmt: skip
    where = ", ".join(f"{key} {value}" for key, value in before.machine.items())
    print(f"  {len(stages)} stages ran: {what}" + (f"; that was on {where}" if wrong else ""), flush=True)
    if wrong:
        remove_experiment(one.name)
    return not wrong


def _model_files(one: Run) -> str:
    return str(one.values["model"]["files"])


def _codes(runs: list[Run]) -> dict[str, str]:
    """By the files of the base model, the hash of the code of now."""
    return {files: code_digest(files) for files in {_model_files(one) for one in runs}}


def _code_of(one: Run) -> str:
    """The hash of the code that an experiment ran with."""
    return code_digest(_model_files(one), one.name)


def _record(one: Run, code: str) -> Record:
    """Record what an experiment left, with the code that it ran with, and the base as it measured it."""
    return write_record(one, code, outcome_of(one), outcome_of(one, base=True))


def _there(runs: list[Run]) -> dict[str, Record]:
    """What is there of some runs, by name: recorded, or else experiments, which are recorded now."""
    known, codes = experiments(), _codes(runs)
    found: dict[str, Record] = {}
    for one in runs:
        code = codes[_model_files(one)]
        if record := read_record(one, code):
            found[one.name] = record
        elif is_done(one, known) and _code_of(one) == code:
            with suppress(FileNotFoundError):  # what it made is not in DVC's cache any more
                found[one.name] = _record(one, code)
    return found


@dataclass(frozen=True)
class _Found:
    """What is there, read once, by name of the run."""

    file: AblationFile
    records: dict[str, Record]

    def write(self, data: str, runs: list[Run]) -> None:
        """Write the results of one data set, and the page; nothing where nothing is there."""
        those = [self.records[one.name] for one in runs if one.data == data and one.name in self.records]
        if not those:
            return
        bases = {one.base.seed: one.base for one in those}
        file = self.file
        size = {"reduce": file.reduce, "steps": file.steps, "full_learning_rate": file.full_learning_rate}
        machines = [one.machine for one in those]
        told = {
            "machines": [each for number, each in enumerate(machines) if each not in machines[:number]],
            "size": size | {"data": file.data[data]},
            **summarise([*(one.ours for one in those), *bases.values()]),
        }
        write_json(RESULTS / f"ablation-{data}.json", told, sort_keys=False)
        write_page(file)


def _result(path: Path) -> dict[str, Any]:
    """A result as it was written. Raises IltError for one that cannot be read, as git's conflicts."""
    try:
        found: dict[str, Any] = read_json(path)
        if {"machines", "size", "arms", "contrasts"} <= set(found):
            return found
    except IltError:
        pass
    raise IltError(f"{path} is no result of the ablation; delete it, and `ilt ablate --read` makes it anew")


def write_page(file: AblationFile) -> None:
    """docs/RESULTS.md, from all results that lie in benchmarks/results."""
    parts = []
    for name in file.data:
        path = RESULTS / f"ablation-{name}.json"
        if not path.is_file():
            continue
        found = _result(path)
        said = yaml.safe_dump(found["size"], sort_keys=False, default_flow_style=None).strip()
        on = "; and on ".join(
            ", ".join(f"{key} {value}" for key, value in machine.items()) for machine in found["machines"]
        )
        parts.append(f"## {name}\n\n{to_markdown(found)}\nOn {on}. Its size:\n\n```yaml\n{said}\n```\n")
    if not parts:
        return
    head = (
        "# Does it pay?\n\nWritten by `ilt ablate` from `benchmarks/results/ablation-*.json`; "
        "[ablation.md](ablation.md) says how. Error rates in %, mean and standard deviation over seeds; "
        "gains in points; all arms have equally many optimiser steps, but for `one_half`. Checkpoints, "
        "calibration and the best plain LoRA are chosen on dev. Minutes are of machines that were busy with "
        "other things to different degrees: read no ratio below two from them.\n"
    )
    with replacing(PAGE) as temporary:
        temporary.write_text("\n".join([head, *parts]), encoding="utf-8")
