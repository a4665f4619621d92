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
           current_schemas(false)::text[] AS schemas,
           (SELECT nspname::text FROM pg_extension JOIN pg_namespace AS n ON n.oid = extnamespace
            WHERE extname = 'vector') AS vector
""")
_SET = text("SELECT set_config('lock_timeout', :lock_timeout, false), set_config('search_path', :search_path, false)")


@contextmanager
def migration_session(connection: Connection, lock_timeout_ms: int) -> Iterator[None]:
    """Set up the session of a connection with no transaction open, and put it back in the end.

    For the session, since `SET LOCAL` would end at the first autocommit block. The search path leaves memstore's own
    schema out: a role of that name would otherwise create the extension in it, and Alembic would take it for the
    default. It has the schema of the extension in, wherever that is.
    """
    facts = connection.execute(_FACTS).one()
    schemas = [schema for schema in facts.schemas if schema != SCHEMA] or ["public"]
    if facts.vector is not None and facts.vector not in schemas:
        schemas.append(facts.vector)
    quote = connection.dialect.identifier_preparer.quote
    default_schema = connection.dialect.default_schema_name
    connection.execute(
        _SET, {"lock_timeout": f"{lock_timeout_ms}ms", "search_path": ", ".join(str(quote(each)) for each in schemas)}
    )
    connection.commit()
    connection.dialect.default_schema_name = schemas[0]
    try:
        yield
    finally:
        connection.dialect.default_schema_name = default_schema
        if not connection.invalidated:
            connection.rollback()
            connection.execute(_SET, {"lock_timeout": facts.lock_timeout, "search_path": facts.search_path})
            connection.commit()
