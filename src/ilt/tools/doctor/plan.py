"""Settings of a model that fit this machine, as `ilt init` writes them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ilt.asr.model_files import context_seconds, require_model
from ilt.errors import IltError
from ilt.params import ModelParams, TrainParams
from ilt.tools.doctor.machine import GIB, Machine, Workload, look_at_machine
from ilt.tools.doctor.shape import Shape, released_shape, shape_of

__all__ = ["MachinePlan", "plan_for_machine"]

SHARE = 0.55
"""Share of the free memory that the estimates of a plan take at most: with gradient checkpointing, measured peaks
were up to 1.8 times the estimate (docs/models.md)."""

WANTED = {"cpu": (8, 16), "cuda": (32, 64)}
"""Utterances of an optimiser step and of a decoding batch, by device, where memory is no limit."""


@dataclass(frozen=True)
class MachinePlan:
    """Settings of a model that fit a machine.

    batch_size, gradient_accumulation: their product is the utterances of an optimiser step.
    fits:   false where even these, the leanest settings, need more than is free.
    reason: in words, for the person who reads the settings.
    """

    batch_size: int
    gradient_accumulation: int
    gradient_checkpointing: bool
    decode_batch: int
    dtype: str
    fits: bool
    reason: str


def _halved(number: int) -> list[int]:
    """Return a number, its half, and so on down to 1."""
    return [number >> n for n in range(number.bit_length())]


def _trainings(step: int) -> Iterator[TrainParams]:
    """Yield trainings from the fastest to the leanest: checkpointing costs a third more time, small batches more."""
    yield TrainParams(steps=1, batch_size=step)
    for size in _halved(step):
        yield TrainParams(steps=1, batch_size=size, gradient_checkpointing=True)


def _shape(model_id: str, revision: str | None) -> tuple[Shape | None, float]:
    """Return the shape of a model and the seconds that it takes at once; a released one needs no hub."""
    try:
        config, context = require_model(model_id, revision), context_seconds(model_id, revision)
    except IltError:
        return released_shape(model_id), 30.0
    return shape_of(config, model_id), context


def plan_for_machine(model_id: str, revision: str | None, seconds: float) -> MachinePlan:
    """Return the settings with which a model and a LoRA of the default size fit this machine.

    seconds: of the longest utterances. Raises IltError where the device cannot be used.
    """
    import torch

    machine = look_at_machine()
    device = torch.device(machine.device)
    step, decode = WANTED.get(device.type, WANTED["cpu"])
    shape, context = _shape(model_id, revision)
    if shape is None:
        reason = f"the memory that {model_id} needs cannot be estimated: these are the usual settings"
        return MachinePlan(step, 1, False, decode, "auto", True, reason)
    most = SHARE * machine.memory
    for dtype in ("auto", "bfloat16"):
        model = ModelParams(id=model_id, audio_context="full", dtype=dtype)
        workload = Workload(shape, model, device, seconds, context)
        trainings, batches = list(_trainings(step)), _halved(decode)
        train = next((one for one in trainings if workload.training(one, one.batch_size) <= most), trainings[-1])
        batch = next((count for count in batches if workload.decoding(count) <= most), 1)
        fits = max(workload.training(train, train.batch_size), workload.decoding(batch)) <= most
        fits = fits and workload.loading() <= SHARE * machine.main
        if fits or workload.dtype.itemsize == 2:
            break
    return MachinePlan(
        train.batch_size, step // train.batch_size, train.gradient_checkpointing, batch, dtype, fits,
        _reason(workload, train, batch, machine) if fits else _lacking(workload, machine),
    )  # fmt: skip


def _gib(count: int) -> str:
    return f"{count / GIB:.1f} GiB"


def _reason(workload: Workload, train: TrainParams, batch: int, machine: Machine) -> str:
    step = train.batch_size
    return (
        f"a batch of {step} takes {_gib(workload.training(train, step))} in training"
        + (" with gradient checkpointing" if train.gradient_checkpointing else "")
        + f", one of {batch} {_gib(workload.decoding(batch))} in decoding (utterances of "
        f"{min(workload.seconds, workload.context):g} s); {machine.device} has {_gib(machine.memory)} free"
    )


def _lacking(workload: Workload, machine: Machine) -> str:
    leanest = list(_trainings(1))[-1]
    needed = max(workload.training(leanest, 1), workload.decoding(1), workload.loading())
    return (
        f"{workload.model.id} needs {_gib(needed)} even for one utterance at a time, and {_gib(machine.memory)} are "
        f"free on {machine.device}, of which a plan takes {SHARE:.0%}: take a smaller model or a larger machine"
    )
