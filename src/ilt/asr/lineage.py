"""Lineage: a base and the adapters merged into it, in order, each named by its hash.

Loading a model means: the base in float32, each adapter merged in order, then a cast. A merged model is never stored.
A file whose hash is not the one in its lineage is an error. Language adapters come on top of those that all languages
share; see `ilt.asr.language_adapters`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ilt.asr.model_files import commit_of
from ilt.errors import IltError
from ilt.paths import read_json, write_json

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = [
    "FULL",
    "AdapterLink",
    "Lineage",
    "adapter_hash",
    "adapter_updates",
    "base_lineage",
    "lora_factors",
    "merge_adapters",
    "read_lineage",
]

ADAPTER_WEIGHTS = "adapter_model.safetensors"
ADAPTER_CONFIG = "adapter_config.json"
BASE_FILES = ("*.json", "*.jinja", "merges.txt", "vocab.txt")
"""Files of a base that decide its texts beside its weights: config, tokenizer, processor, generation settings."""
FULL = "FULL"
"""`peft_type` in the config of full fine-tuning, which saves differences to all weights, and no LoRA."""
PREFIX, DOWN, UP = "base_model.model.", ".lora_A.weight", ".lora_B.weight"
"""Prefix and suffixes that PEFT adds to the name of a module, for the factors A and B of its update."""


def _digest(paths: list[Path], root: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0")
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def adapter_hash(folder: Path) -> str:
    """Return the SHA-256 over an adapter's weights and config. Raises IltError if one is missing."""
    paths = [folder / ADAPTER_WEIGHTS, folder / ADAPTER_CONFIG]
    for path in paths:
        if not path.is_file():
            raise IltError(f"the adapter file {path} is missing; run `dvc checkout` or `dvc repro`")
    return _digest(paths, folder)


@dataclass(frozen=True)
class AdapterLink:
    """One adapter of a lineage: its folder, and its hash.

    language: the language that it is for; None: all of them.
    scale:    factor of its update when it is merged (`adapter.scale`).
    """

    path: str
    hash: str
    language: str | None = None
    scale: float = 1.0

    @property
    def identity(self) -> str:
        """Its part of the hash of a lineage: nothing but `hash` for a usual adapter."""
        of = "" if self.language is None else f" language={self.language}"
        return self.hash + of + ("" if self.scale == 1.0 else f" scale={self.scale!r}")

    @property
    def stage(self) -> str:
        """The iteration and stage that saved it, and its language if any, as `it1.focus` or `it1.fix.de`."""
        parts = Path(self.path).parts
        if "adapters" not in parts:
            return ".".join(parts[-2:])
        at = len(parts) - 1 - parts[::-1].index("adapters")
        return ".".join((parts[at - 1], *parts[at + 1 :]))

    @property
    def iteration(self) -> str:
        """The iteration that saved it."""
        return self.stage.partition(".")[0]

    def to_dict(self) -> dict[str, object]:
        """Return the values for JSON, language and scale only where they are not the default."""
        values = {key: value for key, value in asdict(self).items() if key in ("path", "hash")}
        if self.language is not None:
            values["language"] = self.language
        return values | ({} if self.scale == 1.0 else {"scale": self.scale})


