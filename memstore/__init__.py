"""memstore: the memory of AI agents on PostgreSQL and pgvector.

Names are imported when they are first used, so that `import memstore.models` stays as light as the models are.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from .version import __version__

if TYPE_CHECKING:
    from .database import create_engine
    from .errors import MemstoreError
    from .migrations import verify_schema
    from .scope import tenant_session
    from .settings import Settings

_HOMES = {
    "MemstoreError": "errors",
    "Settings": "settings",
    "create_engine": "database",
    "tenant_session": "scope",
    "verify_schema": "migrations",
}

__all__ = ["MemstoreError", "Settings", "__version__", "create_engine", "tenant_session", "verify_schema"]


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
