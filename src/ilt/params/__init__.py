"""Parameters: the schema of params.yaml, reading it, and what it comes to for each stage."""

from ilt.params.loading import *  # noqa: F403
from ilt.params.loading import __all__ as _loading
from ilt.params.resolving import *  # noqa: F403
from ilt.params.resolving import __all__ as _resolving
from ilt.params.schema import *  # noqa: F403
from ilt.params.schema import __all__ as _schema

__all__ = [*_loading, *_resolving, *_schema]  # noqa: PLE0604
