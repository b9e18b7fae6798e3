"""Where a model runs and in which numbers, from the parameters and what the machine has."""

from __future__ import annotations

import torch

from ilt.errors import IltError

__all__ = ["is_out_of_memory", "pick_attention", "pick_device", "pick_dtype"]


def pick_device(name: str) -> torch.device:
    """`auto` is CUDA where there is one. Raises IltError for a device that is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise IltError(
            f"model.device: {name!r} cannot be used here ({str(error).splitlines()[0]}); "
            "expected auto, cpu, cuda or cuda:NUMBER, and for cuda a torch that was built for it"
        ) from None
    return device


def pick_dtype(name: str, device: torch.device) -> torch.dtype:
    """`auto` is bfloat16 on a GPU, float32 elsewhere."""
    if name == "auto":
        name = "bfloat16" if device.type == "cuda" else "float32"
    dtype: torch.dtype = getattr(torch, name)
    return dtype


def pick_attention(name: str, device: torch.device) -> str:
    """`auto` is SDPA on a GPU, eager elsewhere.

    Eager attention is faster than SDPA on a CPU at the short contexts seen here, above all backwards.
    """
    if name != "auto":
        return name
    return "sdpa" if device.type == "cuda" else "eager"


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether torch found no memory, on a GPU or on a CPU (which has no error class of its own)."""
    return isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)
