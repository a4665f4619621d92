"""One migration runner at a time: across threads by a lock of this process, across processes by an advisory lock."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager
from time import monotonic
from typing import TYPE_CHECKING

from sqlalchemy import text

from ..database import open_connection
from ..errors import MigrationLockError
from .requirements import check_requirements

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from ..settings import Settings

# The first eight bytes of sha256("memstore.migrations") as a signed integer. Advisory locks are per database.
ADVISORY_LOCK = 347_032_388_390_615_081
POLL_S = 0.1

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

    The lock is held by the very session that migrates, so that it is gone when the runner is. Its `lock_timeout` is
    set for the session, since `SET LOCAL` would end at the first autocommit block, and put back in the end.

    Raises:
        RequirementError: the server or pgvector is missing something; nothing was changed.
        MigrationLockError: another runner did not finish within `settings.migration_wait_s`; it is named.
    """
    deadline = monotonic() + settings.migration_wait_s
    await _acquire_in_process(deadline, settings.migration_wait_s)
    try:
        async with open_connection(engine) as connection:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            await connection.run_sync(check_requirements)
            await _acquire_in_database(connection, deadline, settings.migration_wait_s)
            # From here on transactions are the migration's, whatever the engine's own isolation level is.
            await connection.execution_options(isolation_level="READ COMMITTED")
            before = await connection.scalar(text("SHOW lock_timeout"))
            try:
                await _set_lock_timeout(connection, f"{settings.lock_timeout_ms}ms")
                yield connection
            finally:
                if not connection.invalidated:  # else the session is gone, and the lock with it
                    await connection.rollback()
                    await _set_lock_timeout(connection, before)
                    await connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": ADVISORY_LOCK})
                    await connection.commit()
    finally:
        _process_lock.release()


async def _acquire_in_process(deadline: float, wait_s: float) -> None:
    # Polled, not awaited in a thread: a runner on the same event loop may be the holder.
    while not _process_lock.acquire(blocking=False):
        if monotonic() > deadline:
            raise MigrationLockError(
                f"another thread of this process has been migrating for {wait_s:g} s. Wait for it to end",
                holder_pid=None,
                holder_application=None,
            )
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
    bits = ADVISORY_LOCK & (2**64 - 1)
    holder = (await connection.execute(_HOLDER, {"high": bits >> 32, "low": bits & (2**32 - 1)})).first()
    await connection.commit()
    if holder is None:
        who, end = "another runner, which ended just now, held it until then", "Run the command again"
    else:
        who = f"it is held by pid {holder.pid} ({holder.application_name or 'no application name'})"
        end = f"Wait for it, or end it: SELECT pg_terminate_backend({holder.pid})"
    raise MigrationLockError(
        f"no migration lock within {wait_s:g} s: {who}. {end}",
        holder_pid=holder.pid if holder else None,
        holder_application=holder.application_name if holder else None,
    )


async def _set_lock_timeout(connection: AsyncConnection, value: str) -> None:
    await connection.execute(text("SELECT set_config('lock_timeout', :value, false)"), {"value": value})
    await connection.commit()
