from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from sqlalchemy.engine import URL

from memstore.errors import (
    MemoryExistsError,
    ServerUnreachableError,
    SettingsError,
    StoreBusyError,
    StoreClosedError,
)
from memstore.store import PostgresStore
from tests.store.conformance.worlds import memory
from tests.store.postgres.conftest import OpenStore
from tests.support import Server

STATES = """
    SELECT state, query, pid FROM pg_stat_activity
    WHERE application_name = 'memstore store' AND datname = current_database() ORDER BY pid
"""
KILL = (
    "SELECT pg_terminate_backend({}) FROM pg_stat_activity WHERE application_name = 'memstore store' AND datname = '{}'"
)


async def states(admin: asyncpg.Connection) -> list[str]:
    return [row["state"] for row in await admin.fetch(STATES)]


async def sleep(store: PostgresStore, tenant: UUID, entered: asyncio.Event) -> None:
    async def work(connection: asyncpg.Connection) -> None:
        entered.set()
        await connection.execute("SELECT pg_sleep(100)")

    await store.connections.run(tenant, work)


async def test_who_waits_too_long_for_a_connection_is_told_what_to_change(open_store: OpenStore, tenant: UUID) -> None:
    store, entered = open_store(pool_size=1, pool_timeout=0.05), asyncio.Event()
    sleeping = asyncio.create_task(sleep(store, tenant, entered))
    await entered.wait()
    with pytest.raises(StoreBusyError, match=r"^all 1 connections .* 0\.05 s\. Raise pool_size or pool_timeout"):
        await store.scope(tenant).get("m1")
    sleeping.cancel()
    await asyncio.wait([sleeping])
    store = open_store(pool_size=2)
    assert await asyncio.gather(*(store.scope(tenant).count() for _ in range(50))) == [0] * 50


async def test_connections_go_to_those_who_waited_longest(open_store: OpenStore, tenant: UUID) -> None:
    store, came = open_store(pool_size=1), list[int]()

    async def work(number: int) -> None:
        for _ in range(3):
            await store.connections.run(tenant, lambda connection: connection.execute("SELECT 1"))
            came.append(number)

    await asyncio.gather(*(work(number) for number in range(5)))
    assert came == [*range(5)] * 3


async def test_a_cancelled_call_leaves_no_transaction_behind(
    open_store: OpenStore, tenant: UUID, admin: asyncpg.Connection
) -> None:
    store, entered = open_store(pool_size=1), asyncio.Event()
    sleeping = asyncio.create_task(sleep(store, tenant, entered))
    await entered.wait()
    while await states(admin) != ["active"]:
        await asyncio.sleep(0)
    sleeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sleeping
    assert await store.scope(tenant).count() == 0
    (row,) = await admin.fetch(STATES)
    assert (row["state"], row["query"]) == ("idle", "COMMIT")


async def test_calls_cancelled_at_any_moment_leave_nothing_behind(
    open_store: OpenStore, tenant: UUID, admin: asyncpg.Connection
) -> None:
    store = open_store(pool_size=3)
    scope = store.scope(tenant)
    for turns in range(0, 900, 30):
        calls = [asyncio.create_task(scope.add(memory(number + 1_000 * turns))) for number in range(3)]
        for _ in range(turns):
            await asyncio.sleep(0)
        for call in calls:
            call.cancel()
        await asyncio.wait(calls)
    assert len(set(await asyncio.gather(*(scope.count() for _ in range(3))))) == 1
    while set(await states(admin)) != {"idle"}:
        await asyncio.sleep(0)
    assert await scope.add(memory(-1)) == await scope.get("m-1")


async def test_a_refusal_leaves_no_transaction_behind(
    open_store: OpenStore, tenant: UUID, admin: asyncpg.Connection
) -> None:
    scope = open_store(pool_size=1).scope(tenant)
    await scope.add(memory(1))
    with pytest.raises(MemoryExistsError):
        await scope.add(memory(1))
    assert await states(admin) == ["idle"]
    assert await scope.count() == 1


async def test_a_pooled_connection_takes_no_tenant_along(open_store: OpenStore, tenant: UUID) -> None:
    store = open_store(pool_size=1)
    setting = "SELECT current_setting('memstore.tenant_id')"
    assert await store.connections.run(tenant, lambda connection: connection.fetchval(setting)) == str(tenant)
    drivers: list[asyncpg.Connection] = []

    async def remember(connection: asyncpg.Connection) -> None:
        drivers.append(connection)

    await store.connections.run(uuid4(), remember)
    assert await drivers[0].fetchval("SELECT current_setting('memstore.tenant_id', true)") == ""


@pytest.mark.parametrize("is_noticed", [True, False])
async def test_the_next_call_works_after_connections_were_lost(
    open_store: OpenStore, tenant: UUID, admin: asyncpg.Connection, server: Server, url: URL, is_noticed: bool
) -> None:
    scope = open_store(pool_size=3).scope(tenant)
    await asyncio.gather(*(scope.add(memory(number)) for number in range(3)))
    pids = {row["pid"] for row in await admin.fetch(STATES)}
    assert len(pids) == 3
    if is_noticed:
        await admin.fetch(KILL.format("pid, 10000", url.database))
    else:
        # Nothing of this loop runs meanwhile: the connections look alive to it.
        server.execute(KILL.format("pid, 10000", url.database))
    assert await asyncio.gather(*(scope.count() for _ in range(3))) == [3] * 3
    assert {row["pid"] for row in await admin.fetch(STATES)} & pids == set()


async def test_a_connection_that_is_lost_in_the_middle_is_told(
    open_store: OpenStore, tenant: UUID, admin: asyncpg.Connection, url: URL
) -> None:
    scope = open_store(pool_size=1).scope(tenant)

    async def lose(connection: asyncpg.Connection) -> None:
        await connection.execute("INSERT INTO memstore.memory_nodes (id, content) VALUES ('lost', 'x')")
        await admin.fetch(KILL.format("pid, 10000", url.database))
        await connection.fetchval("SELECT 1")

    with pytest.raises(ServerUnreachableError, match="the connection to .* was lost"):
        await scope._transaction(lose)
    assert await scope.count() == 0


async def test_a_closed_store_says_so(open_store: OpenStore, tenant: UUID) -> None:
    store, entered = open_store(pool_size=2), asyncio.Event()
    sleeping = asyncio.create_task(sleep(store, tenant, entered))
    await entered.wait()
    await store.scope(tenant).count()
    await store.close()
    with pytest.raises(StoreClosedError):
        await sleeping
    with pytest.raises(StoreClosedError, match=r"Open another: memstore\.store\.open"):
        await store.scope(tenant).count()
    await store.close()


async def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    async with PostgresStore(f"postgresql://ines:hunter2@/memory?host={tmp_path}") as store:
        with pytest.raises(ServerUnreachableError, match="no server answers at") as unreachable:
            await store.scope(uuid4()).count()
    assert "hunter2" not in str(unreachable.value)


def test_numbers_out_of_range_are_refused(url: URL) -> None:
    wrong: list[dict[str, Any]] = [
        {"pool_size": 0},
        {"pool_timeout": -1},
        {"pool_timeout": float("nan")},
        {"metrics_sample": 2},
    ]
    for options in wrong:
        with pytest.raises(SettingsError):
            PostgresStore(url, **options)
