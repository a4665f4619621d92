from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import inspect, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession
from sqlalchemy.orm.exc import StaleDataError

from memstore.models import (
    Agent,
    Base,
    Document,
    Embedding,
    EmbeddingModel,
    EpisodicMemory,
    MemoryNode,
    Session,
    Tenant,
    Tool,
    User,
)
from tests.tenants import insert_row

Row = dict[str, Any]

ID, OTHER_ID = str(UUID(int=1)), str(UUID(int=2))
BEFORE, LATER = "2000-01-01T00:00:00Z", "2100-01-01T00:00:00Z"

# One row each; foreign keys and checks are dropped for these tests, so nothing else need be there.
ROWS: dict[str, Row] = {
    "tenants": {"id": ID, "name": "Acme"},
    "users": {"tenant_id": OTHER_ID, "id": ID, "auth_provider": "test", "external_id": "ann"},
    "agents": {"tenant_id": ID, "id": ID, "name": "Guide"},
    "sessions": {"tenant_id": ID, "id": ID, "agent_id": ID, "expires_at": LATER},
    "memory_nodes": {"tenant_id": ID, "id": "one", "content": "Ann likes tea", "embedding": "[1, 1, 1, 1]"},
    "tools": {"tenant_id": ID, "id": ID, "name": "search"},
    "episodic_memories": {"tenant_id": ID, "id": "one", "embedding": "[1, 1, 1, 1]"},
    "documents": {"tenant_id": ID, "id": ID, "title": "Tea"},
    "embeddings": {
        "tenant_id": ID,
        "source_type": "memory",
        "source_id": "one",
        "model": "toy",
        "embedding": "[1, 1, 1]",
        "content_hash": rf"\x{'00' * 32}",
    },
}

# What a column is changed to, by its type. None of these is in a row above, and none is a default.
CHANGED = {
    "boolean": "true",
    "bytea": r"'\xff'",
    "integer": "77",
    "jsonb": """'{"changed": true}'""",
    "numeric": "1.25",
    "real": "0.25",
    "smallint": "7",
    "text": "'changed'",
    "timestamp with time zone": "'2001-02-03 04:05:06Z'",
    "uuid": f"'{UUID(int=9)}'",
    "character varying": "'changed'",
    "vector": "'[4, 3, 2, 1]'",
}

# What a writer changes through the ORM.
WRITES: dict[type[Base], tuple[str, str]] = {
    Tenant: ("name", "Hooli"),
    User: ("email", "ann@example.com"),
    Agent: ("name", "Critic"),
    Session: ("status", "closed"),
    MemoryNode: ("content", "Ann likes coffee"),
    Tool: ("description", "finds things"),
    EpisodicMemory: ("summary", "Ann likes coffee"),
    Document: ("department", "sales"),
    Embedding: ("content", "Ann likes coffee"),
}

ACCESS = {"access_count", "last_accessed"}
RECORD_ACCESS = "access_count = access_count + 1, last_accessed = now()"
WITH_ACCESS = [MemoryNode, EpisodicMemory]

WRITABLE_COLUMNS = """
    SELECT attname AS name, split_part(format_type(atttypid, NULL), '.', -1) AS kind FROM pg_attribute
    WHERE attrelid = CAST(:table AS regclass) AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
"""
# The version in mirror_rejections is that of a memory.
VERSIONED_TABLES = """
    SELECT relname FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid AND attname = 'version'
    WHERE relnamespace = 'memstore'::regnamespace AND relkind IN ('r', 'p') AND relname <> 'mirror_rejections'
"""
CHECKS_AND_FOREIGN_KEYS = """
    SELECT conrelid::regclass::text, conname FROM pg_constraint
    WHERE connamespace = 'memstore'::regnamespace AND contype IN ('c', 'f')
"""


async def insert_unconstrained(connection: AsyncConnection, table: str) -> None:
    """Insert the table's row, last changed long ago, where nothing but its triggers has a say."""
    for owner, name in (await connection.execute(text(CHECKS_AND_FOREIGN_KEYS))).all():
        await connection.execute(text(f"ALTER TABLE {owner} DROP CONSTRAINT {name}"))
    await insert_row(connection, table, ROWS[table] | {"created_at": BEFORE, "updated_at": BEFORE})


