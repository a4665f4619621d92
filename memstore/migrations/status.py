"""What revision a database is at, and whether that is one this package can work with."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from asyncpg import InvalidSchemaNameError, UndefinedTableError
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from ..database import connecting, driver_error, explained, open_connection
from ..errors import MigrationError, SchemaMismatchError
from ..settings import settings_beside_a_host
from . import ledger, unfinished
from .scripts import head, revisions
from .width import check_embedding_dim, installed_embedding_dim

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection
    from sqlalchemy.engine import URL
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from .ledger import AppliedStep
    from .unfinished import Unfinished


@dataclass(frozen=True, slots=True)
class MigrationStatus:
    """Where a database stands.

    current: its revision, None when memstore is not installed there.
    head: the newest revision that this package ships.
    pending: what `upgrade` would run, in order.
    embedding_dim: the width of its embeddings, None when memstore is not installed there.
    unfinished: the step that a run began and did not end; the next one goes on with it, or takes it back.
    history: the ledger, oldest first; empty for a role that may not read it.
    """

    current: str | None
    head: str
    pending: tuple[str, ...]
    embedding_dim: int | None
    server_version: str
    vector_version: str | None
    unfinished: Unfinished | None
    history: tuple[AppliedStep, ...]


async def status(target: AsyncEngine | URL | str) -> MigrationStatus:
    """Return where a database stands. Reads only.

    Raises:
        ServerUnreachableError, AuthenticationError, DatabaseMissingError: there is no connection to ask on.
    """
    async with connecting(target) as engine, open_connection(engine) as connection:
        with explained(engine.url):
            return await connection.run_sync(_status)


async def verify_schema(
    target: AsyncEngine | URL | str,
    *,
    embedding_dim: int | None = None,
    at_least: str | None = None,
    at_most: str | None = None,
) -> None:
    """Check that a database is at a revision this process can work with, and its embeddings as wide as `embedding_dim`.

    The gate at the start of an application or a command: one query, never migrates.

    Args:
        target: a database URL in any form that memstore accepts, or an async engine on asyncpg.
        embedding_dim: in dimensions. When None, that of MEMSTORE_EMBEDDING_DIM; any, where that is not set either.
        at_least: the oldest revision that will do, of those that this package ships; its newest when None.
        at_most: the newest that will do. A later release may ship it, so that its number is enough, such as `0017`;
            the newest of this package when None.

    For a rolling deploy: a new process that is started before the migration names the old revision as `at_least`, an
    old one that is started after it names the new revision as `at_most`.

    Raises:
        SchemaMismatchError: it is not; the message says what was found, what is needed, and the command to run.
        MigrationError: `at_least` or `at_most` is not a revision, or nothing is between them.
    """
    asked = settings_beside_a_host().embedding_dim if embedding_dim is None else embedding_dim
    oldest, newest = at_least or head(), at_most or head()
    if oldest not in revisions():
        raise MigrationError(f"no revision {oldest!r}. There are: {', '.join(revisions())}")
    if _number(newest) is None:
        raise MigrationError(f"no revision {newest!r}. Needed: one that begins with its number, such as 0099")
    if (_number(oldest) or 0) > (_number(newest) or 0):
        raise MigrationError(f"nothing is at least {oldest} and at most {newest}. Exchange them, or widen the range")
    async with connecting(target) as engine, open_connection(engine) as connection:
        with explained(engine.url):
            found, width = await _revision_and_width(connection)
    _check_revision(found, oldest, newest)
    check_embedding_dim(width, asked)


def _check_revision(found: str | None, oldest: str, newest: str) -> None:
    if found is None:
        raise SchemaMismatchError(
            f"the tables of memstore are missing, revision {oldest} is needed. Run: memstore db upgrade",
            found=None,
            needed=oldest,
        )
    number, known = _number(found), revisions()
    is_later = number is not None and len(known) < number <= (_number(newest) or 0)
    if found not in known and not is_later:
        raise _unknown(found, newest)
    if number is None or number > (_number(newest) or 0):
        raise SchemaMismatchError(
            f"the database is at {found}, this process works up to {newest}. Start a newer one",
            found=found,
            needed=newest,
        )
    if found in known and (count := known.index(oldest) - known.index(found)) > 0:
        raise SchemaMismatchError(
            f"the database is at {found}, this version of memstore needs {oldest}. "
            f"Run: memstore db upgrade ({count} revision{'s' if count > 1 else ''})",
            found=found,
            needed=oldest,
        )


async def _revision_and_width(connection: AsyncConnection) -> tuple[str | None, int | None]:
    """Return the revision of a database and the width of its embeddings, None where it has none, by one query."""
    try:
        row = (await connection.execute(_REVISION_AND_WIDTH)).one()
    except DBAPIError as error:
        cause = driver_error(error)
        if isinstance(cause, UndefinedTableError) and "alembic_version" not in str(cause):
            raise SchemaMismatchError(
                f"{str(cause).splitlines()[0]}, though the database is at a revision. Run: memstore db check",
                found=None,
                needed="the tables of memstore",
            ) from error
        if isinstance(cause, UndefinedTableError | InvalidSchemaNameError):
            return None, None
        raise
    return _the_only(row.revisions or ()), row.width


_REVISION_AND_WIDTH = text("""
    SELECT (SELECT array_agg(version_num ORDER BY version_num) FROM memstore.alembic_version) AS revisions,
           (SELECT value::int FROM memstore.settings WHERE key = 'embedding_dim') AS width
""")


def _number(revision: str) -> int | None:
    """Return the number that the id of a revision begins with, also of one that a later release will ship."""
    match = re.match(r"\d{4}(?=_|$)", revision)
    return int(match[0]) if match else None


def _status(connection: Connection) -> MigrationStatus:
    current, known = current_revision(connection), revisions()
    return MigrationStatus(
        current=current,
        head=head(),
        pending=known[known.index(current) + 1 :] if current in known else () if current else known,
        embedding_dim=installed_embedding_dim(connection),
        server_version=str(connection.scalar(text("SHOW server_version"))),
        vector_version=connection.scalar(text("SELECT extversion FROM pg_extension WHERE extname = 'vector'")),
        unfinished=unfinished.read(connection),
        history=ledger.read(connection),
    )


def check_known(connection: Connection) -> None:
    """Raise `SchemaMismatchError` where a database is at a revision that this package does not ship."""
    current = current_revision(connection)
    if current is not None and current not in revisions():
        raise _unknown(current, head())


def _unknown(found: str, needed: str) -> SchemaMismatchError:
    return SchemaMismatchError(
        f"the database is at {found}, which this version of memstore does not know; it needs {needed}. "
        "Run: pip install --upgrade memstore",
        found=found,
        needed=needed,
    )


def current_revision(connection: Connection) -> str | None:
    """Return the revision that a database says it is at, None where it says nothing.

    Raises:
        SchemaMismatchError: it says more than one.
    """
    if connection.scalar(text("SELECT to_regclass('memstore.alembic_version')")) is None:
        return None
    rows = connection.scalars(text("SELECT version_num FROM memstore.alembic_version ORDER BY version_num"))
    return _the_only(rows.all())


def _the_only(found: Sequence[str]) -> str | None:
    if len(found) > 1:
        raise SchemaMismatchError(
            f"the database says that it is at {len(found)} revisions, {' and '.join(found)}; it can be at one. "
            f"Take out the wrong one: DELETE FROM memstore.alembic_version WHERE version_num = '{found[0]}'",
            found=", ".join(found),
            needed="one revision",
        )
    return found[0] if found else None
