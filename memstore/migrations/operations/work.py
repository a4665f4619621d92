"""A safe operation under way: its transactions, how long it waits for whom, and who is told how far it is."""

from __future__ import annotations

import logging
from contextlib import ExitStack, contextmanager, nullcontext
from time import monotonic
from typing import TYPE_CHECKING, Any

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, PendingRollbackError

from ...errors import MigrationError, MigrationLockError
from ...settings import Settings, settings_beside_a_host
from ..lock import POLL_S
from ..notices import advice, notices
from ..pausing import is_busy, pauses, sleep
from ..progress import Blocker, NowAndThen, Progress
from ..sql_text import escaped, literal
from ..watch import watched
from .holders import holders
from .session import build_session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from alembic.operations import Operations
    from sqlalchemy import Connection, Executable, Row

log = logging.getLogger("memstore.migrations")

# To the owner of a table with forced row level security it looks empty.
_HAS_ROWS = "SELECT row_security_active({name}) OR EXISTS (SELECT FROM {table})"


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
        any lock. Before it comes SHARE UPDATE EXCLUSIVE on `tables`, which stops neither readers nor writers: waiting
        for that is what makes an autovacuum give way, which takes a second.

        Raises:
            MigrationError: the last try met a busy table too; who keeps it busy is named.
        """
        if self.offline or self.inline:
            begin, end = ((), ()) if self.inline else (("BEGIN",), ("COMMIT",))
            for statement in (*begin, *statements, *end):
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
        self.execute("BEGIN")
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


@contextmanager
def stepwise(operations: Operations, name: str, target: str, table: str, *, locks_rows: bool = True) -> Iterator[Work]:
    """Yield a `Work` whose statements are committed one by one: what came before in the revision is committed first.

    One such operation at a time works on a table (`table`, in SQL): others wait, and find it done. `locks_rows` tells
    whether it would, in one transaction, keep writers out for long where the table has rows.

    Raises:
        MigrationError: the revision has written something in its transaction already, which a second run after a
            killed one would meet again; or the transaction is somebody else's, and the table has rows.
        MigrationLockError: another operation on the table did not end in time.
    """
    context = operations.get_context()
    callers = bool(context.opts.get("callers_transaction"))
    if context.as_sql:
        with nullcontext() if callers else context.autocommit_block():
            yield Work(operations, name, target, inline=callers)
        return
    work = Work(operations, name, target)
    # A run that is one transaction is kept as one while it may be: on a table without rows nothing takes long.
    if callers or not context.opts.get("transaction_per_migration"):
        has_rows = locks_rows and work.execute(_HAS_ROWS.format(table=table, name=literal(table)))[0][0]
        if has_rows and callers:
            raise MigrationError(
                f"{name} {target}: {table} has rows, and in a transaction of yours this would lock them for as long "
                "as it takes. Run it on its own, before: memstore db upgrade"
            )
        if not has_rows:
            yield Work(operations, name, target, inline=True)
            return
    _check_nothing_written(work)
    with _told_of_loss(), ExitStack() as stack:
        try:
            stack.enter_context(context.autocommit_block())
        except AssertionError as error:  # all that Alembic says of a transaction which it did not begin
            raise MigrationError(
                f"{name} {target} has to commit, and the transaction that it runs in is not Alembic's. In env.py, "
                "commit or roll back before context.configure(connection=...)"
            ) from error
        stack.enter_context(build_session(work.connection, work.settings))
        stack.enter_context(_alone(work, table))
        begin = context.opts.get("memstore_begin")
        if begin is not None:
            begin(work.connection)
        yield work


@contextmanager
def _told_of_loss() -> Iterator[None]:
    """Let the loss of the connection be the error: what Alembic does in the end of its block fails for it."""
    try:
        yield
    except PendingRollbackError as error:
        lost = error.__context__
        raise (lost if isinstance(lost, DBAPIError) else error) from None


def _check_nothing_written(work: Work) -> None:
    if not work.context.opts.get("transaction_per_migration"):
        return  # what was written may be other revisions', with their stamps: committing those is right
    if work.execute("SELECT pg_current_xact_id_if_assigned() IS NOT NULL")[0][0]:
        raise MigrationError(
            f"{work.name} {work.target} commits, and before it this revision has changed something: a run that is "
            "killed in between could not be run again. Put it first, or into a revision of its own"
        )


@contextmanager
def _alone(work: Work, table: str) -> Iterator[None]:
    key = {"key": f"memstore.operation {table}"}
    deadline = monotonic() + work.settings.migration_wait_s
    take = "SELECT pg_try_advisory_lock(hashtextextended(:key, 0))"
    while not work.execute(take, key)[0][0]:
        if monotonic() > deadline:
            raise MigrationLockError(
                f"{work.name} {work.target}: another operation on {table} has not ended within "
                f"{work.settings.migration_wait_s:g} s. Wait for it, and run it again",
                holder_pid=None,
                holder_application=None,
            )
        sleep(work.connection, POLL_S)
    try:
        yield
    finally:
        if not work.connection.invalidated:
            work.execute("SELECT pg_advisory_unlock(hashtextextended(:key, 0))", key)


def _lock_timeout(milliseconds: int) -> str:
    return f"SET LOCAL lock_timeout = {milliseconds}"