@dataclass(frozen=True)
class Lineage:
    """A base and the adapters merged into it.

    id:       local folder or hub id.
    revision: commit of a hub model; None for a folder.
    content:  SHA-256 over the weights of a local folder and the files beside them; None for a hub model.
    """

    id: str
    revision: str | None
    content: str | None
    adapters: tuple[AdapterLink, ...] = ()

    @property
    def hash(self) -> str:
        """16 hex digits that name this model: equal for equal bases and adapters, wherever they lie."""
        parts = [self.content or f"{self.id}@{self.revision}", *(link.identity for link in self.adapters)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]

    def start_of(self, stage: str, scope: str) -> Lineage:
        """Return the lineage that a training stage starts from (`adapter.scope`).

        Focus, with which an iteration begins, adapts what all languages share, where there are shared adapters.
        """
        return self.shared if stage == "focus" and scope == "shared+per_language" else self

    @property
    def adapter_languages(self) -> list[str]:
        """Languages that have adapters of their own."""
        return sorted({link.language for link in self.adapters if link.language is not None})

    @property
    def base(self) -> Lineage:
        """The untouched base."""
        return replace(self, adapters=())

    @property
    def shared(self) -> Lineage:
        """The base and the adapters that all languages share."""
        return replace(self, adapters=tuple(link for link in self.adapters if link.language is None))

    def of_language(self, language: str) -> Lineage:
        """Return the lineage that a language is decoded with: the shared adapters, and its own as if shared."""
        kept = (link for link in self.adapters if link.language in (None, language))
        return replace(self, adapters=tuple(replace(link, language=None) for link in kept))

    def with_adapter(self, folder: Path, language: str | None = None, scale: float = 1.0) -> Lineage:
        """Return this lineage with one more adapter. Raises IltError if a file of the adapter is missing."""
        link = AdapterLink(folder.as_posix(), adapter_hash(folder), language, scale)
        return replace(self, adapters=(*self.adapters, link))

    def to_dict(self) -> dict[str, object]:
        """Return the values for JSON, without the hash."""
        return {**asdict(self), "adapters": [link.to_dict() for link in self.adapters]}

    def write(self, path: Path) -> None:
        write_json(path, {**self.to_dict(), "hash": self.hash})

    def verify(self) -> None:
        """Raise IltError that names the file where the base or an adapter on disk has another hash."""
        if self.content is not None:
            if not Path(self.id).is_dir():
                raise IltError(f"the base {self.id} of this lineage is missing; restore the folder or run `dvc repro`")
            if _base_content(Path(self.id)) != self.content:
                raise IltError(
                    f"the base {self.id} is not the one that this lineage was made with "
                    f"(content hash differs from {self.content[:16]}); restore it or run `dvc repro`"
                )
        for link in self.adapters:
            if adapter_hash(Path(link.path)) != link.hash:
                raise IltError(
                    f"the adapter {link.path} is not the one that this lineage names "
                    f"(hash differs from {link.hash[:16]}); run `dvc checkout` or `dvc repro`"
                )


def read_lineage(path: Path) -> Lineage:
    """Read and verify a lineage file."""
    if not path.is_file():
        raise IltError(f"the lineage {path} is missing; run `dvc repro` or `dvc checkout`")
    value = read_json(path, "id", "revision", "content", "adapters")
    links = tuple(AdapterLink(**link) for link in value["adapters"])
    lineage = Lineage(value["id"], value["revision"], value["content"], links)
    lineage.verify()
    return lineage


def _base_content(folder: Path) -> str:
    """Return the SHA-256 over the weights of a base and the files that decide its texts. Raises IltError without."""
    weights = sorted(folder.glob("*.safetensors"))
    others = [path for pattern in BASE_FILES for path in folder.glob(pattern)]
    if not weights or not (folder / "config.json").is_file():
        raise IltError(
            f"model.id: {folder} has no config.json with *.safetensors weights (pickled weights are not read)"
        )
    return _digest([*weights, *others], folder)


def base_lineage(model_id: str, revision: str | None) -> Lineage:
    """Return the lineage of an untouched base.

    A branch of a hub model is followed to the commit that it is at now, so that all that is built on this lineage
    loads the same weights when the branch has moved on. Raises IltError for a folder without safetensors weights, and
    for a revision whose commit is not known.
    """
    folder = Path(model_id)
    if not folder.is_dir():
        return Lineage(model_id, commit_of(model_id, revision), None)
    return Lineage(folder.as_posix(), None, _base_content(folder))


