"""One LoRA adapter that is equal, or near, to all adapters of a lineage.

Each adapter of a lineage is merged before the next one is trained, so that what they do to a weight is the
plain sum of their updates, in any order: W + s1 B1 A1 + s2 B2 A2 + ... That sum is one LoRA again,
[s1 B1, s2 B2, ...] [A1; A2; ...], whose rank is the sum of the ranks.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ilt.asr.lineage import ADAPTER_CONFIG, ADAPTER_WEIGHTS, DOWN, PREFIX, UP, Lineage, lora_factors
from ilt.errors import IltError

if TYPE_CHECKING:
    import torch

__all__ = ["Combined", "combine", "truncate", "write_adapter"]


@dataclass(frozen=True)
class Combined:
    """A LoRA with scaling 1: by module, A (rank, inputs) and B (outputs, rank), float32.

    error: Frobenius norm of what it lacks of the sum of updates, over the norm of that sum, of all modules.
    worst: the same of the module where it is greatest.
    """

    factors: dict[str, tuple[torch.Tensor, torch.Tensor]]
    error: float = 0.0
    worst: float = 0.0

    @property
    def ranks(self) -> dict[str, int]:
        """The rank of each module."""
        return {name: down.shape[0] for name, (down, _) in self.factors.items()}


def combine(lineage: Lineage) -> Combined:
    """The exact sum of all adapters of a lineage, by concatenating their ranks.

    Raises IltError for a lineage without adapters, and for anything but plain LoRA on linear layers.
    """
    import torch

    if not lineage.adapters:
        raise IltError(f"the model is {lineage.id} itself, without adapters: there is none to export")
    found: dict[str, list[tuple[torch.Tensor, torch.Tensor]]] = {}
    for link in lineage.adapters:
        for name, up, down, scale in lora_factors(Path(link.path)):
            found.setdefault(name, []).append((down, link.scale * scale * up))
    return Combined(
        {
            name: (torch.cat([down for down, _ in pairs]), torch.cat([up for _, up in pairs], 1))
            for name, pairs in sorted(found.items())
        }
    )


def truncate(whole: Combined, rank: int) -> Combined:
    """The nearest adapter (in Frobenius norm) of at most this rank, by SVD of each module's update.

    The update is never made in full: with QR of both factors, B A = Qb (Rb Ra') Qa', and the small matrix in
    the middle has its singular values (Eckart and Young 1936 for why cutting them is best).
    """
    import torch

    factors, lost, total, worst = {}, 0.0, 0.0, 0.0
    for name, (down, up) in whole.factors.items():
        left, left_r = torch.linalg.qr(up.double())
        right, right_r = torch.linalg.qr(down.double().T)
        u, values, v = torch.linalg.svd(left_r @ right_r.T, full_matrices=False)
        kept = min(rank, len(values))
        root = values[:kept].sqrt()
        factors[name] = (
            (root[:, None] * (v[:kept] @ right.T)).float().contiguous(),
            ((left @ u[:, :kept]) * root).float().contiguous(),
        )
        squares = values.square()
        here, all_of_it = float(squares[kept:].sum()), float(squares.sum())
        lost, total = lost + here, total + all_of_it
        worst = max(worst, math.sqrt(here / all_of_it) if all_of_it else 0.0)
    return Combined(factors, math.sqrt(lost / total) if total else 0.0, worst)


def _targets(names: Iterable[str], linear: Iterable[str]) -> list[str]:
    """PEFT's target_modules: last parts of names where those mean just these modules, else whole names."""
    chosen = set(names)
    tails = {name.rpartition(".")[2] for name in chosen}
    meant = {name for name in linear if name.rpartition(".")[2] in tails}
    return sorted(tails if meant == chosen else chosen)


def _pattern(ranks: dict[str, int], usual: int) -> dict[str, int]:
    """PEFT's rank_pattern: by the last part of a name where that has one rank, else by whole name."""
    by_tail: dict[str, set[int]] = {}
    for name, rank in ranks.items():
        by_tail.setdefault(name.rpartition(".")[2], set()).add(rank)
    pattern = {}
    for name, rank in ranks.items():
        tail = name.rpartition(".")[2]
        if len(by_tail[tail]) > 1:
            pattern[name] = rank
        elif rank != usual:
            pattern[tail] = rank
    return dict(sorted(pattern.items()))


def write_adapter(adapter: Combined, lineage: Lineage, linear: Iterable[str], folder: Path) -> None:
    """Write an adapter as PEFT lays it out, for the untouched base of `lineage`.

    linear: names of all linear layers of the base.
    """
    from peft import LoraConfig
    from safetensors.torch import save_file

    ranks = adapter.ranks
    usual = max(ranks.values())
    pattern = _pattern(ranks, usual)
    config = LoraConfig(
        r=usual, lora_alpha=usual, target_modules=_targets(ranks, linear), inference_mode=True,
        rank_pattern=pattern, alpha_pattern=dict(pattern), base_model_name_or_path=lineage.id,
        revision=lineage.revision,
    )  # fmt: skip
    values: dict[str, Any] = config.to_dict()
    values["target_modules"] = sorted(values["target_modules"])
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {}
    for name, (down, up) in adapter.factors.items():
        tensors[PREFIX + name + DOWN], tensors[PREFIX + name + UP] = down, up
    save_file(tensors, folder / ADAPTER_WEIGHTS, {"format": "pt"})
    text = json.dumps(values, indent=2, sort_keys=True, default=str)
    (folder / ADAPTER_CONFIG).write_text(text + "\n", encoding="utf-8")
