"""Trying again when a table is busy: waiting for a lock makes every later reader wait too, so the wait is short."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from ..database import driver_error
from ..errors import MigrationError
from ..models import SCHEMA
from .pausing import is_busy, pauses, sleep
from .progress import Blocker, Progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from ..settings import Settings
    from .progress import Reporter

log = logging.getLogger("memstore.migrations")


_BUSY = text("""
    SELECT DISTINCT activity.pid, coalesce(activity.application_name, ''), coalesce(activity.state, 'unknown'),
           left(activity.query, 60)
    FROM pg_locks AS lock
    JOIN pg_class AS class ON class.oid = lock.relation
    JOIN pg_stat_activity AS activity USING (pid)
    WHERE lock.granted AND activity.pid <> pg_backend_pid() AND activity.datname = current_database()
      AND class.relnamespace = to_regnamespace(:schema)
    ORDER BY 1 LIMIT 5
""")

_VACUUMED = text("""
    SELECT DISTINCT format('%I.%I', n.nspname, c.relname)
    FROM pg_locks AS l JOIN pg_class AS c ON c.oid = l.relation JOIN pg_namespace AS n ON n.oid = c.relnamespace
    JOIN pg_stat_activity AS a USING (pid)
    WHERE l.granted AND l.mode = 'ShareUpdateExclusiveLock' AND a.backend_type = 'autovacuum worker'
      AND a.datname = current_database() AND n.nspname = :schema AND c.relkind = 'r'
""")
_AUTOVACUUM_MS = 3_000  # more than deadlock_timeout, which is a second


def retrying(
    attempt: Callable[[], None], connection: Connection, settings: Settings, doing: Callable[[], str], report: Reporter
) -> None:
    """Call `attempt` until it gets its table locks, at most `settings.lock_retries` times more, with growing pauses.

    Raises:
        MigrationError: the last attempt met a busy table too; who keeps it busy is named. Steps committed until then
            stay, and the next run goes on from there.
    """
    waits = pauses(settings.lock_retries)
    while True:
        try:
            attempt()
        except DBAPIError as error:
            if not is_busy(error):
                raise
            connection.rollback()
            pause = next(waits, None)
            if pause is None:
                raise MigrationError(_gave_up(connection, settings, doing())) from error
            log.warning("%s: %s; trying again in %.2f s", doing(), driver_error(error), pause)
            report(Progress("migration", doing(), "busy, trying again", blocked_by=_blockers(connection)))
            _let_autovacuum_give_way(connection)
            sleep(connection, pause)
        else:
            return


def _let_autovacuum_give_way(connection: Connection) -> None:
    """Wait for a lock that stops neither readers nor writers, long enough for an autovacuum to be cancelled for it.

    It gives way to who has waited for a second (deadlock_timeout), which a wait for a stronger lock never does here.
    """
    tables = connection.scalars(_VACUUMED, {"schema": SCHEMA}).all()
    connection.rollback()
    for table in tables:
        try:
            connection.execute(text(f"SET LOCAL lock_timeout = {_AUTOVACUUM_MS}"))
            connection.execute(text(f"LOCK TABLE {table} IN SHARE UPDATE EXCLUSIVE MODE"))
        except DBAPIError as error:
            if not is_busy(error):
                raise
            log.info("the autovacuum of %s goes on", table)
        connection.rollback()


def _gave_up(connection: Connection, settings: Settings, step: str) -> str:
    busy = "; ".join(map(str, _blockers(connection)))
    return (
        f"{step}: no lock within {settings.lock_timeout_ms} ms, {settings.lock_retries + 1} times. "
        f"Tables are in use by {busy or 'sessions that have ended by now'}. "
        "End those, or raise MEMSTORE_LOCK_TIMEOUT_MS, and run the command again"
    )


def _blockers(connection: Connection) -> tuple[Blocker, ...]:
    rows = connection.execute(_BUSY, {"schema": SCHEMA}).all()
    connection.rollback()
    return tuple(Blocker(*row) for row in rows)
