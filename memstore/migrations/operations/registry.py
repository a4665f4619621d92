"""Making the operations known to Alembic."""

from __future__ import annotations

from alembic.operations import MigrateOperation, Operations

from ...errors import MigrationError
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


_registered: dict[str, object] = {}


def register() -> None:
    """Add the operations to `alembic.op`. Call it in env.py, as often as you like.

    Raises:
        MigrationError: there is another operation of such a name already.
    """
    for group in _GROUPS:
        for name, member in vars(group).items():
            if isinstance(member, classmethod) and not name.startswith("_"):
                _register(name, group)


def _register(name: str, group: type[MigrateOperation]) -> None:
    there = getattr(Operations, name, None)
    if there is None:
        Operations.register_operation(name)(group)
        _registered[name] = getattr(Operations, name)
    elif there is not _registered.get(name):
        raise MigrationError(
            f"there is an operation op.{name} already, which is not memstore's ({there!r}). "
            "Register it under another name: Operations.register_operation(...)"
        )