async def update(connection: AsyncConnection, table: str, assignments: str) -> tuple[int, bool]:
    """Run an UPDATE of the one row; return its version, and whether updated_at is this transaction's."""
    returning = "RETURNING version, updated_at = now(), updated_at = CAST(:before AS timestamptz)"
    statement = text(f"UPDATE memstore.{table} SET {assignments} {returning}")
    version, is_now, is_before = (
        await connection.execute(statement, {"before": datetime(2000, 1, 1, tzinfo=UTC)})
    ).one()
    assert is_now is not is_before
    return version, is_now


async def columns_of(connection: AsyncConnection, table: str) -> dict[str, str]:
    found = await connection.execute(text(WRITABLE_COLUMNS), {"table": f"memstore.{table}"})
    return {row.name: row.kind for row in found}


async def test_each_versioned_table_has_a_row(shared_engine: AsyncEngine) -> None:
    async with shared_engine.connect() as connection:
        tables = set(await connection.scalars(text(VERSIONED_TABLES)))
    assert tables == set(ROWS)
    tables_of_models = [table for table in Base.metadata.sorted_tables if table.name != "mirror_rejections"]
    versioned = {table for table in tables_of_models if "version" in table.columns}
    assert tables == {table.name for table in versioned}
    assert {table for table in versioned if ACCESS & set(table.columns.keys())} == {
        model.__table__ for model in WITH_ACCESS
    }


@pytest.mark.parametrize("table", ROWS)
async def test_each_column_alone_is_a_change(shared_engine: AsyncEngine, table: str) -> None:
    async with shared_engine.connect() as connection:
        await insert_unconstrained(connection, table)
        columns = await columns_of(connection, table)
        found = {}
        for name, kind in columns.items():
            savepoint = await connection.begin_nested()
            found[name] = await update(connection, table, f"{name} = {CHANGED[kind]}")
            await savepoint.rollback()
    assert found == {name: (1, False) if name in ACCESS else (2, True) for name in columns}


@pytest.mark.parametrize("table", ROWS)
async def test_writing_the_same_values_is_no_change(shared_engine: AsyncEngine, table: str) -> None:
    async with shared_engine.connect() as connection:
        await insert_unconstrained(connection, table)
        same = ", ".join(f"{name} = {name}" for name in await columns_of(connection, table))
        assert await update(connection, table, same) == (1, False)


@pytest.mark.parametrize("model", WITH_ACCESS)
async def test_an_embedding_that_comes_or_goes_is_a_change_and_none_that_stays_away(
    shared_engine: AsyncEngine, model: type[Base]
) -> None:
    table = model.__tablename__
    async with shared_engine.connect() as connection:
        await insert_unconstrained(connection, table)
        assert await update(connection, table, "embedding = NULL") == (2, True)
        again = text(f"UPDATE memstore.{table} SET embedding = NULL RETURNING version")
        assert await connection.scalar(again) == 2
        assert await update(connection, table, "embedding = '[1, 2, 3, 4]'") == (3, True)


@pytest.mark.parametrize("model", WITH_ACCESS)
async def test_recording_an_access_is_no_change_and_takes_none_along(
    shared_engine: AsyncEngine, model: type[Base]
) -> None:
    table, name = model.__tablename__, WRITES[model][0]
    async with shared_engine.connect() as connection:
        await insert_unconstrained(connection, table)
        assert await update(connection, table, RECORD_ACCESS) == (1, False)
        assert await update(connection, table, f"{RECORD_ACCESS}, {name} = 'changed'") == (2, True)


@pytest.mark.parametrize("table", ROWS)
async def test_nobody_chooses_version_or_updated_at(shared_engine: AsyncEngine, table: str) -> None:
    async with shared_engine.connect() as connection:
        await insert_unconstrained(connection, table)
        forged = f"version = 77, updated_at = '{LATER}'"
        assert await update(connection, table, forged) == (2, True)
        assert await update(connection, table, "version = 1") == (3, True)


