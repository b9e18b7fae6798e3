"""Write one form of a model to a folder, and say what there is to say of it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from ilt.asr.lineage import Lineage
from ilt.errors import IltError
from ilt.params import RecogniserParams
from ilt.tools.export import combine, merged

__all__ = ["note_of", "write_form"]


def _linear_layers(config: Any) -> list[str]:
    """Names of all linear layers of a model; no weights are read."""
    import torch
    import transformers

    with torch.device("meta"):
        model = getattr(transformers, config.architectures[0])(config)
    return [name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)]


def _write_merged(lineage: Lineage, model: RecogniserParams, folder: Path, dtype: str) -> None:
    from ilt.asr.families import load_recogniser

    on_cpu = model.model_copy(update={"device": "cpu", "dtype": "float32"})
    merged.write_merged(load_recogniser(lineage, on_cpu), folder, dtype)


def write_form(
    form: str, lineage: Lineage, model: RecogniserParams, config: Any, folder: Path,
    dtype: str = "float32", quantization: str = "float16", rank: int | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Write `merged`, `adapter` or `ctranslate2`; returns what the record and the card say of it.

    config: of the base. dtype is for merged, quantization for ctranslate2, rank (None: all) for adapter.
    """
    if form == "merged":
        _write_merged(lineage, model, folder, dtype)
        return {"dtype": dtype}
    if form == "ctranslate2":
        source = folder.with_name(folder.name + ".merged")
        try:
            _write_merged(lineage, model, source, "float32")
            merged.convert(source, folder, quantization)
        finally:
            shutil.rmtree(source, ignore_errors=True)
        return {"quantization": quantization}
    whole = combine.combine(lineage)
    chosen = combine.truncate(whole, rank) if rank else whole
    linear = _linear_layers(config)
    if unknown := sorted(set(chosen.factors) - set(linear)):
        raise IltError(f"the adapters are for another model ({lineage.id} has no linear layer {unknown[0]!r})")
    combine.write_adapter(chosen, lineage, linear, folder)
    ranks = {"rank": max(chosen.ranks.values()), "rank_of_all": max(whole.ranks.values())}
    return {**ranks, "error": round(chosen.error, 6), "worst_error": round(chosen.worst, 6)}


def note_of(form: str, facts: dict[str, Any]) -> str:
    """What the model card says of what `write_form` returned."""
    if form == "merged":
        return f"Weights in {facts['dtype']}. "
    if form == "ctranslate2":
        return f"Quantisation {facts['quantization']}. "
    if facts["rank"] == facts["rank_of_all"]:
        return f"Rank {facts['rank']}, without loss: the ranks of all adapters stand side by side. "
    return (
        f"Rank {facts['rank']}, cut by SVD from {facts['rank_of_all']}: what is missing is "
        f"{100 * facts['error']:.2f} % of the update (Frobenius norm; at most "
        f"{100 * facts['worst_error']:.2f} % in one module). "
    )
