"""One LoRA adapter that equals, or approximates, all adapters of a lineage.

Each adapter of a lineage is merged before the next one is trained, so that what they do to a weight is the
plain sum of their updates, in any order: W + s1 B1 A1 + s2 B2 A2 + ... That sum is one LoRA again,
[s1 B1, s2 B2, ...] [A1; A2; ...], whose rank is the sum of the ranks.

PEFT's `add_weighted_adapter` (0.21) does the same for adapters on the same modules: `cat` gave weights equal to these
to 1.5e-8, `svd` those of `truncate`. It is not used, since adapters of a lineage may differ: it takes
`exclude_modules` of the first adapter for all, so that after a first one with `lora.encoder: false` the encoder's
updates of later ones are lost without a word; it raises ValueError where the union of their `target_modules` names a
layer that none is on; it pads all modules to one rank; and its SVD is of the whole update, 10 to 30 times slower.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

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
    """Return the exact sum of all adapters of a lineage, by concatenating their ranks.

    Raises IltError for a lineage without adapters, and for anything but plain LoRA on linear layers.
    """
    import torch

    if not lineage.adapters:
        raise IltError(f"the model is {lineage.id} itself, without adapters: there is none to export")
    pairs: dict[str, list[tuple[torch.Tensor, torch.Tensor]]] = {}
    for link in lineage.adapters:
        for name, up, down, scale in lora_factors(Path(link.path)):
            pairs.setdefault(name, []).append((down, link.scale * scale * up))
    return Combined(
        {
            name: (torch.cat([down for down, _ in each]), torch.cat([up for _, up in each], 1))
            for name, each in sorted(pairs.items())
        }
    )


def truncate(whole: Combined, rank: int) -> Combined:
    """Return the nearest adapter (in Frobenius norm) of at most this rank, by SVD of each module's update.

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
        cut, all_of_it = float(squares[kept:].sum()), float(squares.sum())
        lost, total = lost + cut, total + all_of_it
        worst = max(worst, math.sqrt(cut / all_of_it) if all_of_it else 0.0)
    return Combined(factors, math.sqrt(lost / total) if total else 0.0, worst)


def write_adapter(adapter: Combined, lineage: Lineage, folder: Path) -> None:
    """Write an adapter as PEFT lays it out, for the untouched base of `lineage`; modules have their whole names."""
    from peft import LoraConfig
    from safetensors.torch import save_file

    ranks = adapter.ranks
    usual = max(ranks.values())
    others = {name: rank for name, rank in ranks.items() if rank != usual}
    config = LoraConfig(
        r=usual, lora_alpha=usual, rank_pattern=others, alpha_pattern=dict(others), inference_mode=True,
        base_model_name_or_path=lineage.id, revision=lineage.revision,
    )  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {}
    for name, (down, up) in adapter.factors.items():
        tensors[PREFIX + name + DOWN], tensors[PREFIX + name + UP] = down, up
    save_file(tensors, folder / ADAPTER_WEIGHTS, {"format": "pt"})
    text = json.dumps(config.to_dict() | {"target_modules": sorted(ranks)}, indent=2, sort_keys=True, default=str)
    (folder / ADAPTER_CONFIG).write_text(text + "\n", encoding="utf-8")
