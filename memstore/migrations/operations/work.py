"""A safe operation under way: its transactions, how long it waits for whom, and who is told how far it is."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from ...errors import MigrationError
from ...settings import Settings, settings_beside_a_host
from ..notices import advice, notices
from ..pausing import is_busy, pauses, sleep
from ..progress import Blocker, NowAndThen, Progress
from ..sql_text import escaped
from ..watch import watched
from .holders import holders
from .temporary import BEGIN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from alembic.operations import Operations
    from sqlalchemy import Connection, Executable, Row

log = logging.getLogger("memstore.migrations")

_LEAST_WAIT_OF_SCRIPT_MS = 2_000


class Work:
    """What a safe operation runs its statements with; see `stepwise`.

    name: the operation, such as `create_index_concurrently`.
    target: what it works on, for messages.
    offline: SQL is rendered, nothing is run, and there is nobody to ask.
    inline: it runs in the transaction of the whole run, or of somebody else: nothing is committed or tried again.
    """

    def __init__(self, operations: Operations, name: str, target: str, *, inline: bool = False) -> None:
        self.context = operations.get_context()
        self.name = name
        self.target = target
        self.offline = bool(self.context.as_sql)
        self.inline = inline
        self.settings: Settings = self.context.opts.get("memstore_settings") or settings_beside_a_host()
        self._report = self.context.opts.get("memstore_progress") or NowAndThen()

    @property
    def connection(self) -> Connection:
        """The connection; there is one unless `offline`."""
        if self.context.connection is None:
            raise ValueError(f"{self.name} {self.target}: SQL is rendered, there is no connection")
        return self.context.connection

    def execute(self, statement: str | Executable, parameters: Mapping[str, Any] | None = None) -> Sequence[Row[Any]]:
        """Run one statement, in a transaction of its own unless one was begun, and return its rows; or render it."""
        element = (
            text(escaped(statement) if parameters is None else statement) if isinstance(statement, str) else statement
        )
        if self.offline:
            self.context.impl.execute(element)
            return ()
        result = self.connection.execute(element, parameters or {})
        return result.all() if result.returns_rows else ()

    def report(self, phase: str, done: int | None = None, total: int | None = None, **others: Any) -> None:
        """Tell how far the operation is."""
        self._report(Progress(self.name, self.target, phase, done, total, **others))

    def briefly(self, *statements: str, tables: Sequence[str], phase: str) -> None:
        """Run statements that lock out others, in one transaction, without making anybody wait for long.

        A lock that others queue behind is waited for `lock_timeout_ms` at most, and tried again after a pause without
        any lock; a script, which nobody tries again, waits for 2 s where that is less. Before it comes SHARE UPDATE
        EXCLUSIVE on `tables`, which stops neither readers nor writers: waiting for that is what makes an autovacuum
        give way, which takes a second.

        Raises:
            MigrationError: the last try met a busy table too; who keeps it busy is named.
        """
        if self.inline:
            for statement in statements:
                self.execute(statement)
            return
        if self.offline:
            wait = _lock_timeout(max(self.settings.lock_timeout_ms, _LEAST_WAIT_OF_SCRIPT_MS))
            for statement in (BEGIN, wait, *statements, "COMMIT"):
                self.execute(statement)
            return
        first = [_lock_timeout(self.settings.concurrent_lock_timeout_ms)]
        first += [f"LOCK TABLE {table} IN SHARE UPDATE EXCLUSIVE MODE" for table in tables]
        first.append(_lock_timeout(self.settings.lock_timeout_ms))
        self.retried(
            lambda: self.transaction(*first, *statements), self.settings.lock_retries, phase=phase, tables=tables
        )

    def patiently(self, attempt: Callable[[], object], *, phase: str) -> None:
        """Do what stops neither readers nor writers, and therefore may wait for them, and take its time.

        It is watched meanwhile, and done again when it meets a lock that is not given up in time.

        Raises:
            MigrationError: no lock within `concurrent_lock_timeout_ms`, at the last try too; who held it is named.
        """
        if self.offline or self.inline:
            attempt()
        else:
            self.retried(attempt, self.settings.concurrent_lock_retries, phase=phase)

    def transaction(self, *statements: str) -> None:
        """Run statements in one transaction."""
        with self.begun():
            for statement in statements:
                self.execute(statement)

    @contextmanager
    def begun(self) -> Iterator[None]:
        """Run the statements of the block in one transaction."""
        # In AUTOCOMMIT, which the connection is in, SQLAlchemy leaves transactions to us.
        self.execute(BEGIN)
        try:
            yield
            self.execute("COMMIT")
        except BaseException:
            if not self.connection.invalidated:
                self.execute("ROLLBACK")
            raise

    def retried(self, attempt: Callable[[], object], retries: int, *, phase: str, tables: Sequence[str] = ()) -> None:
        """Do what may meet a lock that is not given up in time, and do it again after a pause, so many times.

        Raises:
            MigrationError: the last try met one too; who was waited for is named, or who uses `tables`.
        """
        waits = pauses(retries)
        with self._watched(phase) as blockers:
            while True:
                try:
                    attempt()
                except DBAPIError as error:
                    if not is_busy(error):
                        raise
                    if not blockers:  # a wait that is shorter than the watcher's pauses is not seen by it
                        blockers += holders(self.connection, tables)
                    pause = next(waits, None)
                    if pause is None:
                        raise MigrationError(self._gave_up(phase, retries + 1, blockers)) from error
                    log.info("%s %s: %s: busy, trying again in %.2f s", self.name, self.target, phase, pause)
                    self.report(f"{phase}: busy, trying again", blocked_by=tuple(blockers))
                    sleep(self.connection, pause)
                else:
                    return

    @contextmanager
    def _watched(self, phase: str) -> Iterator[list[Blocker]]:
        blockers: list[Blocker] = []
        memory = str(self.execute("SHOW maintenance_work_mem")[0][0])

        def report(progress: Progress) -> None:
            if progress.blocked_by:
                blockers[:] = progress.blocked_by
            self._report(progress)

        def on_notice(notice: str) -> None:
            if advised := advice(notice, memory):
                self.report(phase, advice=advised)

        with watched(self.connection, report, self.name, self.target, phase), notices(self.connection, on_notice):
            yield blockers

    def _gave_up(self, phase: str, tries: int, blockers: list[Blocker]) -> str:
        return (
            f"{self.name} {self.target}: {phase}: no lock, {tries} times. "
            f"In the way: {'; '.join(map(str, blockers)) or 'sessions that have ended by now'}. "
            "End those, or raise MEMSTORE_LOCK_RETRIES, and run it again: it goes on from here"
        )


def _lock_timeout(milliseconds: int) -> str:
    return f"SET LOCAL lock_timeout = {milliseconds}"
