"""The session that a migration runs in: short waits for locks, and a search path without surprises."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import text

from ..models import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

_FACTS = text("""
    SELECT current_setting('lock_timeout') AS lock_timeout, current_setting('search_path') AS search_path,
           current_schemas(false)::text[] AS schemas, current_setting('client_connection_check_interval') AS alive,
           version() ~* 'linux|darwin|bsd' AS can_check_alive,
           (SELECT nspname::text FROM pg_extension JOIN pg_namespace AS n ON n.oid = extnamespace
            WHERE extname = 'vector') AS vector
""")
_SET = text("""
    SELECT set_config('lock_timeout', :lock_timeout, :local), set_config('search_path', :search_path, :local),
           set_config('client_connection_check_interval', :alive, :local)
""")

# How often the server looks whether the runner still lives: a killed one would hold its locks until its statement ends.
CHECK_ALIVE = "1s"


class MigrationSettings:
    """What a migration sets on a connection, and how it was before.

    The search path leaves memstore's own schema out: a role of that name would otherwise create the extension in it,
    and Alembic would take it for the default. It has the schema of the extension in, wherever that is.

    Set for the session, or with `local` for the transaction at hand: then a `SET LOCAL` of the caller stays one.
    """

    def __init__(self, connection: Connection, lock_timeout_ms: int, *, local: bool) -> None:
        facts = connection.execute(_FACTS).one()
        self._connection = connection
        self._local = local
        self._before = {"lock_timeout": facts.lock_timeout, "search_path": facts.search_path, "alive": facts.alive}
        self.schemas = [schema for schema in facts.schemas if schema != SCHEMA] or ["public"]
        if facts.vector is not None and facts.vector not in self.schemas:
            self.schemas.append(facts.vector)
        quote = connection.dialect.identifier_preparer.quote
        search_path = ", ".join(str(quote(each)) for each in self.schemas)
        alive = CHECK_ALIVE if facts.can_check_alive else facts.alive
        self._set({"lock_timeout": f"{lock_timeout_ms}ms", "search_path": search_path, "alive": alive})

    def restore(self) -> None:
        """Put the connection back to how it was. A rollback of the transaction does the same."""
        self._set(self._before)

    def _set(self, values: dict[str, str]) -> None:
        self._connection.execute(_SET, {**values, "local": self._local})


@contextmanager
def migration_session(connection: Connection, lock_timeout_ms: int) -> Iterator[None]:
    """Set up the session of a connection with no transaction open, and put it back in the end.

    For the session, since `SET LOCAL` would end at the first autocommit block.
    """
    default_schema = connection.dialect.default_schema_name
    settings = MigrationSettings(connection, lock_timeout_ms, local=False)
    connection.commit()
    connection.dialect.default_schema_name = settings.schemas[0]
    try:
        yield
    finally:
        connection.dialect.default_schema_name = default_schema
        if not connection.invalidated:
            connection.rollback()
            settings.restore()
            connection.commit()