def lora_factors(folder: Path) -> Iterator[tuple[str, torch.Tensor, torch.Tensor, float]]:
    """Yield name, B, A (float32) and scale alpha / r of each linear layer that a saved adapter changes.

    Raises IltError for anything but a plain LoRA on linear layers.
    """
    from safetensors.torch import load_file

    config = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    unsupported = [key for key in ("use_dora", "use_rslora", "alpha_pattern", "rank_pattern") if config.get(key)]
    if config.get("peft_type") != "LORA" or config.get("bias", "none") != "none" or unsupported:
        raise IltError(f"{folder}: only plain LoRA adapters can be summed ({', '.join(unsupported)})")
    tensors = load_file(folder / ADAPTER_WEIGHTS)
    scale = config["lora_alpha"] / config["r"]
    for key in sorted(tensors):
        if key.endswith(UP):
            continue  # comes with its A
        if not key.endswith(DOWN):
            raise IltError(f"{folder}: {key} is no LoRA on a linear layer and cannot be summed")
        name = key.removesuffix(DOWN)
        yield name.removeprefix(PREFIX), tensors[name + UP].float(), tensors[key].float(), scale


def _differences(folder: Path) -> dict[str, torch.Tensor] | None:
    """Return what full fine-tuning added to each weight, float32; None where the folder holds a LoRA."""
    from safetensors.torch import load_file

    config = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    if config.get("peft_type") != FULL:
        return None
    return {name: value.float() for name, value in load_file(folder / ADAPTER_WEIGHTS).items()}


Update = tuple["torch.Tensor", "torch.Tensor", float]
"""B, A and the factor of their product."""


def adapter_updates(
    model: nn.Module, folders: Sequence[Path], scales: Sequence[float] | None = None
) -> dict[str, list[Update]]:
    """Return the updates by saved LoRAs of the linear layers of `model`, by layer, in the order of `folders`.

    Raises IltError for anything but plain LoRA on linear layers that the model has.
    """
    from torch import nn

    modules = dict(model.named_modules())
    updates: dict[str, list[Update]] = {}
    for folder, more in zip(folders, scales or [1.0] * len(folders), strict=True):
        for name, up, down, scale in lora_factors(folder):
            if not isinstance(modules.get(name), nn.Linear):
                raise IltError(f"{folder}: the adapter is for another model (no linear layer {name!r})")
            updates.setdefault(name, []).append((up, down, scale * more))
    return updates


def merge_adapters(model: nn.Module, folders: Sequence[Path], scales: Sequence[float] | None = None) -> None:
    """Add saved LoRAs to the weights of `model`, in place and in order: W += scale * (alpha / r) * B @ A.

    scales: of each adapter; None: 1. Each weight is summed in float32 over all adapters and cast once, after the last:
    a model that was loaded in bfloat16 ends as the same one loaded in float32, at half of the memory. Equal to PEFT's
    own `merge_and_unload` (a test holds it to 1e-5); done here so that a stage that only decodes does not import PEFT.
    The differences of full fine-tuning (`adapter.mode=full`) are added to any weight. Raises IltError for anything
    else than those and plain LoRA on linear layers, before a weight is changed.
    """
    import torch

    saved = [
        (folder, scale, _differences(folder))
        for folder, scale in zip(folders, scales or [1.0] * len(folders), strict=True)
    ]
    full = [(folder, differences) for folder, _, differences in saved if differences is not None]
    lora = [(folder, scale) for folder, scale, differences in saved if differences is None]
    updates = adapter_updates(model, [folder for folder, _ in lora], [scale for _, scale in lora])
    modules, parameters = dict(model.named_modules()), dict(model.named_parameters())
    for folder, differences in full:
        if strange := sorted(set(differences) - set(parameters)):
            raise IltError(f"{folder}: the weights are of another model (no parameter {strange[0]!r})")
    with torch.no_grad():
        for _, differences in full:
            for name, difference in differences.items():
                parameters[name].add_(difference.to(parameters[name].device, parameters[name].dtype))
        for name, factors in updates.items():
            weight = modules[name].weight
            total = weight.float()
            for up, down, scale in factors:
                total = total + (scale * (up @ down)).to(total.device)
            weight.copy_(total)
