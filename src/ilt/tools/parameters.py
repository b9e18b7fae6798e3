"""The command `ilt params`: all parameters with their defaults and their meaning, from the schema."""

from __future__ import annotations

import inspect
from typing import Any

import yaml
from pydantic import BaseModel

from ilt.errors import IltError
from ilt.params import Params, TrainParams
from ilt.params.resolving import STAGE_DEFAULTS

__all__ = ["describe"]


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True)
    return list(value) if isinstance(value, tuple) else value


def _section(name: str) -> tuple[str, dict[str, Any]]:
    """Return the meaning of a section and its defaults."""
    if name in ("train", *STAGE_DEFAULTS):
        fields = {
            key: _plain(field.get_default(call_default_factory=True)) for key, field in TrainParams.model_fields.items()
        }
        if name == "train":
            return inspect.getdoc(TrainParams) or "", fields
        return f"What differs from `train` in the stage {name}; any key of `train`.", STAGE_DEFAULTS[name]
    field = Params.model_fields[name]
    kind = field.annotation
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        fields = {
            key: "(needed)" if one.is_required() else _plain(one.get_default(call_default_factory=True))
            for key, one in kind.model_fields.items()
        }
        return inspect.getdoc(kind) or "", fields
    default = "(needed)" if field.is_required() else _plain(field.get_default(call_default_factory=True))
    meaning = {
        "seed": "Of the demo corpus, perturbed decodes and intervals.",
        "languages": "By code: `as`, `from`.",
        "iterations": "By name: `prev` (the iteration before, or base), and what differs there by stage.",
    }
    return meaning.get(name, ""), {"": default}


def describe(section: str | None = None) -> str:
    """Return the sections of params.yaml as commented YAML. Raises IltError for a section that does not exist."""
    names = list(Params.model_fields)
    if section is not None and section not in names:
        raise IltError(f"there is no section {section!r}; there are {', '.join(names)}")
    blocks = []
    for name in [section] if section else names:
        meaning, fields = _section(name)
        comment = "".join(f"# {line}".rstrip() + "\n" for line in meaning.splitlines())
        values: Any = fields[""] if list(fields) == [""] else fields
        text = yaml.safe_dump({name: values}, sort_keys=False, allow_unicode=True, width=110, default_flow_style=None)
        blocks.append(comment + text)
    return "\n".join(blocks)
