"""Writing one form of a model to a folder."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from ilt.errors import IltError
from ilt.tools.export import combine, merged
from ilt.tools.export.options import ExportOptions
from ilt.tools.export.source import Source
from ilt.tools.recognisers import transformers_class

__all__ = ["note_of", "write_form"]


def _linear_layers(source: Source) -> set[str]:
    """Return the names of all linear layers of the base; no weights are read."""
    import torch

    with torch.device("meta"):
        model = transformers_class(source.family, "ForConditionalGeneration")(source.config)
    return {name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}


def _write_adapter(source: Source, folder: Path, rank: int | None) -> dict[str, Any]:
    whole = combine.combine(source.lineage)
    chosen = combine.truncate(whole, rank) if rank else whole
    if unknown := sorted(chosen.factors.keys() - _linear_layers(source)):
        raise IltError(f"the adapters are for another model ({source.lineage.id} has no linear layer {unknown[0]!r})")
    combine.write_adapter(chosen, source.lineage, folder)
    ranks = {"rank": max(chosen.ranks.values()), "rank_of_all": max(whole.ranks.values())}
    return {**ranks, "error": round(chosen.error, 6), "worst_error": round(chosen.worst, 6)}


def write_form(options: ExportOptions, source: Source, folder: Path) -> dict[str, Any]:
    """Write the form that the options name; returns the facts that the record and the card say of it."""
    if options.form == "adapter":
        return _write_adapter(source, folder, options.rank)
    if options.form == "merged":
        dtype = options.dtype or "float32"
        merged.write_merged(source.lineage, source.family, folder, dtype)
        return {"dtype": dtype}
    quantization = options.quantization or "float16"
    temporary = folder.with_name(folder.name + ".merged")
    try:
        merged.write_merged(source.lineage, source.family, temporary, "float32")
        merged.convert(temporary, folder, quantization)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return {"quantization": quantization}


def note_of(form: str, facts: dict[str, Any]) -> str:
    """Return what the model card says of the facts that `write_form` returned."""
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
