"""`ilt ablate`: run what is missing of the arms, and write down what came of them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ilt import paths
from ilt.errors import IltError
from ilt.params import read_params
from ilt.tools.experiments import dvc
from ilt.tools.experiments.ablation.file import AblationFile, Run, planned, read_ablation_file
from ilt.tools.experiments.ablation.records import (
    FORMER_CODE,
    NOT_RECORDED,
    Record,
    planned_identity,
    read_record,
    record_of,
)
from ilt.tools.experiments.ablation.results import OURS, RESULTS, summarise, write_page

__all__ = ["Ablation", "open_ablation"]

LOGS = paths.WORK / "ablation"


@dataclass(frozen=True)
class Ablation:
    """The runs that are asked for, and those that are there. data, arms: names; no arms: all.

    records: by name of the run, what counts now. others: by name, the record of former code, or in words why there is
    no record that counts.
    """

    file: AblationFile
    data: list[str]
    arms: list[str]
    runs: list[Run]
    records: dict[str, Record] = field(default_factory=dict)
    others: dict[str, Record | str] = field(default_factory=dict)

    def look(self) -> None:
        """Look up what is there: recorded, or else an experiment, which is recorded now."""
        known = dvc.experiments()
        for run in self.runs:
            now, record = planned_identity(run), read_record(run)
            why = record if isinstance(record, str) else record.identity.why_other(now)
            if isinstance(record, Record) and why in ("", FORMER_CODE):
                (self.others if why else self.records)[run.name] = record
            else:
                self.others[run.name] = why
            if why and run.name in known:
                with suppress(FileNotFoundError):  # what it made is not in DVC's cache any more, or is older
                    record = record_of(run)
                    if not record.identity.why_other(now):
                        self._keep(run, record)

    def _keep(self, run: Run, record: Record) -> None:
        record.write()
        self.records[run.name] = record
        self.others.pop(run.name, None)

    def run(self, queued: bool, only_read: bool) -> None:
        """Run (or queue) each arm that is not there yet, then write results of all that are.

        Raises IltError for runs that fail; what ran before stays.
        """
        self.look()
        wanted = [run for run in self.runs if not self.arms or run.arm in self.arms]
        missing = [run for run in wanted if run.name not in self.records]
        print(f"{len(wanted) - len(missing)} of {len(wanted)} runs are there")
        whys = [FORMER_CODE if isinstance(self.others[run.name], Record) else self.others[run.name] for run in missing]
        for why in dict.fromkeys(whys):
            if why != NOT_RECORDED:
                advice = "; `ilt ablate --verify` can show that they still do" if why == FORMER_CODE else ""
                print(f"{whys.count(why)} more are recorded, but {why}: they do not count{advice}")
        for number, run in enumerate([] if only_read else missing, 1):
            print(f"[{number}/{len(missing)}] {run.name}{' is in the queue' if queued else ''}", flush=True)
            if queued:
                dvc.queue_experiment(run.name, run.overrides)
                continue
            stages = _experiment(run)
            record = record_of(run)
            self._keep(run, record)
            print(f"  {len(stages)} stages ran; test error {record.ours.rate:.1%}", flush=True)
            self.write(run.data)
        if queued and missing:
            print("`dvc queue start --jobs 2` runs them; `ilt ablate` then writes the results")
        for name in self.data:
            self.write(name)

    def verify(self) -> bool:
        """Show that records of former code are what the code of now would give, and let them count.

        By data set, each of `arms` (full ILT where none is named) is run again with the first seed. Where all come out
        the same, in every utterance, those records count whose code differs in nothing but what these ran. Returns
        whether all came out the same.
        Raises IltError, before anything runs, where an arm has no record of former code to be compared with.
        """
        self.look()
        tried = {name: self._to_try([run for run in self.runs if run.data == name]) for name in self.data}
        alike = [self._verify(name, runs) for name, runs in tried.items()]
        return all(alike)

    def _to_try(self, runs: list[Run]) -> list[Run]:
        """Return the runs to be made again; none where all records count."""
        others = [self.others[run.name] for run in runs if run.name in self.others]
        if len(others) < len(runs) and all(other == NOT_RECORDED for other in others):
            return []
        tried = []
        for arm in self.arms or [OURS]:
            run = next((run for run in runs if run.arm == arm), None)
            if run is None:
                raise IltError(f"{runs[0].data} has no arm {arm}; name a data set that has, with --data")
            other = self.others.get(run.name, "recorded with the code of now")
            if isinstance(other, str):
                raise IltError(f"{run.name} is {other}: there is nothing to compare it with; name another --arm")
            tried.append(run)
        return tried

    def _verify(self, data: str, tried: list[Run]) -> bool:
        if not tried:
            print(f"{data}: all records count already")
            return True
        shown: set[tuple[str, str]] = set()
        alike = []
        for run in tried:
            before = self.others[run.name]
            assert isinstance(before, Record)
            alike.append(_is_alike(run, before))
            shown |= _changes(before, run)
        if not all(alike):
            return False
        former = [(run, record) for run in self.runs if isinstance(record := self.others.get(run.name), Record)]
        former = [(run, record) for run, record in former if run.data == data]
        carried = [(run, record) for run, record in former if _changes(record, run) <= shown]
        for run, record in carried:
            self._keep(run, record.carried(planned_identity(run)))
        rest = dict.fromkeys(run.arm for run, _ in former if run.name in self.others)
        also = f"; {', '.join(rest)} use other code, too: name them with --arm" if rest else ""
        print(f"{data}: {len(carried)} of {len(former)} records of former code count for the code of now{also}")
        self.write(data)
        return True

    def write(self, data: str) -> None:
        """Write the results of one data set, and the page; nothing where nothing is there."""
        records = [self.records[run.name] for run in self.runs if run.data == data and run.name in self.records]
        if not records:
            return
        bases = {record.base.seed: record.base for record in records}
        machines = [record.machine for record in records]
        size = {name: getattr(self.file, name) for name in ("reduce", "steps", "full_learning_rate")}
        summary = {
            "machines": [each for number, each in enumerate(machines) if each not in machines[:number]],
            "size": size | {"data": self.file.data[data]},
            **summarise([*(record.ours for record in records), *bases.values()]),
        }
        paths.write_json(RESULTS / f"ablation-{data}.json", summary, sort_keys=False)
        write_page(self.file)


def open_ablation(path: Path, data: list[str], arms: list[str], manifest: Path | None) -> Ablation:
    """Return the runs of ablation.yaml. data: names; none: all. manifest: of data sets that are one and do not name it.

    Raises IltError for names that do not exist, and where a manifest is missing.
    """
    file = read_ablation_file(path)
    names = data or [name for name in file.data if manifest or not file.wants_manifest(name)]
    wanting = [name for name in names if file.wants_manifest(name)]
    keys: dict[str, Any] = {}
    if manifest is None and wanting:
        raise IltError(f"{wanting[0]} needs --manifest PATH of its manifest")
    if manifest is not None:
        if not manifest.is_file():
            raise IltError(f"--manifest {manifest}: there is no such file")
        keys["corpus.manifest"] = str(manifest.resolve())
        reference = manifest.resolve().with_name("pool_reference.jsonl")
        keys |= {"corpus.pool_reference": str(reference)} if reference.is_file() else {}
    return Ablation(file, names, arms, list(planned(file, read_params(), names, dict.fromkeys(wanting, keys), arms)))


def _experiment(run: Run) -> list[str]:
    """Run the whole pipeline, the report too, since its metrics are what `dvc exp show` shows of an experiment."""
    return dvc.run_experiment(run.name, run.overrides, log=LOGS / f"{run.name}.log")


def _changes(record: Record, run: Run) -> set[tuple[str, str]]:
    """Return the pairs of digests, of the record and of now, of the stages whose code has changed."""
    now = planned_identity(run).part("code")
    return {(digest, now[stage]) for stage, digest in record.identity.part("code").items() if digest != now[stage]}


def _is_alike(run: Run, before: Record) -> bool:
    """Run an arm again, and return whether it comes out as it did.

    Where it does not, its experiment is forgotten: it would count as the run, and its record be written over.
    """
    print(f"{run.name} runs again", flush=True)
    stages = _experiment(run)
    wrong = before.differences(record_of(run))
    what = "the same as recorded" if not wrong else (
        "other errors on dev or retention than recorded" if wrong < 0
        else f"other errors than recorded in {wrong} of {len(before.ours.units)} test utterances"
    )  # fmt: skip
    where = ", ".join(f"{key} {value}" for key, value in before.machine.items())
    print(f"  {len(stages)} stages ran: {what}" + (f"; that was on {where}" if wrong else ""), flush=True)
    if wrong:
        dvc.remove_experiment(run.name)
    return not wrong
