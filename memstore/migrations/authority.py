"""Whose version table says where memstore stands: its own, or that of a host that lists our revisions among its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

from ..errors import MigrationError
from ..models import SCHEMA

if TYPE_CHECKING:
    from alembic.runtime.migration import MigrationContext
    from sqlalchemy import Connection

_KEY = "version_table"  # in memstore.settings


def host_version_table(connection: Connection) -> str | None:
    """Return the version table of the host that migrates memstore with its own Alembic, None where none does."""
    if connection.scalar(text("SELECT to_regclass(:name)"), {"name": f"{SCHEMA}.settings"}) is None:
        return None
    value: str | None = connection.scalar(
        text(f"SELECT value #>> '{{}}' FROM {SCHEMA}.settings WHERE key = :key"), {"key": _KEY}
    )
    return value


def check_authority(connection: Connection) -> None:
    """Raise `MigrationError` where a host's version table is the one to follow.

    Going anywhere without it would leave it at a revision that the database is not at, and the host's next
    `alembic upgrade heads` would fail half-way or build what is there.
    """
    table = host_version_table(connection)
    if table is not None:
        raise MigrationError(
            f"in this database memstore is migrated with the Alembic of its host, whose version table {table} "
            "would not learn of this. Run there: alembic upgrade memstore@head "
            "(down: alembic -x memstore=downgrade downgrade memstore@REV). "
            "To part the two: alembic stamp memstore@base"
        )


def hand_over(context: MigrationContext) -> None:
    """Note that the version table of `context` is the one to follow from now on."""
    name = ".".join(filter(None, (context.version_table_schema, context.version_table)))
    statement = text(
        f"INSERT INTO {SCHEMA}.settings (key, value) VALUES (:key, to_jsonb(CAST(:name AS text))) "
        "ON CONFLICT (key) DO UPDATE SET value = excluded.value"
    )
    context.impl.execute(statement.bindparams(key=_KEY, name=name))


def take_back(context: MigrationContext) -> None:
    """Note that memstore's own version table is the one to follow from now on, where memstore is there at all."""
    if not context.as_sql and (context.connection is None or host_version_table(context.connection) is None):
        return
    context.impl.execute(text(f"DELETE FROM {SCHEMA}.settings WHERE key = :key").bindparams(key=_KEY))
