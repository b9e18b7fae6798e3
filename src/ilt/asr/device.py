"""Choices that depend on the machine: device, dtype, attention, workers. No DVC parameters: they rerun nothing.

The environment can overrule them: ILT_DEVICE (auto, cpu, cuda, cuda:1), ILT_WORKERS (processes that prepare
features), ILT_FEATURE_CACHE_MB (bound of the features kept in `.ilt/features`).
"""

from __future__ import annotations

import os

import torch

from ilt.errors import IltError

__all__ = [
    "feature_cache_mb",
    "is_out_of_memory",
    "pick_attention",
    "pick_device",
    "pick_dtype",
    "pick_workers",
]

GPU_WORKERS = 4
FEATURE_CACHE_MB = 4096
LONG_CONTEXT = 10.0
"""Seconds of context from which on SDPA is faster than eager attention on a CPU; below, eager is, in training most."""


def _number(name: str, default: int) -> int:
    """Return a whole number of the environment. Raises IltError for anything else."""
    value = os.environ.get(name, "")
    if not value:
        return default
    if not value.isascii() or not value.isdigit():
        raise IltError(f"{name}={value!r} in the environment: expected a whole number, 0 or more")
    return int(value)


def feature_cache_mb() -> int:
    """Return the bound of the feature cache in MiB."""
    return _number("ILT_FEATURE_CACHE_MB", FEATURE_CACHE_MB)


def pick_workers() -> int:
    """Return the number of processes that prepare features: none on a CPU, where they only slow the model down."""
    return _number("ILT_WORKERS", GPU_WORKERS if pick_device().type == "cuda" else 0)


def pick_device() -> torch.device:
    """Return the device: ILT_DEVICE, else CUDA where there is one. Raises IltError for one that is not there."""
    name = os.environ.get("ILT_DEVICE") or "auto"
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise IltError(
            f"ILT_DEVICE={name!r} in the environment cannot be used here ({str(error).splitlines()[0]}); "
            "expected auto, cpu, cuda or cuda:NUMBER, and for cuda a torch that was built for it"
        ) from None
    return device


def pick_dtype(name: str, device: torch.device) -> torch.dtype:
    """Return the dtype of weights: `auto` is bfloat16 on a GPU, float32 elsewhere."""
    if name == "auto":
        name = "bfloat16" if device.type == "cuda" else "float32"
    dtype: torch.dtype = getattr(torch, name)
    return dtype


def pick_attention(name: str, device: torch.device, context: float) -> str:
    """Return the attention for a model that takes `context` seconds at once.

    `auto` is SDPA on a GPU and for a context of `LONG_CONTEXT` seconds or more, else eager.
    """
    if name != "auto":
        return name
    return "sdpa" if device.type == "cuda" or context >= LONG_CONTEXT else "eager"


def is_out_of_memory(error: RuntimeError) -> bool:
    """Return whether torch ran out of memory, on a GPU or on a CPU.

    A CPU has no error class of its own, and oneDNN, which convolves there, only says that it made no primitive.
    """
    signs = ("DefaultCPUAllocator", "could not create a primitive")
    return isinstance(error, torch.OutOfMemoryError) or any(sign in str(error) for sign in signs)
