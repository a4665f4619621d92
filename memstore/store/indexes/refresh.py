"""What follows a large change of a table: statistics for the planner and for searches, and the map of its pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

from ...models import SCHEMA
from .targets import IndexedTable

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

# A tenant with fewer memories is counted at the time of each search.
FEW_MEMORIES = 2_000

# Which pages hold nothing but what everybody sees: without it, a search through the covering index looks into the
# table for each row. What is long is left to autovacuum: the vectors beside the table, and dead entries of indexes.
_VACUUM = "VACUUM (ANALYZE, SKIP_LOCKED, INDEX_CLEANUP OFF, TRUNCATE OFF, PROCESS_TOAST OFF)"

_TENANTS = text(f"""
    SELECT tenant_id FROM {SCHEMA}.memory_nodes GROUP BY tenant_id HAVING count(*) > {FEW_MEMORIES} ORDER BY tenant_id
""")  # noqa: S608 -- constants
_REFRESH = text(f"SELECT {SCHEMA}.refresh_search_statistics(:tenant)")


async def refresh(
    connection: AsyncConnection,
    tables: Iterable[IndexedTable],
    *,
    vacuum: bool = True,
    tenants: Iterable[UUID] | None = None,
) -> int:
    """Analyze tables, vacuum them, and count search statistics anew; return of how many tenants.

    Of the given tenants; else of all that have more than 2,000 memories. A transaction each: `connection` is in
    AUTOCOMMIT, and its role owns the tables.
    """
    changed = sorted(set(tables))
    for table in changed:
        await connection.execute(text(f"{_VACUUM if vacuum else 'ANALYZE'} {SCHEMA}.{table.value}"))
    if IndexedTable.MEMORY_NODES not in changed:
        return 0
    of = (await connection.scalars(_TENANTS)).all() if tenants is None else tenants
    return sum([await refresh_tenant(connection, tenant) for tenant in of])


async def refresh_tenant(connection: AsyncConnection, tenant: UUID) -> bool:
    """Count the search statistics of a tenant anew; False where somebody else is at it."""
    return bool(await connection.scalar(_REFRESH, {"tenant": tenant}))
