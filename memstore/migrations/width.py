"""The width of embeddings: chosen by the first upgrade, and from then on the database's to say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

from ..errors import SchemaMismatchError

if TYPE_CHECKING:
    from sqlalchemy import Connection

DEFAULT_EMBEDDING_DIM = 1024  # BGE-M3


_ARCHIVED = text("""
    SELECT min(atttypmod) FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
    WHERE relnamespace = to_regnamespace('memstore_archive') AND relkind = 'r' AND attname = 'embedding'
      AND relname IN ('memstore.memory_nodes', 'memstore.episodic_memories') AND atttypmod > 0
""")


def installed_embedding_dim(connection: Connection) -> int | None:
    """Return the width this database was installed with, None where memstore is not installed."""
    if connection.scalar(text("SELECT to_regclass('memstore.settings')")) is None:
        return None
    value: int | None = connection.scalar(text("SELECT value::int FROM memstore.settings WHERE key = 'embedding_dim'"))
    return value


def resolve_embedding_dim(connection: Connection, asked: int | None) -> int:
    """Return the width to migrate with.

    Raises:
        SchemaMismatchError: the database has one width, or its archive holds vectors of one, and another was asked for.
    """
    installed = installed_embedding_dim(connection)
    if installed is None:
        archived: int | None = connection.scalar(_ARCHIVED)
        if archived is not None and asked not in (None, archived):
            raise SchemaMismatchError(
                f"memstore_archive holds embeddings of {archived} dimensions, which come back with this upgrade, and "
                f"{asked} were asked for. Type: export MEMSTORE_EMBEDDING_DIM={archived} (or unset it). "
                "To part with all that was archived: DROP SCHEMA memstore_archive CASCADE",
                found=str(archived),
                needed=str(asked),
            )
        return asked or archived or DEFAULT_EMBEDDING_DIM
    check_embedding_dim(installed, asked)
    return installed


def check_embedding_dim(installed: int | None, asked: int | None) -> None:
    """Raise `SchemaMismatchError` where a width was asked for and the database has another."""
    if asked is not None and asked != installed:
        raise SchemaMismatchError(
            f"this database holds embeddings of {installed} dimensions, {asked} were asked for. "
            f"Type: export MEMSTORE_EMBEDDING_DIM={installed} (or unset it), or use another database",
            found=str(installed),
            needed=str(asked),
        )
