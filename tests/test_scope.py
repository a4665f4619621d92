from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import delete, func, insert, inspect, select, text, update
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import Session as OrmSession
from sqlalchemy.orm import aliased, joinedload, selectinload, subqueryload
from sqlalchemy.sql.base import ExecutableOption

from memstore.errors import TenantScopeError
from memstore.models import ActiveMemory, Base, MemoryNode, Tenant, TenantOwned, User, UserOwned, View
from memstore.scope import tenant_session
from tests.tenants import ACME, INITECH, Row, add_twins, contents, fail_after_writing, insert_row, insert_rows, rows_of


async def test_an_owners_scope_finds_its_own_tenant_alone(seeded: AsyncEngine) -> None:
    before, found = await contents(seeded, INITECH), {}
    models: list[Any] = [mapper.class_ for mapper in Base.registry.mappers]
    async with tenant_session(seeded, ACME) as session:
        for model in [each for each in models if issubclass(each, TenantOwned | User | Tenant)]:
            table, owner = model.__tablename__, model.id if model is Tenant else model.tenant_id
            key = [rows_of(INITECH)[table][0][column.name] for column in inspect(model).primary_key]
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
    mine = {table: [ACME] * len(rows) for table, rows in rows_of(ACME).items()}
    assert found == {table: (owners, owners, len(owners), None, 0, 0) for table, owners in mine.items()}
    assert await contents(seeded, INITECH) == before


async def test_an_owners_scope_shows_views_of_its_own_tenant_alone(seeded: AsyncEngine) -> None:
    views: list[Any] = [mapper.class_ for mapper in View.registry.mappers]
    memories = [ACME] * len(rows_of(ACME)["memory_nodes"])
    async with AsyncSession(seeded) as session:
        assert {await session.scalar(select(func.count(view.tenant_id.distinct()))) for view in views} == {2}
    async with tenant_session(seeded, ACME) as session:
        for view in views:
            mine, query = memories if view is ActiveMemory else [ACME], select(view.tenant_id)
            assert list(await session.scalars(query)) == mine, view
            assert [row.tenant_id for row in await session.scalars(select(view))] == mine, view
            assert list(await session.scalars(select(aliased(view).tenant_id))) == mine, view
            assert list(await session.scalars(query.where(view.tenant_id == INITECH))) == [], view


@pytest.mark.parametrize("load", [selectinload, joinedload, subqueryload])
async def test_no_relationship_leads_out_of_an_owners_scope(
    seeded: AsyncEngine, load: Callable[[Any], ExecutableOption]
) -> None:
    await add_twins(seeded)
    async with tenant_session(seeded, ACME) as session:
        for mapper in Base.registry.mappers:
            for relation in mapper.relationships:
                query = select(mapper).options(load(relation.class_attribute))
                found = [getattr(row, relation.key) for row in (await session.scalars(query)).unique()]
                related = [row for each in found for row in (each if isinstance(each, list) else [each])]
                owners = {row.id if isinstance(row, Tenant) else getattr(row, "tenant_id", ACME) for row in related}
                assert owners == {ACME}, relation
                session.expunge_all()


def new_memory(theirs: MemoryNode) -> Row:
    return {"tenant_id": theirs.tenant_id, "id": "new", "content": "x"}


def modify(session: OrmSession, theirs: MemoryNode) -> None:
    session.add(theirs)
    theirs.content = "changed"


def give_away(session: OrmSession, theirs: MemoryNode) -> None:
    session.scalars(select(MemoryNode)).all()[0].tenant_id = theirs.tenant_id


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
        key = (INITECH, rows_of(INITECH)["memory_nodes"][0]["id"])
        theirs = await session.get_one(MemoryNode, key)
    with pytest.raises(TenantScopeError):
        async with tenant_session(seeded, ACME) as session:
            await session.run_sync(WRITES[write], theirs)
    assert await contents(seeded, INITECH) == before


async def test_a_users_scope_is_the_users(seeded: AsyncEngine) -> None:
    ann, bob = (UUID(rows_of(ACME, number)["users"][0]["id"]) for number in range(2))
    nobodys = rows_of(ACME)["memory_nodes"][0] | {"id": "shared", "user_id": None}
    async with seeded.begin() as connection:
        await insert_rows(connection, rows_of(ACME, number=1) | {"tenants": []})
        await insert_row(connection, "memory_nodes", nobodys)
    async with tenant_session(seeded, ACME) as session:
        owners = {model: list(await session.scalars(select(model.user_id))) for model in UserOwned.__subclasses__()}
    assert {ActiveMemory, MemoryNode} <= owners.keys()
    assert [set(users) - {None} for users in owners.values()] == [{ann, bob}] * len(owners)
    async with tenant_session(seeded, ACME, ann) as session:
        for model, users in owners.items():
            assert list(await session.scalars(select(model.user_id))) == [ann] * users.count(ann), model
            assert [row.user_id for row in await session.scalars(select(model))] == [ann] * users.count(ann), model
        deleted: Any = await session.execute(delete(MemoryNode).where(MemoryNode.user_id.is_distinct_from(ann)))
        assert deleted.rowcount == 0
        assert await session.get(MemoryNode, (ACME, "shared")) is None
        memory = MemoryNode(id="new", content="x")
        session.add(memory)
        await session.commit()
        assert (memory.user_id, memory.tenant_id) == (ann, ACME)
        assert list(await session.scalars(select(MemoryNode.user_id))) == [ann] * 3
        assert await session.scalar(text("SELECT memstore.current_tenant()")) == ACME
    with pytest.raises(TenantScopeError, match="user_id"):
        async with tenant_session(seeded, ACME, ann) as session:
            session.add(MemoryNode(id="newer", content="x", user_id=bob))
    stored = {row["id"] for row in (await contents(seeded, ACME))["memory_nodes"]}
    seeded_ones = {row["id"] for number in range(2) for row in rows_of(ACME, number)["memory_nodes"]}
    assert stored == seeded_ones | {"shared", "new"}


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
