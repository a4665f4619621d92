from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID

import pytest
import pytest_asyncio
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from memstore.models import Agent
from memstore.scope import tenant_session
from tests.tenants import (
    ACME,
    INITECH,
    NO_RIGHT,
    NOT_A_UUID,
    POLICY,
    as_application,
    attempt,
    contents,
    fail_after_writing,
    owned_tables,
    rows_of,
)

# What an application may not do to a tenant's rows at all, its own included.
NOT_GRANTED = {
    ("tenants", "DELETE"),
    ("memory_access_log", "UPDATE"),
    ("memory_access_log", "DELETE"),
    *((table, word) for table in ("search_statistics", "word_statistics") for word in ("INSERT", "UPDATE", "DELETE")),
    *(("mirror_rejections", word) for word in ("INSERT", "UPDATE", "DELETE")),
}

# What a transaction has set, and what it then gets when it tries for a row of Initech:
# to read it, to take it over, to delete it, to add one, to give one away.
SETTINGS: dict[str, tuple[str | None, list[int | str]]] = {
    "another tenant": (str(ACME), [0, 0, 0, POLICY, POLICY]),
    "unset": (None, [0, 0, 0, POLICY, 0]),
    "empty": ("", [0, 0, 0, POLICY, 0]),
    "garbage": ("x", [NOT_A_UUID] * 5),
}

KEYS_BETWEEN_THEM = """
    SELECT owner.relname, attname, target.relname FROM pg_constraint AS key
    JOIN pg_class AS owner ON owner.oid = conrelid JOIN pg_class AS target ON target.oid = confrelid
    JOIN pg_attribute ON attrelid = conrelid AND attnum = ANY (conkey) AND attname <> 'tenant_id'
    WHERE owner.relnamespace = 'memstore'::regnamespace AND contype = 'f'
"""

PROTECTION = """
    SELECT relname, relrowsecurity, cmd, array_to_string(roles, ','), permissive = 'PERMISSIVE', qual, with_check
    FROM pg_class LEFT JOIN pg_policies ON schemaname = 'memstore' AND tablename = relname
    WHERE relnamespace = 'memstore'::regnamespace
"""
HOLES = [
    ["CREATE TABLE memstore.loot (tenant_id uuid)"],
    ["CREATE TABLE memstore.loot (tenant_id uuid)", "ALTER TABLE memstore.loot ENABLE ROW LEVEL SECURITY"],
    ["ALTER TABLE memstore.agents DISABLE ROW LEVEL SECURITY"],
    ["DROP POLICY tenant_isolation ON memstore.agents"],
    ["ALTER POLICY tenant_isolation ON memstore.agents USING (true)"],
    ["ALTER POLICY tenant_isolation ON memstore.agents WITH CHECK (true)"],
    ["ALTER POLICY tenant_isolation ON memstore.agents TO pg_monitor"],
    ["CREATE POLICY more ON memstore.agents USING (true)"],
]


def allowed(table: str, word: str, result: int | str) -> int | str:
    return NO_RIGHT if (table, word) in NOT_GRANTED else result


@pytest_asyncio.fixture
async def application(seeded: AsyncEngine) -> AsyncIterator[AsyncEngine]:
    async with as_application(seeded) as application:
        yield application


async def test_each_table_of_a_tenant_has_a_row_here(seeded: AsyncEngine) -> None:
    assert set(await owned_tables(seeded)) == set(rows_of(ACME))
    assert all((await contents(seeded, INITECH)).values())


async def test_a_tenant_reads_and_changes_its_own_rows(application: AsyncEngine, seeded: AsyncEngine) -> None:
    before, mine = await contents(seeded, INITECH), str(ACME)
    rows, new = rows_of(ACME), rows_of(ACME, number=1)
    for table, column in (await owned_tables(seeded)).items():
        there, change = len(rows[table]), f"UPDATE memstore.{table} SET {column} = {column}"
        read = await attempt(application, mine, f"SELECT FROM memstore.{table}")
        assert read == allowed(table, "SELECT", there), table
        assert await attempt(application, mine, change) == allowed(table, "UPDATE", there), table
    for table in list(rows)[:0:-1]:
        deleted = await attempt(application, mine, f"DELETE FROM memstore.{table}")
        assert deleted == allowed(table, "DELETE", len(rows[table])), table
    for table in list(new)[1:]:
        added = [await attempt(application, mine, table, row) for row in new[table]]
        assert added == [allowed(table, "INSERT", 1)] * len(new[table]), table
    assert await contents(seeded, INITECH) == before


