"""The session of a safe operation: settings of the role that would end a build of hours, or a pause, are put aside."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import text

from ..session import CHECK_ALIVE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from ...settings import Settings

# transaction_timeout came with PostgreSQL 17, and whether a client lives can be seen where the operating system tells.
_NOW = text("""
    SELECT name, current_setting(name) AS value FROM pg_settings
    WHERE name = ANY (:names) AND (name <> 'client_connection_check_interval' OR version() ~* 'linux|darwin|bsd')
""")
_SET = text("SELECT set_config(:name, :value, false)")


@contextmanager
def build_session(connection: Connection, settings: Settings) -> Iterator[None]:
    """Set up a connection in AUTOCOMMIT for statements that take their time, and put it back in the end."""
    wanted = {
        "client_connection_check_interval": CHECK_ALIVE,
        "default_transaction_isolation": "read committed",
        "default_transaction_read_only": "off",
        "idle_in_transaction_session_timeout": "0",
        "idle_session_timeout": "0",
        "lock_timeout": f"{settings.concurrent_lock_timeout_ms}ms",
        "statement_timeout": "0",
        "transaction_timeout": "0",
    }
    if settings.maintenance_work_mem is not None:
        wanted["maintenance_work_mem"] = settings.maintenance_work_mem
    before = {row.name: row.value for row in connection.execute(_NOW, {"names": list(wanted)})}
    for name in before:
        connection.execute(_SET, {"name": name, "value": wanted[name]})
    try:
        yield
    finally:
        if not connection.invalidated:
            for name, value in before.items():
                connection.execute(_SET, {"name": name, "value": value})
