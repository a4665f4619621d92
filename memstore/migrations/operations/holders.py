"""Who uses a table now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

from ..progress import Blocker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

_HOLDERS = text("""
    SELECT DISTINCT a.pid, coalesce(a.application_name, ''), coalesce(a.state, 'unknown'),
           coalesce(left(regexp_replace(a.query, '\\s+', ' ', 'g'), 120), '')
    FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)
    WHERE l.granted AND l.pid <> pg_backend_pid() AND l.database = (
            SELECT oid FROM pg_database WHERE datname = current_database()
        ) AND l.relation IN (SELECT to_regclass(each) FROM unnest(CAST(:tables AS text[])) AS each)
    ORDER BY 1 LIMIT 5
""")


def holders(connection: Connection, tables: Sequence[str]) -> tuple[Blocker, ...]:
    """Return the sessions that hold a lock on any of the tables, which are named in SQL: five of them at most."""
    if not tables:
        return ()
    return tuple(Blocker(*row) for row in connection.execute(_HOLDERS, {"tables": list(tables)}))
