from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import delete, func, insert, inspect, select, text, update
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import Session as OrmSession
from sqlalchemy.orm import aliased

from memstore.errors import TenantScopeError
from memstore.models import Base, MemoryNode, Session, Tenant, TenantOwned, User
from memstore.scope import tenant_session
from tests.tenants import ACME, INITECH, Row, contents, fail_after_writing, insert_row, rows_of


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
