from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import pytest
import pytest_asyncio
from sqlalchemy import func, select, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from memstore.database import create_engine
from memstore.errors import PermissionDeniedError
from memstore.migrations import grant
from memstore.models import Agent
from memstore.scope import tenant_session
from tests.tenants import ACME, INITECH, Row, contents, fail_after_writing, insert_row, owned_tables, rows_of

POLICY, NOT_A_UUID, NO_RIGHT = "row-level security", "InvalidTextRepresentationError", "InsufficientPrivilegeError"
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


@pytest_asyncio.fixture
async def application(seeded: AsyncEngine, url: URL) -> AsyncIterator[AsyncEngine]:
    """An engine of an application's role, with a single connection for all its transactions."""
    async with new_role(seeded) as role:
        await grant(seeded, role)
        application = create_engine(url.set(username=role), pool_size=1, max_overflow=0)
        yield application
        await application.dispose()


async def test_each_table_of_a_tenant_has_a_row_here(seeded: AsyncEngine) -> None:
    assert set(await owned_tables(seeded)) == set(rows_of(ACME))
    assert all((await contents(seeded, INITECH)).values())


async def test_a_tenant_reads_and_changes_its_own_rows(application: AsyncEngine, seeded: AsyncEngine) -> None:
    before, mine = await contents(seeded, INITECH), str(ACME)
    for table, column in (await owned_tables(seeded)).items():
        assert await attempt(application, mine, f"SELECT FROM memstore.{table}") == 1, table
        assert await attempt(application, mine, f"UPDATE memstore.{table} SET {column} = {column}") == 1, table
    for table in list(rows_of(ACME))[:0:-1]:
        assert await attempt(application, mine, f"DELETE FROM memstore.{table}") == 1, table
    for table, row in list(rows_of(ACME, number=1).items())[1:]:
        assert await attempt(application, mine, table, row) == 1, table
    assert await contents(seeded, INITECH) == before


@pytest.mark.parametrize("setting", SETTINGS)
async def test_another_tenants_rows_are_not_there(application: AsyncEngine, seeded: AsyncEngine, setting: str) -> None:
    before, (value, expected) = await contents(seeded, INITECH), SETTINGS[setting]
    new = rows_of(INITECH, number=1) | {"tenants": {"id": str(UUID(int=3)), "name": "Hooli"}}
    for table, column in (await owned_tables(seeded)).items():
        theirs = f"{column} = '{INITECH}'"
        found = [
            await attempt(application, value, f"SELECT FROM memstore.{table} WHERE {theirs}"),
            await attempt(application, value, f"UPDATE memstore.{table} SET {column} = '{ACME}' WHERE {theirs}"),
            await attempt(application, value, f"DELETE FROM memstore.{table} WHERE {theirs}"),
            await attempt(application, value, table, new[table]),
            await attempt(application, value, f"UPDATE memstore.{table} SET {theirs}"),
        ]
        assert found == [*expected[:2], NO_RIGHT if table == "tenants" else expected[2], *expected[3:]], table
    assert await contents(seeded, INITECH) == before


async def test_no_row_names_a_row_of_another_tenant(application: AsyncEngine, seeded: AsyncEngine) -> None:
    async with seeded.connect() as connection:
        keys = (await connection.execute(text(KEYS_BETWEEN_THEM))).all()
    assert len(keys) >= 5
    for table, column, target in (key for key in keys if key[2] in rows_of(INITECH)):
        theirs = rows_of(INITECH)[target]["id"]
        added = rows_of(ACME)[table] | {"id": str(UUID(int=99)), column: theirs}
        changed = f"UPDATE memstore.{table} SET {column} = '{theirs}'"
        assert await attempt(application, str(ACME), table, added) == "ForeignKeyViolationError", (table, column)
        assert await attempt(application, str(ACME), changed) == "ForeignKeyViolationError", (table, column)


async def test_a_pooled_connection_takes_no_tenant_along(application: AsyncEngine, seeded: AsyncEngine) -> None:
    tables, process = await owned_tables(seeded), select(func.pg_backend_pid())

    async def visible() -> tuple[int | None, set[int]]:
        async with application.connect() as connection:
            counts = {await connection.scalar(text(f"SELECT count(*) FROM memstore.{table}")) for table in tables}
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


async def test_the_role_owns_nothing(application: AsyncEngine) -> None:
    statements = [
        "DELETE FROM memstore.tenants",
        "TRUNCATE memstore.memory_nodes",
        "SELECT FROM memstore.migration_ledger",
        "UPDATE memstore.settings SET value = '8'",
        "UPDATE memstore.alembic_version SET version_num = 'x'",
        "CREATE TABLE memstore.loot (id integer)",
        "ALTER TABLE memstore.agents ADD COLUMN loot text",
        "ALTER TABLE memstore.agents DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE memstore.agents DISABLE TRIGGER ALL",
        "DROP POLICY tenant_isolation ON memstore.agents",
        "DROP TABLE memstore.agents",
        "CREATE OR REPLACE FUNCTION memstore.current_tenant() RETURNS uuid LANGUAGE sql AS 'SELECT NULL::uuid'",
        "CREATE TRIGGER loot BEFORE INSERT ON memstore.agents EXECUTE FUNCTION memstore.touch()",
        "SET session_replication_role = replica",
        "SET ROLE postgres",
    ]
    found = {statement: await attempt(application, str(ACME), statement) for statement in statements}
    assert found == dict.fromkeys(statements, NO_RIGHT)


async def test_grant_refuses_a_role_that_is_not_there(engine: AsyncEngine) -> None:
    for name in ("nobody", 'no "body"'):
        with pytest.raises(PermissionDeniedError, match=f"no role '{name}'"):
            await grant(engine, name)


@pytest.mark.parametrize("options", ["SUPERUSER NOBYPASSRLS", "NOSUPERUSER BYPASSRLS"])
async def test_grant_refuses_a_role_that_nothing_would_confine(engine: AsyncEngine, options: str) -> None:
    async with new_role(engine, options=f"LOGIN {options}") as role:
        with pytest.raises(PermissionDeniedError, match="is a superuser or has BYPASSRLS"):
            await grant(engine, role)


@pytest.mark.parametrize("inherits", ["INHERIT", "NOINHERIT"])
async def test_grant_refuses_a_role_that_can_be_the_owner(engine: AsyncEngine, inherits: str) -> None:
    async with new_role(engine, f"GRANT {engine.url.username} TO {{role}}", options=f"LOGIN {inherits}") as role:
        with pytest.raises(PermissionDeniedError, match="owns the schema"):
            await grant(engine, role)
