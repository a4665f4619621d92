"""One migration runner at a time: across threads by a lock of this process, across processes by an advisory lock."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager, contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from ..database import open_connection
from ..errors import MigrationLockError
from .pausing import sleep
from .requirements import check_requirements

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from sqlalchemy import Connection, Row
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from ..settings import Settings

# The first eight bytes of sha256("memstore.migrations") as a signed integer. Advisory locks are per database.
ADVISORY_LOCK = 347_032_388_390_615_081
POLL_S = 0.1
_BITS = ADVISORY_LOCK & (2**64 - 1)
_HALVES = {"high": _BITS >> 32, "low": _BITS & (2**32 - 1)}  # as pg_locks shows it

# `alembic.context` is a module global: two threads of one process would run each other's migrations.
_process_lock = threading.Lock()

_HOLDER = text("""
    SELECT activity.pid, activity.application_name
    FROM pg_locks AS lock JOIN pg_stat_activity AS activity USING (pid)
    WHERE lock.locktype = 'advisory' AND lock.granted AND lock.objsubid = 1
      AND lock.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND lock.classid::bigint = :high AND lock.objid::bigint = :low
""")


@asynccontextmanager
async def migration_connection(engine: AsyncEngine, settings: Settings) -> AsyncIterator[AsyncConnection]:
    """Yield a connection that alone may migrate this database, with no transaction open.

    The lock is held by the very session that migrates, so that it is gone when the runner is.

    Raises:
        RequirementError: the server or pgvector is missing something; nothing was changed.
        MigrationLockError: another runner did not finish within `settings.migration_wait_s`; it is named.
    """
    deadline = monotonic() + settings.migration_wait_s
    await _acquire_in_process(deadline, settings.migration_wait_s)
    try:
        async with alone_in_database(engine, settings, deadline) as connection:
            yield connection
    finally:
        _process_lock.release()


@asynccontextmanager
async def alone_in_database(
    engine: AsyncEngine, settings: Settings, deadline: float | None = None
) -> AsyncIterator[AsyncConnection]:
    """Yield such a connection to one who does without Alembic, whose global context is what the lock of the process is.

    `deadline` is a time of `monotonic()`, by default `settings.migration_wait_s` from now. Raises as
    `migration_connection`.
    """
    deadline = monotonic() + settings.migration_wait_s if deadline is None else deadline
    async with open_connection(engine) as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.run_sync(check_requirements)
        await _acquire_in_database(connection, deadline, settings.migration_wait_s)
        # From here on transactions are the migration's, whatever the engine's own isolation level is.
        await connection.execution_options(isolation_level="READ COMMITTED")
        try:
            yield connection
        finally:
            if not connection.invalidated:  # else the session is gone, and the lock with it
                await connection.rollback()
                await connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": ADVISORY_LOCK})
                await connection.commit()


@contextmanager
def held_lock(connection: Connection) -> Iterator[None]:
    """Hold the lock on a connection that somebody handed over, which may hold it already: it counts.

    Raises:
        MigrationLockError: another runner holds it. There is no waiting: whoever made the connection decides.
    """
    acquired = connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": ADVISORY_LOCK})
    connection.commit()
    if not acquired:
        raise _not_acquired(0, connection.execute(_HOLDER, _HALVES).first())
    try:
        yield
    finally:
        if not connection.invalidated:
            connection.rollback()
            connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": ADVISORY_LOCK})
            connection.commit()


@contextmanager
def process_lock() -> Iterator[None]:
    """Hold the lock of this process for something short that needs Alembic's global context.

    Raises:
        MigrationLockError: a migration is under way in this process. Waiting could wait for ever: it may be that of
            this very event loop.
    """
    if not _process_lock.acquire(blocking=False):
        raise MigrationLockError(
            "a migration is under way in this process. Do this before or after it",
            holder_pid=None,
            holder_application=None,
        )
    try:
        yield
    finally:
        _process_lock.release()


@contextmanager
def process_lock_for(connection: Connection, wait_s: float) -> Iterator[None]:
    """Hold the lock of this process for a migration on a connection that somebody handed over.

    Raises:
        MigrationLockError: another thread or task of this process did not finish within `wait_s` seconds.
    """
    deadline = monotonic() + wait_s
    while not _process_lock.acquire(blocking=False):
        if monotonic() > deadline:
            raise _process_is_migrating(wait_s)
        sleep(connection, POLL_S)
    try:
        yield
    finally:
        _process_lock.release()


def lock_transaction(connection: Connection, wait_s: float) -> None:
    """Take the lock for the transaction that is open on `connection`, or that this opens; it ends with it.

    Polled as everywhere. Between two tries a transaction at READ COMMITTED holds no snapshot that the holder's
    CREATE INDEX CONCURRENTLY could wait for.

    Raises:
        MigrationLockError: another runner did not finish within `wait_s` seconds; it is named.
    """
    deadline = monotonic() + wait_s
    while not connection.scalar(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": ADVISORY_LOCK}):
        if monotonic() > deadline:
            raise _not_acquired(wait_s, connection.execute(_HOLDER, _HALVES).first())
        sleep(connection, POLL_S)


async def _acquire_in_process(deadline: float, wait_s: float) -> None:
    # Polled, not awaited in a thread: a runner on the same event loop may be the holder.
    while not _process_lock.acquire(blocking=False):
        if monotonic() > deadline:
            raise _process_is_migrating(wait_s)
        await asyncio.sleep(POLL_S)


async def _acquire_in_database(connection: AsyncConnection, deadline: float, wait_s: float) -> None:
    # Polled, in autocommit: a session blocked in pg_advisory_lock holds a snapshot that CREATE INDEX CONCURRENTLY of
    # the holder waits for, and the two end in a deadlock.
    while True:
        acquired = await connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": ADVISORY_LOCK})
        await connection.commit()
        if acquired:
            return
        if monotonic() > deadline:
            break
        await asyncio.sleep(POLL_S)
    holder = (await connection.execute(_HOLDER, _HALVES)).first()
    await connection.commit()
    raise _not_acquired(wait_s, holder)


def _process_is_migrating(wait_s: float) -> MigrationLockError:
    return MigrationLockError(
        f"another thread of this process has been migrating for {wait_s:g} s. Wait for it to end",
        holder_pid=None,
        holder_application=None,
    )


def _not_acquired(wait_s: float, holder: Row[Any] | None) -> MigrationLockError:
    if holder is None:
        who, end = "another runner, which ended just now, held it until then", "Run the command again"
    else:
        who = f"it is held by pid {holder.pid} ({holder.application_name or 'no application name'})"
        end = f"Wait for it, or end it: SELECT pg_terminate_backend({holder.pid})"
    return MigrationLockError(
        f"no migration lock within {wait_s:g} s: {who}. {end}",
        holder_pid=holder.pid if holder else None,
        holder_application=holder.application_name if holder else None,
    )
