"""Seeds of the stages: results depend on this rule, so that it stands apart and dvc.yaml watches it."""

from __future__ import annotations

import hashlib

__all__ = ["stage_seed"]


def stage_seed(seed: int, iteration: str, stage: str) -> int:
    """A seed of a stage's own, from the global one."""
    return int.from_bytes(hashlib.sha256(f"{seed} {iteration} {stage}".encode()).digest()[:4], "big")