@pytest.mark.parametrize("setting", SETTINGS)
async def test_another_tenants_rows_are_not_there(application: AsyncEngine, seeded: AsyncEngine, setting: str) -> None:
    before, (value, expected) = await contents(seeded, INITECH), SETTINGS[setting]
    new = rows_of(INITECH, number=1) | {"tenants": [{"id": str(UUID(int=3)), "name": "Hooli"}]}
    for table, column in (await owned_tables(seeded)).items():
        theirs = f"{column} = '{INITECH}'"
        statements = [
            f"SELECT FROM memstore.{table} WHERE {theirs}",
            f"UPDATE memstore.{table} SET {column} = '{ACME}' WHERE {theirs}",
            f"DELETE FROM memstore.{table} WHERE {theirs}",
            table,
            f"UPDATE memstore.{table} SET {theirs}",
        ]
        for statement, result in zip(statements, expected, strict=True):
            if (table, "INSERT" if statement == table else statement.split()[0]) not in NOT_GRANTED:
                row = new[table][0] if statement == table else None
                assert await attempt(application, value, statement, row) == result, statement
    assert await contents(seeded, INITECH) == before


async def test_no_row_names_a_row_of_another_tenant(application: AsyncEngine, seeded: AsyncEngine) -> None:
    async with seeded.connect() as connection:
        keys = (await connection.execute(text(KEYS_BETWEEN_THEM))).all()
    broken, between = "ForeignKeyViolationError", [key for key in keys if key[2] in rows_of(INITECH)]
    assert len(between) >= 21
    # What would break another constraint first.
    unique = {"id": str(UUID(int=99)), "position": 99}
    for table, column, target in between:
        row, theirs = rows_of(ACME)[table][0], rows_of(INITECH)[target][0]["id"]
        added = row | {name: value for name, value in unique.items() if name in row} | {column: theirs}
        changed = f"UPDATE memstore.{table} SET {column} = '{theirs}'"
        assert await attempt(application, str(ACME), table, added) == broken, (table, column)
        assert await attempt(application, str(ACME), changed) == allowed(table, "UPDATE", broken), (table, column)


async def unprotected(engine: AsyncEngine) -> set[str]:
    """Name the tables of tenants that are guarded by anything else than the one policy."""
    async with engine.connect() as connection:
        found = (await connection.execute(text(PROTECTION))).all()
    policies: dict[str, list[tuple[object, ...]]] = {}
    for table, *policy in found:
        policies.setdefault(table, []).append(tuple(policy))
    tables = await owned_tables(engine) | {"mirror_outbox": "tenant_id"}
    mine = {table: f"({column} = memstore.current_tenant())" for table, column in tables.items()}
    guarded = {table for table in mine if policies[table] == [(True, "ALL", "public", True, mine[table], mine[table])]}
    return set(mine) - guarded


async def test_each_table_of_a_tenant_has_the_policy(engine: AsyncEngine) -> None:
    assert await unprotected(engine) == set()


@pytest.mark.parametrize("statements", HOLES)
async def test_a_hole_would_be_found(engine: AsyncEngine, statements: list[str]) -> None:
    async with engine.begin() as connection:
        for statement in statements:
            await connection.execute(text(statement))
    assert await unprotected(engine) == {"loot" if "loot" in statements[0] else "agents"}


async def test_a_pooled_connection_takes_no_tenant_along(application: AsyncEngine, seeded: AsyncEngine) -> None:
    readable = [table for table in await owned_tables(seeded) if (table, "SELECT") not in NOT_GRANTED]
    process = select(func.pg_backend_pid())

    async def visible() -> tuple[int | None, set[int]]:
        async with application.connect() as connection:
            counts = {await connection.scalar(text(f"SELECT count(*) FROM memstore.{table}")) for table in readable}
            return await connection.scalar(process), counts

    async with tenant_session(application, ACME) as session:
        assert [agent.tenant_id for agent in await session.scalars(select(Agent))] == [ACME]
        backend = await session.scalar(process)
    assert await visible() == (backend, {0})
    with pytest.raises(ZeroDivisionError):
        async with tenant_session(application, ACME) as session:
            await fail_after_writing(session)
    assert await visible() == (backend, {0})
    async with tenant_session(application, INITECH) as session:
        assert [agent.tenant_id for agent in await session.scalars(select(Agent))] == [INITECH]
        await session.rollback()
        assert [agent.tenant_id for agent in await session.scalars(select(Agent))] == [INITECH]
