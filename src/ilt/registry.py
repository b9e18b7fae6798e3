"""Registries: names that params.yaml may choose, and their code, which is imported only where it is chosen."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from ilt.errors import IltError

__all__ = ["Registry"]


class Registry:
    """Names of one kind, with the place of their code as `package.module:attribute`.

    kind: the name of the kind in messages, as "model family".
    """

    def __init__(self, kind: str, entries: Mapping[str, str]) -> None:
        self.kind, self._entries = kind, dict(entries)

    def __iter__(self) -> Any:
        return iter(sorted(self._entries))

    def _entry(self, name: str) -> str:
        if name not in self._entries:
            raise IltError(f"there is no {self.kind} {name!r}; there are {', '.join(sorted(self._entries))}")
        return self._entries[name]

    def module(self, name: str) -> str:
        """Return the name of the module that holds an entry. Raises IltError for an unknown name."""
        return self._entry(name).partition(":")[0]

    def load(self, name: str) -> Any:
        """Import and return an entry. Raises IltError for an unknown name."""
        module, _, attribute = self._entry(name).partition(":")
        return getattr(import_module(module), attribute)
