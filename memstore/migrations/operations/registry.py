"""Making the operations known to Alembic."""

from __future__ import annotations

from alembic.operations import MigrateOperation, Operations

from .archive import Archive
from .backfill import Backfill
from .constraints import SafeConstraints
from .embedding_width import EmbeddingWidthChange
from .foreign_keys import SafeForeignKeys
from .indexes import ConcurrentIndexes
from .isolation import TenantIsolation
from .not_null import SafeNotNull
from .replace import Replacements
from .unique import SafeUniqueConstraints
from .width import EmbeddingWidth

_GROUPS: tuple[type[MigrateOperation], ...] = (
    Archive,
    Backfill,
    ConcurrentIndexes,
    EmbeddingWidth,
    EmbeddingWidthChange,
    Replacements,
    SafeConstraints,
    SafeForeignKeys,
    SafeNotNull,
    SafeUniqueConstraints,
    TenantIsolation,
)


def register() -> None:
    """Add the operations to `alembic.op`. Call it in env.py, as often as you like."""
    for group in _GROUPS:
        for name, member in vars(group).items():
            if isinstance(member, classmethod) and not name.startswith("_") and not hasattr(Operations, name):
                Operations.register_operation(name)(group)
