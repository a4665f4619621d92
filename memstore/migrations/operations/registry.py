"""Making the operations known to Alembic."""

from __future__ import annotations

from alembic.operations import MigrateOperation, Operations

from .indexes import ConcurrentIndexes
from .isolation import TenantIsolation
from .width import EmbeddingWidth

_GROUPS: tuple[type[MigrateOperation], ...] = (ConcurrentIndexes, EmbeddingWidth, TenantIsolation)


def register() -> None:
    """Add the operations to `alembic.op`. Call it in env.py, as often as you like."""
    for group in _GROUPS:
        for name, member in vars(group).items():
            if isinstance(member, classmethod) and not name.startswith("_") and not hasattr(Operations, name):
                Operations.register_operation(name)(group)
