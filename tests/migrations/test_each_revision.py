"""Every revision goes up, down and up again with rows in the tables. A revision without a case here fails."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from memstore.migrations import downgrade, upgrade
from memstore.migrations.scripts import revisions

INES = UUID("11111111-1111-1111-1111-111111111111")
AGENT = UUID("22222222-2222-2222-2222-222222222222")

USER = (
    f"INSERT INTO memstore.users (id, auth_provider, external_id, email) VALUES ('{INES}', 'test', 'ines', 'i@x.org')"
)
AGENTS = (
    f"INSERT INTO memstore.agents (tenant_id, id, name) VALUES ('{INES}', '{AGENT}', 'Ada')",
    f"INSERT INTO memstore.sessions (tenant_id, agent_id, expires_at) VALUES ('{INES}', '{AGENT}', now())",
)
MEMORY = (
    f"INSERT INTO memstore.memory_nodes (tenant_id, user_id, agent_id, id, content, embedding, decay_tier) "
    f"VALUES ('{INES}', '{INES}', '{AGENT}', 'mem_1', 'Ines rows', '[1,2,3,4]', 'short')"
)


@dataclass(frozen=True)
class Case:
    """Rows that are there before a revision, rows for what it adds, and a query over both with its answer."""

    before: tuple[str, ...]
    after: tuple[str, ...]
    kept: str
    added: str
    answer: tuple[object, ...]


CASES = {
    "0001_foundation": Case(
        before=("CREATE TABLE public.theirs (id integer)", "INSERT INTO public.theirs VALUES (1)"),
        after=("INSERT INTO memstore.settings (key, value) VALUES ('colour', '\"blue\"')",),
        kept="SELECT count(*) FROM public.theirs",
        added="SELECT value FROM memstore.settings WHERE key IN ('colour', 'embedding_dim') ORDER BY key",
        answer=("blue", 4),
    ),
    "0002_tenants_users": Case(
        before=("INSERT INTO memstore.settings (key, value) VALUES ('colour', '\"blue\"')",),
        after=(USER,),
        kept="SELECT count(*) FROM memstore.settings WHERE key = 'colour'",
        added="SELECT kind FROM memstore.tenants AS t JOIN memstore.users AS u ON u.id = t.id AND tenant_id = t.id",
        answer=("personal",),
    ),
    "0003_agents_sessions": Case(
        before=(USER,),
        after=AGENTS,
        kept="SELECT count(*) FROM memstore.users",
        added="SELECT agents.status || ' ' || sessions.status FROM memstore.sessions JOIN memstore.agents "
        "ON agents.id = agent_id",
        answer=("draft active",),
    ),
    "0004_memory_nodes": Case(
        before=(USER, *AGENTS),
        after=(MEMORY,),
        kept="SELECT count(*) FROM memstore.sessions",
        added="SELECT concat_ws(', ', search_vector, embedding_bits, expiry - created_at) FROM memstore.memory_nodes",
        answer=("'ine':1 'row':2, 1111, 7 days",),
    ),
}


def test_every_revision_has_a_case() -> None:
    assert tuple(CASES) == revisions()


@pytest.mark.parametrize("revision", CASES)
async def test_up_down_and_up_again_with_rows(empty_engine: AsyncEngine, revision: str) -> None:
    case = CASES[revision]
    place = revisions().index(revision)
    below = revisions()[place - 1] if place else "base"
    if place:
        await upgrade(empty_engine, below, embedding_dim=4)
    await run(empty_engine, *case.before)

    await upgrade(empty_engine, revision, embedding_dim=4)
    await run(empty_engine, *case.after)
    assert await answer(empty_engine, case.added) == case.answer
    assert await answer(empty_engine, case.kept) == (1,)

    await downgrade(empty_engine, below)
    assert await answer(empty_engine, case.kept) == (1,)

    await upgrade(empty_engine, revision, embedding_dim=4)
    assert await answer(empty_engine, case.kept) == (1,)
    await run(empty_engine, *case.after)
    assert await answer(empty_engine, case.added) == case.answer


async def run(engine: AsyncEngine, *statements: str) -> None:
    async with engine.begin() as connection:
        for statement in statements:
            await connection.exec_driver_sql(statement)


async def answer(engine: AsyncEngine, query: str) -> tuple[object, ...]:
    async with engine.connect() as connection:
        return tuple(await connection.scalars(text(query)))
