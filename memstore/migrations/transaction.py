"""Migrating in the transaction of somebody else: all of it happens in there, and none of it is committed here."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from ..errors import MigrationError
from .lock import lock_transaction
from .pausing import is_busy, sqlstate
from .session import MigrationSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Connection

    from ..settings import Settings

_FAILED = "25P02"  # in_failed_sql_transaction


def check_transaction(
    connection: Connection, *, otherwise: str = "Hand over one with a transaction: engine.begin()"
) -> None:
    """Check that `connection` has a transaction that can be used, or can begin one; `otherwise` is what to do.

    Raises:
        MigrationError: it is in AUTOCOMMIT, or an earlier statement of its transaction failed.
    """
    driver: Any = connection.connection.dbapi_connection
    if driver.autocommit:
        raise MigrationError(
            "the connection is in AUTOCOMMIT, where a failed migration would leave half of itself behind. " + otherwise
        )
    try:
        connection.execute(text("SELECT 1"))
    except DBAPIError as error:
        if sqlstate(error) != _FAILED:
            raise
        raise MigrationError(
            "an earlier statement of this transaction failed, and until it is rolled back PostgreSQL takes no other. "
            "Nothing was done. Roll back first: connection.rollback(), "
            "or do what may fail within connection.begin_nested()"
        ) from error


@contextmanager
def callers_transaction(connection: Connection, settings: Settings, doing: Callable[[], str]) -> Iterator[None]:
    """Run the block in the caller's transaction, within a savepoint: if it fails, the caller can still go on.

    A connection without a transaction gets one, as with any statement; committing it is the caller's too.

    Raises:
        MigrationLockError: another runner did not finish within `settings.migration_wait_s`; it is named.
        MigrationError: a revision wants to be outside of any transaction, or a table is busy. There is no second
            attempt: whatever else the transaction did would keep its locks while waiting.
    """
    lock_transaction(connection, settings.migration_wait_s)
    try:
        with connection.begin_nested():
            session = MigrationSettings(connection, settings.lock_timeout_ms, local=True)
            yield
            session.restore()
    except (AssertionError, AttributeError) as error:
        if not _wants_autocommit(error):
            raise
        raise MigrationError(
            f"{doing()}: this revision needs to be outside of any transaction, and it was to run in yours. "
            "Run it on its own: memstore db upgrade"
        ) from error
    except DBAPIError as error:
        if not is_busy(error):
            raise
        raise MigrationError(
            f"{doing()}: no lock within {settings.lock_timeout_ms} ms, and in your transaction it is not tried again. "
            "End what uses the tables, or raise MEMSTORE_LOCK_TIMEOUT_MS, and run it again"
        ) from error


def _wants_autocommit(error: BaseException) -> bool:
    """Tell whether Alembic's `autocommit_block` raised this: in a transaction of others, it fails on an assertion."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    return place is not None and place.tb_frame.f_code.co_name == "autocommit_block"
