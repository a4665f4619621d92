from __future__ import annotations

from collections.abc import AsyncIterator

import numpy as np
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from memstore.database import create_engine
from tests.store.search_sql.memories import OTHER, TENANT, Memory, insert
from tests.tenants import NO_RIGHT, as_application, attempt, new_role

VECTOR = np.ones(4, dtype=np.float32)
MINE = [Memory(f"mine{number}", ("tea",), VECTOR) for number in range(3)]
THEIRS = [Memory(f"theirs{number}", ("tea",), VECTOR) for number in range(5)]
ASKED = "'tea', '[1,1,1,1]'"
INNER = f"{ASKED}, 10, 0.7, 0.3, NULL, NULL, '{{}}', 'auto'"


def searches(tenant: object) -> list[str]:
    return [
        f"SELECT FROM memstore.hybrid_search('{tenant}', {ASKED})",
        f"SELECT FROM memstore.hybrid_search('{tenant}', 'tea')",
        f"SELECT FROM memstore.hybrid_search('{tenant}', NULL, '[1,1,1,1]', plan => 'bits')",
        f"""SELECT FROM memstore.hybrid_search('{tenant}', {ASKED}, filters => '{{"include_deleted": true}}')""",
    ]


@pytest_asyncio.fixture
async def tenants(engine: AsyncEngine) -> AsyncEngine:
    """The owner's engine, with three memories of a tenant and five of another."""
    await insert(engine, MINE)
    await insert(engine, THEIRS, OTHER)
    return engine


@pytest_asyncio.fixture
async def application(tenants: AsyncEngine) -> AsyncIterator[AsyncEngine]:
    async with as_application(tenants) as application:
        yield application


async def test_an_application_finds_what_is_its_tenants_and_nothing_else(application: AsyncEngine) -> None:
    for setting, found in ((str(TENANT), 3), (str(OTHER), 0), ("", 0), (None, 0)):
        assert [await attempt(application, setting, each) for each in searches(TENANT)] == [found] * 4, setting
    explained = f"SELECT memstore.explain_search('{OTHER}', {ASKED})"
    async with application.begin() as connection:
        await connection.execute(text(f"SET LOCAL memstore.tenant_id = '{TENANT}'"))
        assert await connection.scalar(text(explained)) is None
        assert await connection.scalar(text(explained.replace(str(OTHER), str(TENANT)))) is not None
        assert await connection.scalar(text(f"SELECT memstore.refresh_search_statistics('{OTHER}')")) is False
        assert await connection.scalar(text(f"SELECT memstore.refresh_search_statistics('{TENANT}')")) is True
        assert list(await connection.scalars(text("SELECT memories FROM memstore.search_statistics"))) == [3]


async def test_what_has_the_owners_rights_refuses_another_tenant(
    application: AsyncEngine, tenants: AsyncEngine
) -> None:
    for engine in (application, tenants):
        for inner in (f"search_memories(%s, {INNER})", f"explain_memories(%s, {INNER})", "write_search_statistics(%s)"):
            for tenant in (f"'{OTHER}'", "NULL"):
                call = f"SELECT FROM memstore.{inner % tenant}"
                assert [await attempt(engine, setting, call) for setting in (str(TENANT), "", None)] == [NO_RIGHT] * 3
        # The others run with the rights of whoever calls them.
        walk = (
            f"SELECT FROM memstore.nearest_memories('exact', 'true', false, '{OTHER}', NULL, '{{}}', '[1,1,1,1]', 10, "
            "NULL, NULL, NULL)"
        )
        assert await attempt(engine, str(TENANT), walk) == (3 if engine is application else 8)


async def test_nobody_borrows_the_owners_rights_who_may_not_read(tenants: AsyncEngine) -> None:
    async with new_role(tenants, "GRANT USAGE ON SCHEMA memstore TO {role}") as role:
        stranger = create_engine(tenants.url.set(username=role))
        for call in (
            *searches(TENANT),
            f"SELECT FROM memstore.search_memories('{TENANT}', {INNER})",
            f"SELECT FROM memstore.explain_memories('{TENANT}', {INNER})",
            f"SELECT FROM memstore.write_search_statistics('{TENANT}')",
            f"SELECT FROM memstore.refresh_search_statistics('{TENANT}')",
        ):
            assert await attempt(stranger, str(TENANT), call) == NO_RIGHT, call
        await stranger.dispose()


async def test_an_owner_searches_any_tenant_and_keeps_what_was_set(tenants: AsyncEngine) -> None:
    for before in (None, "", str(OTHER), str(TENANT)):
        async with tenants.begin() as connection:
            if before is not None:
                await connection.execute(text(f"SET LOCAL memstore.tenant_id = '{before}'"))
            for tenant, count in ((TENANT, 3), (OTHER, 5)):
                for search in searches(tenant):
                    assert (await connection.execute(text(search))).rowcount == count
                await connection.execute(text(f"SELECT memstore.refresh_search_statistics('{tenant}')"))
                await connection.execute(text(f"SELECT memstore.explain_search('{tenant}', 'tea')"))
            now = await connection.scalar(text("SELECT current_setting('memstore.tenant_id', true)"))
        assert (now or None) == (before or None)


async def test_nothing_on_a_search_path_is_run_with_the_owners_rights(
    application: AsyncEngine, tenants: AsyncEngine
) -> None:
    async with tenants.begin() as connection:
        await connection.execute(text(f"CREATE SCHEMA trap AUTHORIZATION {application.url.username}"))
    async with application.begin() as connection:
        await connection.execute(text(f"SET LOCAL memstore.tenant_id = '{TENANT}'"))
        for statement in (
            'CREATE FUNCTION trap."left"(text, integer) RETURNS text LANGUAGE plpgsql AS '
            "$$ BEGIN RAISE EXCEPTION 'as %', current_user; END $$",
            "CREATE TEMPORARY TABLE memory_nodes (id text)",
            "SET LOCAL search_path = pg_temp, trap, pg_catalog, memstore, public",
        ):
            await connection.execute(text(statement))
        assert (await connection.execute(text(searches(TENANT)[0]))).rowcount == 3
