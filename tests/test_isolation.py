from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio
from sqlalchemy import delete, func, insert, inspect, select, text, update
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession
from sqlalchemy.orm import Session as OrmSession
from sqlalchemy.orm import aliased

from memstore.database import create_engine
from memstore.errors import PermissionDeniedError, TenantScopeError
from memstore.migrations import grant
from memstore.models import Agent, Base, MemoryNode, Session, Tenant, TenantOwned, User
from memstore.scope import tenant_session

Row = dict[str, Any]

ACME, INITECH = UUID(int=1), UUID(int=2)
LATER = "2100-01-01T00:00:00Z"
POLICY, NOT_A_UUID, NO_RIGHT = "row-level security", "InvalidTextRepresentationError", "InsufficientPrivilegeError"
# What a transaction has set, and what it then gets when it tries for a row of Initech:
# to read it, to take it over, to delete it, to add one, to give one away.
SETTINGS: dict[str, tuple[str | None, list[int | str]]] = {
    "another tenant": (str(ACME), [0, 0, 0, POLICY, POLICY]),
    "unset": (None, [0, 0, 0, POLICY, 0]),
    "empty": ("", [0, 0, 0, POLICY, 0]),
    "garbage": ("x", [NOT_A_UUID] * 5),
}


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
KEYS_BETWEEN_THEM = """
    SELECT owner.relname, attname, target.relname FROM pg_constraint AS key
    JOIN pg_class AS owner ON owner.oid = conrelid JOIN pg_class AS target ON target.oid = confrelid
    JOIN pg_attribute ON attrelid = conrelid AND attnum = ANY (conkey) AND attname <> 'tenant_id'
    WHERE owner.relnamespace = 'memstore'::regnamespace AND contype = 'f'
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


async def contents(engine: AsyncEngine, tenant: UUID) -> dict[str, list[Row]]:
    """All that the database holds of a tenant, as its owner sees it."""
    found = {}
    async with engine.connect() as connection:
        for table, column in (await owned_tables(engine)).items():
            query = text(f"SELECT to_jsonb(t) FROM memstore.{table} AS t WHERE {column} = :tenant ORDER BY t::text")
            found[table] = list(await connection.scalars(query, {"tenant": tenant}))
    return found


@pytest_asyncio.fixture
async def seeded(engine: AsyncEngine) -> AsyncEngine:
    """The owner's engine, with a row in each table for Acme and for Initech."""
    async with engine.begin() as connection:
        for tenant in (ACME, INITECH):
            for table, row in rows_of(tenant).items():
                await insert_row(connection, table, row)
    return engine


async def fail_after_writing(session: AsyncSession) -> None:
    session.add(MemoryNode(id="new", content="x"))
    await session.flush()
    raise ZeroDivisionError


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


async def test_an_owners_scope_finds_its_own_tenant_alone(seeded: AsyncEngine) -> None:
    before, found = await contents(seeded, INITECH), {}
    models: list[Any] = [mapper.class_ for mapper in Base.registry.mappers]
    async with tenant_session(seeded, ACME) as session:
        for model in [each for each in models if issubclass(each, TenantOwned | User | Tenant)]:
            table, owner = model.__tablename__, model.id if model is Tenant else model.tenant_id
            key = [rows_of(INITECH)[table][column.name] for column in inspect(model).primary_key]
            changed: Any = await session.execute(update(model).where(owner == INITECH).values({owner: ACME}))
            deleted: Any = await session.execute(delete(model).where(owner == INITECH))
            found[table] = (
                [getattr(row, owner.key) for row in await session.scalars(select(model))],
                list(await session.scalars(select(select(owner).subquery().c[0]))),
                await session.scalar(select(func.count()).select_from(aliased(model))),
                await session.get(model, key),
                changed.rowcount,
                deleted.rowcount,
            )
    assert found == dict.fromkeys(rows_of(ACME), ([ACME], [ACME], 1, None, 0, 0))
    assert await contents(seeded, INITECH) == before


def new_memory(theirs: MemoryNode) -> Row:
    return {"tenant_id": theirs.tenant_id, "id": "new", "content": "x"}


def modify(session: OrmSession, theirs: MemoryNode) -> None:
    session.add(theirs)
    theirs.content = "changed"


