"""`ilt doctor`: what this machine can run, before anything is run."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ilt.asr.device import pick_attention, pick_device, pick_dtype
from ilt.asr.lineage import base_lineage
from ilt.asr.model_files import context_seconds, require_model
from ilt.errors import IltError
from ilt.params import TRAINING_STAGES, LabelParams, Params, TrainParams
from ilt.tools.doctor.checks import Finding, extras, languages, programs
from ilt.tools.doctor.memory import (
    Batch,
    estimate_labelling,
    estimate_loading,
    estimate_training,
    trained_bytes,
)
from ilt.tools.doctor.shapes import RELEASED, Shape, shape_of

__all__ = ["Machine", "Verdict", "examine", "look_at_machine"]

GIB = 2**30
CHARACTERS_PER_TOKEN = 3.0
"""Of Whisper's vocabulary, roughly: openai-whisper's own texts have about 4 in English, fewer elsewhere."""

LEANER = "set gradient_checkpointing: true and dtype: bfloat16"

SAVING = f"lower decode_batch and batch_size (and raise gradient_accumulation), or {LEANER}"

TEMPLATE_TOKENS = 28
"""Of the released chat template of Qwen2-Audio with one utterance, without the instruction."""

CHARACTERS_PER_SECOND = 15.0
"""Of read speech, for the length of labels."""


@dataclass(frozen=True)
class Machine:
    """Bytes of memory and disk. `memory` is that of the device, `main` what the processor has."""

    device: str
    name: str
    memory: int
    main: int
    disk: int


@dataclass(frozen=True)
class Need:
    """What there is too little of: bytes that one utterance at a time needs, and bytes that are there."""

    of: str
    needed: int
    there: int

    def __str__(self) -> str:
        return f"{self.needed / GIB:.1f} GiB of {self.of} are needed and {self.there / GIB:.1f} free"


@dataclass(frozen=True)
class Verdict:
    """One model on this machine, in bytes.

    loading: what main memory has to hold while the weights are loaded.
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


def look_at_machine(params: Params) -> Machine:
    """The device that the parameters choose. Raises IltError where it cannot be used."""
    import psutil
    import torch

    device = pick_device(params.model.device)
    main, disk = int(psutil.virtual_memory().available), shutil.disk_usage(Path.cwd()).free
    if device.type != "cuda":
        return Machine(str(device), f"{os.cpu_count()} cores", main, main, disk)
    free, _ = torch.cuda.mem_get_info(device)
    return Machine(str(device), torch.cuda.get_device_name(device), int(free), main, disk)


def _judge(
    name: str,
    shape: Shape,
    params: Params,
    machine: Machine,
    seconds: float,
    there: bool = False,
    heard: float = 30.0,
) -> Verdict:
    """Memory at the batches of params.yaml, for utterances of `seconds`.

    there: whether the model is on disk; heard: seconds that it hears at once.
    """
    import torch

    device = torch.device(machine.device)
    eager = pick_attention(params.model.attention, device) == "eager"
    dtype = pick_dtype(params.model.dtype, device)
    size = dtype.itemsize
    seconds = min(seconds, heard)
    spoken = round(shape.positions * seconds / heard)
    positions = shape.positions if params.model.audio_context == "full" else spoken
    written = seconds * CHARACTERS_PER_SECOND / CHARACTERS_PER_TOKEN
    tokens = min(shape.tokens, round(4 + written))
    # Two positions of the encoder are one token of the prompt.
    prompt = _instruction_tokens(params) + spoken // 2 if shape.prompted else 0

    def count(batch: int, limit: float | None) -> int:
        return batch if limit is None else max(1, int(limit / seconds))

    batch = count(params.model.decode_batch, params.model.decode_batch_seconds)
    if params.model.decode_batch_seconds is not None:
        batch = min(batch, params.model.decode_batch)
    stages = [
        stage
        for iteration in params.iterations
        for name_ in TRAINING_STAGES
        if isinstance(stage := params.stage(iteration, name_), TrainParams)
    ]
    full = params.adapter.mode == "full"
    if full:
        stages = stages[:1]
    labels = [params.stage(iteration, "label") for iteration in params.iterations]
    beams = max(label.beams for label in labels if isinstance(label, LabelParams))

    def needed(most: int) -> tuple[int, int]:
        """Bytes of labelling and training with at most so many utterances at once."""

        def of(utterances: int) -> Batch:
            return Batch(min(most, utterances), positions, tokens, prompt)

        train = (
            estimate_training(shape, stage, of(count(stage.batch_size, stage.batch_seconds)), size, eager, full)
            for stage in stages
        )
        label = estimate_labelling(shape, of(batch), size, eager, beams)
        return label.total, max(one.total for one in train)

    labelling, training = needed(sys.maxsize)
    # Half precision files, unless they are here; adapters, each with the best one and its optimiser's state.
    adapters = sum(trained_bytes(shape, stage, size, full) for stage in stages)
    disk = (0 if there else 2 * shape.parameters) + adapters
    loading = estimate_loading(shape, str(dtype).removeprefix("torch."), size)
    least = max(needed(1))
    if machine.device == "cpu":
        least = max(least, loading)
    needs = [Need("memory", least, machine.memory), Need("disk", disk, machine.disk)]
    if machine.device != "cpu":
        needs.insert(1, Need("main memory", loading, machine.main))
    lacks = tuple(need for need in needs if need.needed > need.there)
    enough = max(labelling, training) <= machine.memory
    fits: Literal["yes", "smaller batches", "no"] = "no" if lacks else "yes" if enough else "smaller batches"
    return Verdict(name, shape.parameters, labelling, training, disk, loading, fits, lacks)


