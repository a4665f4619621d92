"""What revision a database is at, and whether that is one this package can work with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import text

from ..database import connecting, explained, open_connection
from ..errors import SchemaMismatchError
from ..settings import Settings
from . import ledger
from .scripts import head, revisions
from .width import check_embedding_dim, installed_embedding_dim

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.engine import URL
    from sqlalchemy.ext.asyncio import AsyncEngine

    from .ledger import AppliedStep


@dataclass(frozen=True, slots=True)
class MigrationStatus:
    """Where a database stands.

    current: its revision, None when memstore is not installed there.
    head: the newest revision that this package ships.
    pending: what `upgrade` would run, in order.
    embedding_dim: the width of its embeddings, None when memstore is not installed there.
    history: the ledger, oldest first; empty for a role that may not read it.
    """

    current: str | None
    head: str
    pending: tuple[str, ...]
    embedding_dim: int | None
    server_version: str
    vector_version: str | None
    history: tuple[AppliedStep, ...]


async def status(target: AsyncEngine | URL | str) -> MigrationStatus:
    """Return where a database stands. Reads only.

    Raises:
        ServerUnreachableError, AuthenticationError, DatabaseMissingError: there is no connection to ask on.
    """
    async with connecting(target) as engine, open_connection(engine) as connection:
        with explained(engine.url):
            return await connection.run_sync(_status)


async def verify_schema(target: AsyncEngine | URL | str, *, embedding_dim: int | None = None) -> None:
    """Check that a database is at the revision this package needs, and its embeddings as wide as `embedding_dim`.

    The gate at the start of an application or a command. Reads only, never migrates. Without `embedding_dim` the
    width is that of MEMSTORE_EMBEDDING_DIM, and any where that is not set either.

    Raises:
        SchemaMismatchError: it is not; the message says what was found, what is needed, and the command to run.
    """
    asked = Settings.from_env().embedding_dim if embedding_dim is None else embedding_dim
    async with connecting(target) as engine, open_connection(engine) as connection:
        with explained(engine.url):
            await connection.run_sync(_verify, asked)


def _status(connection: Connection) -> MigrationStatus:
    current, known = _current(connection), revisions()
    return MigrationStatus(
        current=current,
        head=head(),
        pending=known[known.index(current) + 1 :] if current in known else () if current else known,
        embedding_dim=installed_embedding_dim(connection),
        server_version=str(connection.scalar(text("SHOW server_version"))),
        vector_version=connection.scalar(text("SELECT extversion FROM pg_extension WHERE extname = 'vector'")),
        history=ledger.read(connection),
    )


def _verify(connection: Connection, embedding_dim: int | None) -> None:
    current, needed, known = _current(connection), head(), revisions()
    check_known(connection)
    if current is None:
        raise SchemaMismatchError(
            f"the tables of memstore are missing, revision {needed} is needed. Run: memstore db upgrade",
            found=None,
            needed=needed,
        )
    if current != needed:
        count = len(known) - 1 - known.index(current)
        raise SchemaMismatchError(
            f"the database is at {current}, this version of memstore needs {needed}. "
            f"Run: memstore db upgrade ({count} revision{'s' if count > 1 else ''})",
            found=current,
            needed=needed,
        )
    check_embedding_dim(installed_embedding_dim(connection), embedding_dim)


def check_known(connection: Connection) -> None:
    """Raise `SchemaMismatchError` where a database is at a revision that this package does not ship."""
    current, needed = _current(connection), head()
    if current is not None and current not in revisions():
        raise SchemaMismatchError(
            f"the database is at {current}, which this version of memstore does not know; it needs {needed}. "
            "Run: pip install --upgrade memstore",
            found=current,
            needed=needed,
        )


def _current(connection: Connection) -> str | None:
    if connection.scalar(text("SELECT to_regclass('memstore.alembic_version')")) is None:
        return None
    value: str | None = connection.scalar(text("SELECT version_num FROM memstore.alembic_version"))
    return value
