"""`ilt doctor`: what this machine can run, before anything is run."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ilt.asr.device import feature_cache_mb
from ilt.asr.families import model_info
from ilt.asr.lineage import base_lineage
from ilt.asr.model_files import context_seconds, require_model
from ilt.errors import IltError
from ilt.params import TRAINING_STAGES, LabelParams, Params, ordered_iterations, stage_section, training
from ilt.stages.plan import resolve
from ilt.tools.doctor.checks import Finding, extras, languages, programs
from ilt.tools.doctor.machine import GIB, Machine, Workload, look_at_machine
from ilt.tools.doctor.memory import trained_bytes
from ilt.tools.doctor.shape import RELEASED, Shape, released_shape, shape_of

__all__ = ["Need", "Report", "Verdict", "examine"]

LEANER = "set gradient_checkpointing: true and dtype: bfloat16"

SAVING = f"lower decode_batch and batch_size (and raise gradient_accumulation), or {LEANER}"


@dataclass(frozen=True)
class Need:
    """A resource that there is too little of: bytes that one utterance at a time needs, and bytes that are free."""

    of: str
    needed: int
    free: int

    def __str__(self) -> str:
        return f"{self.needed / GIB:.1f} GiB of {self.of} are needed and {self.free / GIB:.1f} free"


@dataclass(frozen=True)
class Verdict:
    """One model on this machine, in bytes.

    loading: of main memory, while the weights are loaded.
    fits: yes; in smaller batches; or no: not even one utterance in memory, main memory too small for loading,
    or no room on disk.
    """

    model: str
    parameters: int
    labelling: int
    training: int
    disk: int
    loading: int
    fits: Literal["yes", "smaller batches", "no"]
    lacks: tuple[Need, ...] = ()


@dataclass(frozen=True)
class Report:
    """All that `ilt doctor` says. verdicts: on the configured model, if it can be estimated, and released ones."""

    machine: Machine
    findings: list[Finding]
    verdicts: list[Verdict]


def _peak(workload: Workload, params: Params, most: int) -> tuple[int, int]:
    """Return the bytes of labelling and of training at the batches of params.yaml, of at most `most` utterances."""
    model, order = params.model, ordered_iterations(params)
    batch = min(model.decode_batch, workload.count(model.decode_batch, model.decode_batch_seconds))
    beams = max(stage_section(params, name, "label", LabelParams).beams for name in order)
    full_context = params.baseline.audio_context == "full"
    decoding = max(
        workload.decoding(min(most, batch), beams, full_context=False),
        workload.decoding(min(most, batch), full_context=full_context),
    )
    full = params.adapter.mode == "full"
    stages = [training(params, name, stage) for name in order for stage in TRAINING_STAGES]
    return decoding, max(
        workload.training(stage, min(most, workload.count(stage.batch_size, stage.batch_seconds)), full)
        for stage in (stages[:1] if full else stages)
    )


def _judge(name: str, workload: Workload, params: Params, machine: Machine, on_disk: bool = False) -> Verdict:
    """Compare what a model needs at the batches of params.yaml with what the machine has."""
    shape, full = workload.shape, params.adapter.mode == "full"
    stages = [training(params, each, stage) for each in ordered_iterations(params) for stage in TRAINING_STAGES]
    labelling, train = _peak(workload, params, sys.maxsize)
    # Half precision files, unless they are here; adapters, each with the best one and its optimiser's state.
    adapters = sum(
        trained_bytes(shape, stage, workload.dtype.itemsize, full) for stage in (stages[:1] if full else stages)
    )
    disk = (0 if on_disk else 2 * shape.parameters) + adapters
    loading, least = workload.loading(), max(_peak(workload, params, 1))
    needs = [Need("memory", least, machine.memory), Need("disk", disk, machine.disk)]
    if machine.device == "cpu":
        needs[0] = Need("memory", max(least, loading), machine.memory)
    else:
        needs.insert(1, Need("main memory", loading, machine.main))
    lacks = tuple(need for need in needs if need.needed > need.free)
    enough = max(labelling, train) <= machine.memory
    fits: Literal["yes", "smaller batches", "no"] = "no" if lacks else "yes" if enough else "smaller batches"
    return Verdict(name, shape.parameters, labelling, train, disk, loading, fits, lacks)


def _model(params: Params) -> tuple[Finding, Shape | None, bool]:
    """Check that the configured model can be had; its shape; whether its weights are on disk."""
    name, revision = params.model.id, params.model.revision
    local, shape = Path(name).is_dir(), None
    try:
        config = require_model(name, revision)
        shape = shape_of(config, name)
        if local:
            base_lineage(name, revision)
        model_info(params.model)
        context_seconds(name, revision)
    except IltError as error:
        return Finding("model", "broken", str(error)), shape or released_shape(name), local
    if local:
        return Finding("model", "ok", f"{name}, a {config.get('model_type')} on disk"), shape, True
    from huggingface_hub import try_to_load_from_cache

    files = ("model.safetensors", "model.safetensors.index.json")
    cached = any(isinstance(try_to_load_from_cache(name, file, revision=revision), str) for file in files)
    pinned = "" if revision else "; set model.revision to a commit, so that it stays the same"
    where = "on disk" if cached else "to be downloaded from the hub"
    return Finding("model", "ok", f"{name}, a {config.get('model_type')} {where}{pinned}"), shape, cached


def _memory(own: Verdict, machine: Machine) -> Iterator[Finding]:
    """Yield the advice that a verdict on the configured model calls for."""
    if own.fits == "no":
        what = f"{own.model} does not fit, not even one utterance at a time: {'; '.join(map(str, own.lacks))}; "
        yield Finding("memory", "broken", f"{what}take a smaller one, or {LEANER}")
    elif own.fits == "smaller batches":
        then = (
            "the system kills what takes too much, so"
            if machine.device == "cpu"
            else "batches will be halved until they fit; to begin with such,"
        )
        yield Finding("memory", "missing", f"too little for these batches; {then} {SAVING}")


def examine(params: Params, seconds: float) -> Report:
    """Look at the machine, what the project needs, and the memory of the configured and of released models.

    seconds: length of the utterances that memory is estimated for.
    """
    import torch

    machine, name = look_at_machine(), params.model.id
    device = torch.device(machine.device)
    finding, shape, on_disk = _model(params)
    findings, verdicts = [finding], []
    if finding.state == "ok":
        findings.append(languages(resolve(params)))
    if shape is not None:
        context = context_seconds(name, params.model.revision) if finding.state == "ok" else 30.0
        workload = Workload(shape, params.model, device, seconds, context)
        try:
            own = _judge(name, workload, params, machine, on_disk)
        except IltError as error:
            findings.append(Finding("adapter", "broken", str(error)))
        else:
            verdicts.append(own)
            findings += _memory(own, machine)
    elif finding.state == "ok":
        findings.append(Finding("memory", "ok", "no estimate for this architecture"))
    for other in (key for key in RELEASED if key != name):
        released = released_shape(other)
        assert released is not None
        with suppress(IltError):  # lora.target_modules may name layers that it does not have
            verdicts.append(_judge(other, Workload(released, params.model, device, seconds), params, machine))
    cache = feature_cache_mb() * 2**20
    if cache > machine.disk:
        what = f"the feature cache may take {cache / GIB:.1f} GiB of disk: lower ILT_FEATURE_CACHE_MB"
        findings.append(Finding("disk", "missing", what))
    return Report(machine, [*findings, *programs(), *extras()], verdicts)
