"""Language adapters over one loaded model: the shared weights, and each language's own update.

Switching is exact: a language is decoded with, bit for bit, the base with the lineage of that language
(`Lineage.of_language`) merged. PEFT is not needed for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ilt.asr.lineage import Lineage, adapter_updates
from ilt.errors import IltError

if TYPE_CHECKING:
    from torch import nn

    from ilt.asr.lineage import Update

__all__ = ["LanguageAdapters"]


class LanguageAdapters:
    """The language adapters of a lineage, over a model with the shared adapters merged already, in float32.

    The weights of the layers that any language adapter changes are kept once in float32; a language adapter itself is
    kept as its low-rank factors. `switch` may be called after the model was cast and moved.
    """

    def __init__(self, model: nn.Module, lineage: Lineage) -> None:
        self.languages = lineage.adapter_languages
        self._updates: dict[str, dict[str, list[Update]]] = {}
        for language in self.languages:
            links = [link for link in lineage.adapters if link.language == language]
            self._updates[language] = adapter_updates(
                model, [Path(link.path) for link in links], [link.scale for link in links]
            )
        changed = sorted({name for updates in self._updates.values() for name in updates})
        modules = dict(model.named_modules())
        self._layers = {name: modules[name] for name in changed}
        self._shared = {name: layer.weight.detach().float().clone() for name, layer in self._layers.items()}
        self._active: str | None = None

    @torch.no_grad()
    def switch(self, languages: Sequence[str]) -> None:
        """Set the weights for a batch: of one language with an adapter, or of any languages without.

        Raises IltError for languages that need different weights.
        """
        wanted = {language if language in self._updates else None for language in languages}
        if len(wanted) > 1:
            raise IltError(f"a batch of {', '.join(sorted(set(languages)))} needs more than one language adapter")
        language = wanted.pop() if wanted else None
        if language == self._active:
            return
        updates = self._updates[language] if language is not None else {}
        before = self._updates[self._active] if self._active is not None else {}
        for name in sorted({*updates, *before}):
            weight = self._layers[name].weight
            total = self._shared[name].to(weight.device)
            for up, down, scale in updates.get(name, []):
                total = total + (scale * (up @ down)).to(total.device)
            weight.copy_(total)  # type: ignore[operator]
        self._active = language
