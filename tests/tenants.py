"""Two tenants with a row in each table, and looking at all that the database holds of them."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession

from memstore.models import MemoryNode

Row = dict[str, Any]

ACME, INITECH = UUID(int=1), UUID(int=2)
LATER = "2100-01-01T00:00:00Z"


def rows_of(tenant: UUID, number: int = 0) -> dict[str, Row]:
    """A row of each tenant-owned table, parents first; another number makes other rows of the same tenant."""
    one, two, three, four = (str(UUID(int=tenant.int * 1000 + number * 10 + each)) for each in range(4))
    mine = {"tenant_id": str(tenant)}
    return {
        "tenants": {"id": str(tenant), "name": "Acme"},
        "users": mine | {"id": one, "auth_provider": str(tenant), "external_id": one},
        "agents": mine | {"id": two, "name": "Guide"},
        "sessions": mine | {"id": three, "user_id": one, "agent_id": two, "expires_at": LATER},
        "memory_nodes": mine
        | {"id": four, "content": "x", "user_id": one, "agent_id": two, "session_id": three, "tags": {}},
    }


OWNED_TABLES = """
    SELECT relname AS "table", attname AS "column" FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
    WHERE relnamespace = 'memstore'::regnamespace AND relkind IN ('r', 'p')
    AND (attname = 'tenant_id' OR (relname, attname) = ('tenants', 'id'))
"""


async def owned_tables(engine: AsyncEngine) -> dict[str, str]:
    """Name each table whose rows belong to a tenant, and its column that says to which."""
    async with engine.connect() as connection:
        return {row.table: row.column for row in await connection.execute(text(OWNED_TABLES))}


async def insert_row(connection: AsyncConnection, table: str, row: Row) -> None:
    columns = ", ".join(row)
    record = f"jsonb_populate_record(NULL::memstore.{table}, CAST(:row AS jsonb))"
    statement = text(f"INSERT INTO memstore.{table} ({columns}) SELECT {columns} FROM {record}")
    await connection.execute(statement, {"row": json.dumps(row)})


async def contents(engine: AsyncEngine, tenant: UUID) -> dict[str, list[Row]]:
    """All that the database holds of a tenant, as its owner sees it."""
    found = {}
    async with engine.connect() as connection:
        for table, column in (await owned_tables(engine)).items():
            query = text(f"SELECT to_jsonb(t) FROM memstore.{table} AS t WHERE {column} = :tenant ORDER BY t::text")
            found[table] = list(await connection.scalars(query, {"tenant": tenant}))
    return found


async def seed(engine: AsyncEngine) -> None:
    """Insert a row into each table for Acme and for Initech."""
    async with engine.begin() as connection:
        for tenant in (ACME, INITECH):
            for table, row in rows_of(tenant).items():
                await insert_row(connection, table, row)


async def fail_after_writing(session: AsyncSession) -> None:
    """Write a memory and then raise."""
    session.add(MemoryNode(id="new", content="x"))
    await session.flush()
    raise ZeroDivisionError
