"""Two tenants with rows in each table, the role of an application, and all that the database holds of them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession

from memstore.database import create_engine
from memstore.migrations import grant
from memstore.models import MemoryNode

Row = dict[str, Any]

ACME, INITECH = UUID(int=1), UUID(int=2)
# What refuses a statement.
POLICY, NOT_A_UUID, NO_RIGHT = "row-level security", "InvalidTextRepresentationError", "InsufficientPrivilegeError"
LATER = "2100-01-01T00:00:00Z"
# Shared by all tenants: the embeddings below need it.
EMBEDDING_MODEL = {"name": "toy", "dimensions": 3}
EMBEDDING = {"model": "toy", "embedding": "[1, 2, 3]", "content_hash": rf"\x{'ab' * 32}"}


def rows_of(tenant: UUID, number: int = 0) -> dict[str, list[Row]]:
    """Rows of each tenant-owned table, parents first; another number makes other rows of the same tenant.

    One each, except for two memories: one of them supersedes the other.
    """
    user, agent, session, memory, former, tool, episode, document, activity, unnamed = (
        str(UUID(int=tenant.int * 1000 + number * 10 + each)) for each in range(10)
    )
    mine = {"tenant_id": str(tenant)}
    new, of_agent = mine | {"id": unnamed}, mine | {"id": unnamed, "agent_id": agent}
    node = of_agent | {"content": "x", "user_id": user, "session_id": session, "tags": {}}
    return {
        "tenants": [{"id": str(tenant), "name": "Acme"}],
        "users": [mine | {"id": user, "auth_provider": str(tenant), "external_id": user}],
        "agents": [mine | {"id": agent, "name": "Guide"}],
        "sessions": [mine | {"id": session, "user_id": user, "agent_id": agent, "expires_at": LATER}],
        "memory_nodes": [node | {"id": memory}, node | {"id": former}],
        "tools": [mine | {"id": tool, "name": tool}],
        "agent_tools": [mine | {"agent_id": agent, "tool_id": tool}],
        "episodic_memories": [mine | {"id": episode, "user_id": user}],
        "episode_nodes": [mine | {"episode_id": episode, "node_id": memory, "position": 0}],
        "memory_relationships": [mine | {"source_id": memory, "target_id": former, "relationship_type": "supersedes"}],
        "documents": [mine | {"id": document, "title": "x"}],
        "document_chunks": [mine | {"document_id": document, "chunk_index": 0, "content": "x"}],
        "embeddings": [new | EMBEDDING | {"source_type": "document", "source_id": document}],
        "activities": [of_agent | {"id": activity, "session_id": session, "action": "x"}],
        "metrics": [of_agent | {"metric_name": "x", "metric_type": "gauge", "value": 1}],
        "evaluations": [of_agent | {"evaluator_type": "x"}],
        "feedback": [of_agent | {"session_id": session, "activity_id": activity, "feedback_type": "x"}],
        "memory_access_log": [new | {"user_id": user, "memory_id": memory, "access_type": "read"}],
        "search_metrics": [new | {"search_type": "text", "result_count": 1, "execution_time_ms": 1}],
        # One row a tenant: there is no other.
        "search_statistics": [] if number else [mine | {"memories": 2, "embedded": 0, "users": {}, "sample": []}],
        "word_statistics": [mine | {"lexeme": former, "documents": 1}],
        "mirror_rejections": [mine | {"node_id": memory, "reason": "x"}],
    }


# The outbox of the mirror is no tenant's: what is in it outlives the tenant that it names.
OWNED_TABLES = """
    SELECT relname AS "table", attname AS "column" FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
    WHERE relnamespace = 'memstore'::regnamespace AND relkind IN ('r', 'p') AND relname <> 'mirror_outbox'
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


async def insert_rows(connection: AsyncConnection, rows: dict[str, list[Row]]) -> None:
    for table, each in rows.items():
        for row in each:
            await insert_row(connection, table, row)


async def seed(engine: AsyncEngine) -> None:
    """Insert rows into each table for Acme and for Initech."""
    async with engine.begin() as connection:
        await insert_row(connection, "embedding_models", EMBEDDING_MODEL)
        for tenant in (ACME, INITECH):
            await insert_rows(connection, rows_of(tenant))


async def add_twins(engine: AsyncEngine) -> None:
    """Give Initech rows with the same ids as Acme's, as far as keys let it."""
    async with engine.begin() as connection:
        for table, rows in rows_of(ACME).items():
            for row in rows if table not in ("tenants", "users", "search_statistics") else []:
                nobody = {"user_id": None} if "user_id" in row else {}
                await insert_row(connection, table, row | nobody | {"tenant_id": str(INITECH)})


@asynccontextmanager
async def new_role(engine: AsyncEngine, *statements: str, options: str = "LOGIN") -> AsyncIterator[str]:
    role = f"role_of_{engine.url.database}"
    async with engine.begin() as connection:
        for statement in (f"CREATE ROLE {role} {options}", *statements):
            await connection.execute(text(statement.format(role=role)))
    try:
        yield role
    finally:
        async with engine.begin() as connection:
            await connection.execute(text(f"DROP OWNED BY {role}"))
            await connection.execute(text(f"DROP ROLE {role}"))


@asynccontextmanager
async def as_application(engine: AsyncEngine) -> AsyncIterator[AsyncEngine]:
    """An engine of an application's role, with a single connection for all its transactions."""
    async with new_role(engine) as role:
        await grant(engine, role)
        application = create_engine(engine.url.set(username=role), pool_size=1, max_overflow=0)
        try:
            yield application
        finally:
            await application.dispose()


async def attempt(engine: AsyncEngine, setting: str | None, statement: str, row: Row | None = None) -> int | str:
    """Run a statement, or insert a row into the table named: how many rows it found or changed, or what refused it."""
    try:
        async with engine.begin() as connection:
            if setting is not None:
                await connection.execute(text(f"SET LOCAL memstore.tenant_id = '{setting}'"))
            if row is None:
                return (await connection.execute(text(statement))).rowcount
            await insert_row(connection, statement, row)
            return 1
    except DBAPIError as error:
        return POLICY if POLICY in str(error) else type(error.orig and error.orig.__cause__).__name__


async def fail_after_writing(session: AsyncSession) -> None:
    """Write a memory and then raise."""
    session.add(MemoryNode(id="new", content="x"))
    await session.flush()
    raise ZeroDivisionError