def give_away(session: OrmSession, theirs: MemoryNode) -> None:
    session.scalars(select(MemoryNode)).one().tenant_id = theirs.tenant_id


# Each is given a memory of Initech in the scope of Acme.
WRITES: dict[str, Callable[[OrmSession, MemoryNode], object]] = {
    "add": lambda session, theirs: session.add(MemoryNode(**new_memory(theirs))),
    "merge": lambda session, theirs: session.merge(theirs),
    "modify": modify,
    "give away": give_away,
    "delete": lambda session, theirs: session.delete(theirs),
    "insert": lambda session, theirs: session.execute(insert(MemoryNode).values(new_memory(theirs))),
    "bulk insert": lambda session, theirs: session.execute(insert(MemoryNode), [new_memory(theirs)]),
    "update": lambda session, theirs: session.execute(
        update(MemoryNode).values(tenant_id=theirs.tenant_id, user_id=None, agent_id=None, session_id=None, id="new")
    ),
    "bulk update": lambda session, theirs: session.execute(
        update(MemoryNode), [{"tenant_id": theirs.tenant_id, "id": theirs.id, "version": 1, "content": "changed"}]
    ),
}


@pytest.mark.parametrize("write", WRITES)
async def test_an_owners_scope_writes_for_its_own_tenant_alone(seeded: AsyncEngine, write: str) -> None:
    before = await contents(seeded, INITECH)
    async with AsyncSession(seeded) as session:
        theirs = (await session.scalars(select(MemoryNode).where(MemoryNode.tenant_id == INITECH))).one()
    with pytest.raises(TenantScopeError):
        async with tenant_session(seeded, ACME) as session:
            await session.run_sync(WRITES[write], theirs)
    assert await contents(seeded, INITECH) == before


async def test_a_users_scope_is_the_users(seeded: AsyncEngine) -> None:
    bob, ann = rows_of(ACME, number=1), UUID(rows_of(ACME)["users"]["id"])
    async with seeded.begin() as connection:
        for table in ("users", "agents", "sessions", "memory_nodes"):
            await insert_row(connection, table, bob[table])
        await insert_row(connection, "memory_nodes", bob["memory_nodes"] | {"id": "shared", "user_id": None})
    async with tenant_session(seeded, ACME, ann) as session:
        deleted: Any = await session.execute(delete(MemoryNode).where(MemoryNode.user_id.is_distinct_from(ann)))
        assert deleted.rowcount == 0
        assert list(await session.scalars(select(Session.user_id))) == [ann]
        assert await session.get(MemoryNode, (ACME, "shared")) is None
        memory = MemoryNode(id="new", content="x")
        session.add(memory)
        await session.commit()
        assert (memory.user_id, memory.tenant_id) == (ann, ACME)
        assert list(await session.scalars(select(MemoryNode.user_id))) == [ann, ann]
        assert await session.scalar(text("SELECT memstore.current_tenant()")) == ACME
    with pytest.raises(TenantScopeError, match="user_id"):
        async with tenant_session(seeded, ACME, ann) as session:
            session.add(MemoryNode(id="newer", content="x", user_id=UUID(bob["users"]["id"])))
    stored = {row["id"] for row in (await contents(seeded, ACME))["memory_nodes"]}
    assert stored == {bob["memory_nodes"]["id"], rows_of(ACME)["memory_nodes"]["id"], "shared", "new"}


async def test_a_scope_is_of_uuids(seeded: AsyncEngine) -> None:
    for tenant, user in (("x", None), ("", None), (f"{ACME}'; DROP", None), (str(ACME), "x")):
        with pytest.raises(TenantScopeError):
            async with tenant_session(seeded, tenant, user):
                pytest.fail("the scope was opened")


async def test_an_engine_without_transactions_is_refused(seeded: AsyncEngine) -> None:
    autocommit = seeded.execution_options(isolation_level="AUTOCOMMIT")
    with pytest.raises(TenantScopeError, match="the engine is in AUTOCOMMIT"):
        async with tenant_session(autocommit, ACME):
            pytest.fail("a scope was opened")


async def test_an_exception_rolls_back(seeded: AsyncEngine) -> None:
    before = await contents(seeded, ACME)
    with pytest.raises(ZeroDivisionError):
        async with tenant_session(seeded, str(ACME)) as session:
            await fail_after_writing(session)
    assert await contents(seeded, ACME) == before