def _instruction_tokens(params: Params) -> int:
    """Tokens around the audio of the longest prompt, in a chat template."""
    from ilt.asr.qwen2_audio.prompts import CHAT_PROMPT

    longest = max(map(len, [CHAT_PROMPT, *params.model.prompts.values()]))
    return TEMPLATE_TOKENS + round(longest / CHARACTERS_PER_TOKEN)


def _model(params: Params) -> tuple[Finding, Shape | None, bool]:
    """Whether the configured model can be had; its shape; whether its weights are on disk."""
    name, revision = params.model.id, params.model.revision
    try:
        config = require_model(name, revision)
    except IltError as error:
        return Finding("model", "broken", str(error)), RELEASED.get(name), Path(name).is_dir()
    shape = shape_of(config) or RELEASED.get(name)
    try:
        if local := Path(name).is_dir():
            base_lineage(name, revision)
        context_seconds(name, revision)
    except IltError as error:
        return Finding("model", "broken", str(error)), shape, local
    if local:
        return Finding("model", "ok", f"{name}, a {config.get('model_type')} on disk"), shape, True
    from huggingface_hub import try_to_load_from_cache

    files = ("model.safetensors", "model.safetensors.index.json")
    cached = any(isinstance(try_to_load_from_cache(name, file, revision=revision), str) for file in files)
    pinned = "" if revision else "; set model.revision to a commit, so that it stays the same"
    where = "on disk" if cached else "to be downloaded from the hub"
    return Finding("model", "ok", f"{name}, a {config.get('model_type')} {where}{pinned}"), shape, cached


def examine(params: Params, seconds: float) -> dict[str, Any]:
    """Everything that `ilt doctor` says: machine, findings, verdicts on the configured and released models.

    seconds: length of the utterances that memory is estimated for.
    """
    machine = look_at_machine(params)
    finding, shape, there = _model(params)
    findings = [finding]
    if finding.state == "ok":
        findings.append(languages(params))
    verdicts = []
    if shape is not None:
        name = params.model.id
        heard = context_seconds(name, params.model.revision) if finding.state == "ok" else 30.0
        own = _judge(name, shape, params, machine, seconds, there, heard)
        verdicts.append(own)
        if own.fits == "no":
            lacks = "; ".join(map(str, own.lacks))
            what = f"{name} does not fit, not even one utterance at a time: {lacks}; "
            what += f"take a smaller one, or {LEANER}"
            findings.append(Finding("memory", "broken", what))
        elif own.fits == "smaller batches":
            then = (
                "the system kills what takes too much, so"
                if machine.device == "cpu"
                else "batches will be halved until they fit; to begin with such,"
            )
            findings.append(Finding("memory", "missing", f"too little for these batches; {then} {SAVING}"))
    elif finding.state == "ok":
        findings.append(Finding("memory", "ok", "no estimate for this architecture"))
    verdicts += [
        _judge(name, other, params, machine, seconds) for name, other in RELEASED.items() if name != params.model.id
    ]
    cache = params.model.feature_cache_mb * 2**20
    if cache > machine.disk:
        what = f"the feature cache may take {cache / GIB:.1f} GiB of disk: lower model.feature_cache_mb"
        findings.append(Finding("disk", "missing", what))
    findings += [*programs(), *extras()]
    return {"machine": machine, "findings": findings, "verdicts": verdicts}
