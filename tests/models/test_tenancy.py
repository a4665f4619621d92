from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest_asyncio
from sqlalchemy import select, text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from memstore.database import create_engine
from memstore.migrations import grant
from memstore.models import Agent, Base, MemoryNode, Session, Tenant, TenantKind, User
from memstore.scope import tenant_session

LATER = datetime(2100, 1, 1, tzinfo=UTC)
ACME, INITECH = UUID(int=1), UUID(int=2)
SIGN_UP = """
    INSERT INTO memstore.users (id, auth_provider, external_id, email)
    VALUES ('11111111-1111-1111-1111-111111111111','test','test','test@example.com')
"""
SIGNED_UP = UUID("11111111-1111-1111-1111-111111111111")


@pytest_asyncio.fixture
async def application(engine: AsyncEngine, url: URL) -> AsyncIterator[AsyncEngine]:
    """An engine of a role that may do what `grant` gives it."""
    role = f"tenancy_{url.database}"
    async with engine.connect() as connection:
        await connection.execute(text(f"CREATE ROLE {role} LOGIN"))
        await connection.commit()
    await grant(engine, role)
    application = create_engine(url.set(username=role))
    yield application
    await application.dispose()
    async with engine.connect() as connection:
        await connection.execute(text(f"DROP OWNED BY {role}"))
        await connection.execute(text(f"DROP ROLE {role}"))
        await connection.commit()


async def add(engine: AsyncEngine, *rows: Base) -> None:
    async with AsyncSession(engine, expire_on_commit=False) as session:
        for row in rows:
            session.add(row)
            await session.flush()
        await session.commit()


async def delete(engine: AsyncEngine, model: type[Base], key: object) -> None:
    async with AsyncSession(engine) as session:
        await session.delete(await session.get_one(model, key))
        await session.commit()


def household(tenant: UUID) -> list[Base]:
    """A tenant: Ann talks with Guide, Bob with Critic, and Critic also with nobody in particular."""
    ann, bob, guide, critic, first, second, third = (UUID(int=tenant.int * 100 + number) for number in range(7))
    mine, anybody = {"tenant_id": tenant}, {"tenant_id": tenant, "user_id": None}
    return [
        Tenant(id=tenant, name="Acme"),
        User(**mine, id=ann, auth_provider=str(tenant), external_id="ann"),
        User(**mine, id=bob, auth_provider=str(tenant), external_id="bob"),
        Agent(**mine, id=guide, name="guide"),
        Agent(**mine, id=critic, name="critic"),
        Session(**mine, id=first, agent_id=guide, user_id=ann, workspace={"name": "first"}, expires_at=LATER),
        Session(**mine, id=second, agent_id=critic, user_id=bob, workspace={"name": "second"}, expires_at=LATER),
        Session(**anybody, id=third, agent_id=critic, workspace={"name": "third"}, expires_at=LATER),
        MemoryNode(**mine, id="private", content="x", user_id=ann, agent_id=guide, session_id=first),
        MemoryNode(**mine, id="secret", content="x", user_id=bob, agent_id=critic, session_id=second),
        MemoryNode(**anybody, id="shared", content="x", agent_id=critic, session_id=first),
        MemoryNode(**anybody, id="common", content="x"),
    ]


HOUSEHOLD = {
    "tenant Acme",
    "user ann",
    "user bob",
    "agent guide",
    "agent critic",
    "session first: guide ann",
    "session second: critic bob",
    "session third: critic",
    "memory private: ann guide first",
    "memory secret: bob critic second",
    "memory shared: critic first",
    "memory common:",
}

WHAT_IS_LEFT = """
    SELECT 'tenant ' || name FROM memstore.tenants WHERE id = :tenant
    UNION ALL SELECT 'user ' || external_id FROM memstore.users WHERE tenant_id = :tenant
    UNION ALL SELECT 'agent ' || name FROM memstore.agents WHERE tenant_id = :tenant
    UNION ALL
    SELECT concat_ws(' ', 'session', workspace ->> 'name' || ':', a.name, u.external_id)
    FROM memstore.sessions AS s LEFT JOIN memstore.agents AS a ON a.id = agent_id
    LEFT JOIN memstore.users AS u ON u.id = user_id WHERE s.tenant_id = :tenant
    UNION ALL
    SELECT concat_ws(' ', 'memory', m.id || ':', u.external_id, a.name, workspace ->> 'name')
    FROM memstore.memory_nodes AS m LEFT JOIN memstore.users AS u ON u.id = m.user_id
    LEFT JOIN memstore.agents AS a ON a.id = m.agent_id
    LEFT JOIN memstore.sessions AS s ON s.id = m.session_id WHERE m.tenant_id = :tenant
"""


async def left(engine: AsyncEngine, tenant: UUID) -> set[str]:
    async with engine.connect() as connection:
        return set(await connection.scalars(text(WHAT_IS_LEFT), {"tenant": tenant}))