async def add_each(engine: AsyncEngine) -> dict[type[Base], Any]:
    """Commit a row of each versioned model; return their keys."""
    tenant = UUID(ID)
    rows = [
        Tenant(id=tenant, name="Acme"),
        User(tenant_id=tenant, auth_provider="test", external_id="ann"),
        Agent(tenant_id=tenant, id=tenant, name="Guide"),
        Session(tenant_id=tenant, agent_id=tenant, expires_at=datetime(2100, 1, 1, tzinfo=UTC)),
        MemoryNode(tenant_id=tenant, id="one", content="Ann likes tea"),
        Tool(tenant_id=tenant, name="search"),
        EpisodicMemory(tenant_id=tenant, id="one"),
        Document(tenant_id=tenant, title="Tea"),
        Embedding(
            tenant_id=tenant,
            source_type="memory",
            source_id="one",
            model="toy",
            embedding=[1, 1, 1],
            content_hash=bytes(32),
        ),
    ]
    async with AsyncSession(engine, expire_on_commit=False) as session:
        session.add(EmbeddingModel(name="toy", dimensions=3))
        for row in rows:
            session.add(row)
            await session.flush()
        await session.commit()
    return {type(row): inspect(row).identity for row in rows}


def test_each_versioned_model_is_written_below() -> None:
    assert {model.__tablename__ for model in WRITES} == set(ROWS)


@pytest.mark.parametrize("model", WRITES)
async def test_the_later_of_two_writers_is_told(engine: AsyncEngine, model: type[Base]) -> None:
    keys = await add_each(engine)
    name, value = WRITES[model]
    async with AsyncSession(engine) as first, AsyncSession(engine) as second, AsyncSession(engine) as third:
        winner, stale, doomed = [await each.get_one(model, keys[model]) for each in (first, second, third)]
        setattr(winner, name, value)
        await first.flush()
        assert (vars(winner)["version"], vars(winner)["updated_at"] != vars(winner)["created_at"]) == (2, True)
        await first.commit()
        setattr(stale, name, "archived")
        with pytest.raises(StaleDataError):
            await second.flush()
        await third.delete(doomed)
        with pytest.raises(StaleDataError):
            await third.flush()
    async with AsyncSession(engine) as session:
        assert getattr(await session.get_one(model, keys[model]), name) == value


async def execute(engine: AsyncEngine, statement: str) -> None:
    async with engine.begin() as connection:
        await connection.execute(text(statement))


@pytest.mark.parametrize("model", WRITES)
async def test_a_writer_is_told_of_raw_sql_that_changes_something(engine: AsyncEngine, model: type[Base]) -> None:
    keys = await add_each(engine)
    name, value = WRITES[model]
    async with AsyncSession(engine) as session:
        row: Any = await session.get_one(model, keys[model])
        await execute(engine, f"UPDATE memstore.{model.__tablename__} SET {name} = {name}")
        setattr(row, name, value)
        await session.commit()
        await session.refresh(row)
        assert (row.version, getattr(row, name)) == (2, value)
        await execute(engine, f"UPDATE memstore.{model.__tablename__} SET {name} = 'archived'")
        setattr(row, name, "active")
        with pytest.raises(StaleDataError):
            await session.commit()
    async with AsyncSession(engine) as session:
        assert getattr(await session.get_one(model, keys[model]), name) == "archived"


@pytest.mark.parametrize("model", WITH_ACCESS)
async def test_a_writer_is_not_told_of_an_access(engine: AsyncEngine, model: type[Base]) -> None:
    keys = await add_each(engine)
    name, value = WRITES[model]
    async with AsyncSession(engine) as session:
        row: Any = await session.get_one(model, keys[model])
        await execute(engine, f"UPDATE memstore.{model.__tablename__} SET {RECORD_ACCESS}")
        setattr(row, name, value)
        await session.commit()
        await session.refresh(row)
        assert (row.version, row.access_count, getattr(row, name)) == (2, 1, value)
