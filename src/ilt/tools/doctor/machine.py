"""The machine: memory and disk that are free, and what a model needs of them."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ilt.asr.device import pick_attention, pick_device, pick_dtype
from ilt.params import ModelParams, TrainParams
from ilt.tools.doctor.memory import Batch, estimate_labelling, estimate_loading, estimate_training

if TYPE_CHECKING:
    import torch

    from ilt.tools.doctor.shape import Shape

__all__ = ["GIB", "Machine", "Workload", "look_at_machine"]

GIB = 2**30

CHARACTERS_PER_TOKEN = 3.0
"""Of Whisper's vocabulary, roughly: openai-whisper's own texts have about 4 in English, fewer elsewhere."""

CHARACTERS_PER_SECOND = 15.0
"""Of read speech, for the length of labels."""

TEMPLATE_TOKENS = 28
"""Of the released chat template of Qwen2-Audio with one utterance, without the instruction."""


@dataclass(frozen=True)
class Machine:
    """Bytes of memory and disk that are free. `memory` is that of the device, `main` that of the processor."""

    device: str
    name: str
    memory: int
    main: int
    disk: int


def look_at_machine() -> Machine:
    """Return the device that stages would run on, and what is free. Raises IltError where it cannot be used."""
    import psutil
    import torch

    device = pick_device()
    main, disk = int(psutil.virtual_memory().available), shutil.disk_usage(Path.cwd()).free
    if device.type != "cuda":
        return Machine(str(device), f"{os.cpu_count()} cores", main, main, disk)
    free, _ = torch.cuda.mem_get_info(device)
    return Machine(str(device), torch.cuda.get_device_name(device), int(free), main, disk)


@dataclass(frozen=True)
class Workload:
    """A model on a device with utterances of one length: bytes that it needs.

    seconds: of each utterance; context: seconds that the model takes at once.
    """

    shape: Shape
    model: ModelParams
    device: torch.device
    seconds: float
    context: float = 30.0

    @property
    def dtype(self) -> torch.dtype:
        """The type that the model runs in."""
        return pick_dtype(self.model.dtype, self.device)

    @property
    def _eager(self) -> bool:
        return pick_attention(self.model.attention, self.device, self.context) == "eager"

    def _batch(self, utterances: int, full_context: bool) -> Batch:
        shape, seconds = self.shape, min(self.seconds, self.context)
        spoken = round(shape.positions * seconds / self.context)
        tokens = min(shape.tokens, round(4 + seconds * CHARACTERS_PER_SECOND / CHARACTERS_PER_TOKEN))
        # Two positions of the encoder are one token of the prompt.
        prompt = self._instruction_tokens() + spoken // 2 if shape.prompted else 0
        return Batch(utterances, shape.positions if full_context else spoken, tokens, prompt)

    def _instruction_tokens(self) -> int:
        """Return the tokens around the audio of the longest prompt, in a chat template."""
        from ilt.asr.qwen2_audio.prompts import CHAT_PROMPT

        longest = max(map(len, [CHAT_PROMPT, *self.model.prompts.values()]))
        return TEMPLATE_TOKENS + round(longest / CHARACTERS_PER_TOKEN)

    def count(self, utterances: int, seconds: float | None) -> int:
        """Return the utterances of a batch that is bounded by their number, or by their seconds if given."""
        return utterances if seconds is None else max(1, int(seconds / min(self.seconds, self.context)))

    def loading(self) -> int:
        """Return the bytes of main memory that loading the weights takes."""
        return estimate_loading(self.shape, str(self.dtype).removeprefix("torch."), self.dtype.itemsize)

    def decoding(self, utterances: int, beams: int = 1, full_context: bool = True) -> int:
        """Return the bytes of decoding so many utterances at once."""
        batch = self._batch(utterances, full_context or self.model.audio_context == "full")
        return estimate_labelling(self.shape, batch, self.dtype.itemsize, self._eager, beams).total

    def training(self, params: TrainParams, utterances: int, full: bool = False) -> int:
        """Return the bytes of a training step on so many utterances. full: all weights are trained."""
        batch = self._batch(utterances, self.model.audio_context == "full")
        return estimate_training(self.shape, params, batch, self.dtype.itemsize, self._eager, full).total