async def test_a_person_gets_a_tenant_of_their_own(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        await connection.execute(text(SIGN_UP))
        await connection.commit()
    async with AsyncSession(engine) as session:
        user = (await session.scalars(select(User))).one()
        tenant = (await session.scalars(select(Tenant))).one()
    assert (user.id, user.tenant_id) == (SIGNED_UP, SIGNED_UP)
    assert (tenant.id, tenant.kind, tenant.name) == (SIGNED_UP, TenantKind.PERSONAL, "test@example.com")


async def test_a_personal_tenant_is_called_by_the_best_name_known(engine: AsyncEngine) -> None:
    named = User(auth_provider="test", external_id="1", email="ann@example.com", display_name="Ann")
    addressed = User(auth_provider="test", external_id="2", email="bob@example.com", display_name="")
    identified = User(auth_provider="test", external_id="3", email="")
    await add(engine, named, addressed, identified)
    async with AsyncSession(engine) as session:
        names = {tenant.id: tenant.name for tenant in await session.scalars(select(Tenant))}
    assert names == {named.id: "Ann", addressed.id: "bob@example.com", identified.id: "3"}
    assert all(user.tenant_id == user.id for user in (named, addressed, identified))


async def test_a_user_of_a_tenant_gets_no_other(engine: AsyncEngine) -> None:
    user = User(tenant_id=ACME, auth_provider="test", external_id="ann")
    await add(engine, Tenant(id=ACME, name="Acme"), user)
    async with AsyncSession(engine) as session:
        assert list(await session.scalars(select(Tenant.id))) == [ACME]
    assert user.tenant_id == ACME


async def test_the_tenant_of_the_transaction_is_the_default(engine: AsyncEngine) -> None:
    await add(engine, Tenant(id=ACME, name="Acme"), Tenant(id=INITECH, name="Initech"))
    async with tenant_session(engine, INITECH) as session:
        user, agent = User(auth_provider="test", external_id="ann"), Agent(name="Guide")
        session.add_all([user, agent])
        await session.flush()
        assert (user.tenant_id, agent.tenant_id) == (INITECH, INITECH)


async def test_an_application_signs_a_person_up(application: AsyncEngine, engine: AsyncEngine) -> None:
    person = uuid4()
    async with tenant_session(application, person) as session:
        session.add(User(id=person, auth_provider="test", external_id="ann", display_name="Ann"))
    async with tenant_session(application, person) as session:
        session.add(MemoryNode(id="first", content="x", user_id=person))
    assert await left(engine, person) == {"tenant Ann", "user ann", "memory first: ann"}


async def test_a_deleted_user_takes_along_what_was_theirs(engine: AsyncEngine) -> None:
    await add(engine, *household(ACME), *household(INITECH))
    assert await left(engine, ACME) == HOUSEHOLD
    await delete(engine, User, UUID(int=100))
    gone = {"user ann", "session first: guide ann", "memory private: ann guide first", "memory shared: critic first"}
    assert await left(engine, ACME) == HOUSEHOLD - gone | {"memory shared: critic"}
    assert await left(engine, INITECH) == HOUSEHOLD


async def test_a_deleted_agent_leaves_the_memories(engine: AsyncEngine) -> None:
    await add(engine, *household(ACME), *household(INITECH))
    await delete(engine, Agent, (ACME, UUID(int=103)))
    gone = {"agent critic", "session second: critic bob", "session third: critic"}
    changed = {"memory secret: bob critic second", "memory shared: critic first"}
    assert await left(engine, ACME) == HOUSEHOLD - gone - changed | {"memory secret: bob", "memory shared: first"}
    assert await left(engine, INITECH) == HOUSEHOLD


async def test_agents_that_know_the_same_fact_can_all_be_deleted(engine: AsyncEngine) -> None:
    guide, critic = UUID(int=11), UUID(int=12)
    mine = {"tenant_id": ACME, "key": "city", "content": "Ann lives in Rome"}
    await add(
        engine,
        Tenant(id=ACME, name="Acme"),
        Agent(tenant_id=ACME, id=guide, name="guide"),
        Agent(tenant_id=ACME, id=critic, name="critic"),
        MemoryNode(**mine, id="one", agent_id=guide),
        MemoryNode(**mine, id="two", agent_id=critic),
    )
    await delete(engine, Agent, (ACME, guide))
    await delete(engine, Agent, (ACME, critic))
    assert await left(engine, ACME) >= {"tenant Acme", "memory one:"}


async def test_a_deleted_tenant_takes_all_of_it_along_and_nothing_else(engine: AsyncEngine) -> None:
    await add(engine, *household(ACME), *household(INITECH))
    await delete(engine, Tenant, ACME)
    assert await left(engine, ACME) == set()
    assert await left(engine, INITECH) == HOUSEHOLD
