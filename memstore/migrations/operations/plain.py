"""A safe operation that commits nothing: it is part of the transaction of its revision, and keeps nobody waiting."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from ...errors import MigrationError
from ..pausing import is_busy
from .work import Work

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from alembic.operations import Operations
    from sqlalchemy import Connection

_SET = text("SELECT set_config('lock_timeout', :value, true)")
_SET_IDLE = text("SELECT set_config('idle_in_transaction_session_timeout', :value, true)")
_IS_TABLE = "SELECT EXISTS (SELECT FROM pg_class WHERE oid = to_regclass(:name) AND relkind IN ('r', 'p'))"


class PlainWork(Work):
    """What a safe operation that commits nothing runs its statements with."""

    def __init__(self, operations: Operations, name: str, target: str) -> None:
        super().__init__(
            operations, name, target, inline=bool(operations.get_context().opts.get("callers_transaction"))
        )
        self._is_own_run = "memstore_settings" in self.context.opts

    def briefly_within(self, attempt: Callable[[], object], *, table: str, phase: str) -> None:
        """Do what locks others out of `table` in a savepoint, without making anybody wait for long for that lock.

        It is waited for `lock_timeout_ms` at most. As long as the transaction has written nothing, and so keeps nobody
        waiting, it is tried again after a pause, as `Work.briefly` does. Else memstore's own run tries the whole
        revision again; other runs end.

        Raises:
            MigrationError: the last try met a busy table too, or there was one alone.
            sqlalchemy.exc.DBAPIError: in memstore's own run, the table was busy.
        """
        if self.offline or self.inline:
            attempt()
            return
        if not self.execute("SELECT pg_current_xact_id_if_assigned() IS NULL")[0][0]:
            wait_ms = self.settings.lock_timeout_ms
            try:
                with _short_wait(self.connection, wait_ms):
                    attempt()
            except DBAPIError as error:
                if self._is_own_run or not is_busy(error):
                    raise
                raise MigrationError(
                    f"{self.name} {self.target}: {phase}: no lock on {table} within {wait_ms} ms, "
                    "and the revision has written something before, so that it is not tried again here. Run it again, "
                    "or put this first in its revision: then it is tried again"
                ) from error
            return
        with _no_idle_timeout(self.connection):
            self._gently(attempt, table, phase)

    def _gently(self, attempt: Callable[[], object], table: str, phase: str) -> None:
        is_table = self.execute(_IS_TABLE, {"name": table})[0][0]

        def gently() -> None:
            with _short_wait(self.connection, self.settings.concurrent_lock_timeout_ms):
                if is_table:  # stops nobody, and makes an autovacuum give way
                    self.execute(f"LOCK TABLE {table} IN SHARE UPDATE EXCLUSIVE MODE")
                with _short_wait(self.connection, self.settings.lock_timeout_ms):
                    attempt()

        self.retried(gently, self.settings.lock_retries, phase=phase, tables=(table,))


@contextmanager
def undone(connection: Connection) -> Iterator[None]:
    """Run the block, and take back what it did to the database."""
    savepoint = connection.begin_nested()
    try:
        yield
    finally:
        if not connection.invalidated:
            savepoint.rollback()


@contextmanager
def _no_idle_timeout(connection: Connection) -> Iterator[None]:
    before = connection.scalar(text("SHOW idle_in_transaction_session_timeout"))
    connection.execute(_SET_IDLE, {"value": "0"})  # it would end the session in a pause
    yield
    connection.execute(_SET_IDLE, {"value": before})


@contextmanager
def _short_wait(connection: Connection, milliseconds: int) -> Iterator[None]:
    before = connection.scalar(text("SHOW lock_timeout"))
    with connection.begin_nested():
        connection.execute(_SET, {"value": f"{milliseconds}ms"})
        yield
        connection.execute(_SET, {"value": before})  # else it would last until the transaction ends
