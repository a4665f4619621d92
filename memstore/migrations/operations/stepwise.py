"""Beginning a safe operation: what it needs around it, so that its statements are committed one by one."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager, nullcontext
from time import monotonic
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError, PendingRollbackError

from ...database import driver_error
from ...errors import MigrationError, MigrationLockError
from ..lock import POLL_S
from ..pausing import sleep, sqlstate
from ..sql_text import literal, quoted_table
from .session import build_session
from .work import Work

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alembic.operations import Operations

# In a database without one Alembic makes its version table in the transaction of the first revision.
_HAS_WRITTEN = """
    SELECT pg_current_xact_id_if_assigned() IS NOT NULL AND NOT EXISTS (
        SELECT FROM pg_class WHERE oid = to_regclass(:versions) AND xmin = CAST(pg_current_xact_id_if_assigned() AS xid)
    )
"""
_ABSENT = ("42P01", "42703")  # undefined_table, undefined_column

# To the owner of a table with forced row level security it looks empty.
_HAS_ROWS = "SELECT row_security_active({name}) OR EXISTS (SELECT FROM {table})"


@contextmanager
def stepwise(
    operations: Operations, name: str, target: str, table: str, *, locks_rows: bool = True, is_table: bool = True
) -> Iterator[Work]:
    """Yield a `Work` whose statements are committed one by one: what came before in the revision is committed first.

    One such operation at a time works on a table (`table`, in SQL): others wait, and find it done. `locks_rows` tells
    whether it would, in one transaction, keep writers out for long where the table has rows; `is_table` that `table`
    is one, which has to be there.

    Raises:
        MigrationError: there is no such table or column; the revision has written something in its transaction already,
            which a second run after a killed one would meet again; or the transaction is somebody else's, and the table
            has rows.
        MigrationLockError: another operation on the table did not end in time.
    """
    context = operations.get_context()
    callers = bool(context.opts.get("callers_transaction"))
    if context.as_sql:
        with nullcontext() if callers else context.autocommit_block():
            yield Work(operations, name, target, inline=callers)
        return
    work = Work(operations, name, target)
    if is_table:
        _check_table(work, table)
    # A run that is one transaction is kept as one while it may be: on a table without rows nothing takes long.
    if callers or not context.opts.get("transaction_per_migration"):
        has_rows = locks_rows and work.execute(_HAS_ROWS.format(table=table, name=literal(table)))[0][0]
        if has_rows and callers:
            raise MigrationError(
                f"{name} {target}: {table} has rows, and in a transaction of yours this would lock them for as long "
                "as it takes. Run it on its own, before: memstore db upgrade"
            )
        if not has_rows:
            with _told_of_absence(work):
                yield Work(operations, name, target, inline=True)
            return
    _check_nothing_written(work)
    with _told_of_loss(), _told_of_absence(work), ExitStack() as stack:
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
    """Let what ended the block be the error, a lost connection or Ctrl-C: for it, what Alembic does then fails."""
    try:
        yield
    except PendingRollbackError as error:
        raise (error.__context__ or error) from None


@contextmanager
def _told_of_absence(work: Work) -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        if sqlstate(error) not in _ABSENT:
            raise
        problem = str(driver_error(error.orig or error)).splitlines()[0]
        raise MigrationError(
            f"{work.name} {work.target}: {problem}. Name what is there, or add it in a revision before this one"
        ) from error


def _check_table(work: Work, table: str) -> None:
    """Raise `MigrationError` unless there is such a table."""
    if not work.execute("SELECT to_regclass(:table) IS NOT NULL", {"table": table})[0][0]:
        raise MigrationError(
            f"{work.name} {work.target}: there is no table {table}. Name one that is there, with schema= where it is "
            "not in the first schema of the search path"
        )


def _check_nothing_written(work: Work) -> None:
    context = work.context
    if not context.opts.get("transaction_per_migration"):
        return  # what was written may be other revisions', with their stamps: committing those is right
    versions = quoted_table(context.version_table_schema, context.version_table)
    if work.execute(_HAS_WRITTEN, {"versions": versions})[0][0]:
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
