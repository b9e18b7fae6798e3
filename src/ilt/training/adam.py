"""Adam's parameters and moments as plain tensors, so that a checkpoint is safetensors and no pickle."""

from __future__ import annotations

import torch

__all__ = ["pack_adam", "unpack_adam"]


def pack_adam(names: list[str], optimiser: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """Value and both moments of each parameter of the first group, under `names`, in the group's order."""
    tensors = {}
    for name, parameter in zip(names, optimiser.param_groups[0]["params"], strict=True):
        state = optimiser.state.get(parameter, {})  # a weight that no loss has reached has none
        tensors[f"value.{name}"] = parameter.detach().contiguous()
        tensors[f"mean.{name}"] = state.get("exp_avg", torch.zeros_like(parameter)).contiguous()
        tensors[f"square.{name}"] = state.get("exp_avg_sq", torch.zeros_like(parameter)).contiguous()
    return tensors


def unpack_adam(
    tensors: dict[str, torch.Tensor], names: list[str], optimiser: torch.optim.Optimizer, step: int
) -> None:
    """Put parameters and optimiser back to where `pack_adam` found them after `step` steps."""
    for name, parameter in zip(names, optimiser.param_groups[0]["params"], strict=True):
        parameter.data.copy_(tensors[f"value.{name}"])
        optimiser.state[parameter] = {
            "step": torch.tensor(float(step)),
            "exp_avg": tensors[f"mean.{name}"].to(parameter.device),
            "exp_avg_sq": tensors[f"square.{name}"].to(parameter.device),
        }
