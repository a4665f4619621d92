"""What becomes of a call that had to wait for another transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from memstore.errors import StaleMemoryError
from memstore.store import Added, MemoryChange
from tests.store.conformance.worlds import memory
from tests.store.postgres.conftest import OpenStore

WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted"


async def meanwhile(admin: asyncpg.Connection, statement: str, call: Coroutine[Any, Any, Any]) -> Any:
    """Run a call that waits for a transaction that is about to commit a statement."""
    async with admin.transaction():
        await admin.execute(statement)
        called = asyncio.create_task(call)
        while not await admin.fetchval(WAITING):
            await asyncio.sleep(0)
    return await called


async def test_a_change_sees_the_version_that_it_waited_for(
    open_store: OpenStore, tenant: UUID, admin: asyncpg.Connection
) -> None:
    scope = open_store().scope(tenant)
    await scope.add(memory(1))
    change = "UPDATE memstore.memory_nodes SET content = content || '!' WHERE id = 'm1'"
    for version, call in enumerate(
        [
            scope.update("m1", MemoryChange(content="other"), version=1),
            scope.delete("m1", version=2),
            scope.delete("m1", version=3, hard=True),
        ],
        start=1,
    ):
        with pytest.raises(StaleMemoryError) as stale:
            await meanwhile(admin, change, call)
        assert (stale.value.found, stale.value.expected) == (version + 1, version)
    assert await meanwhile(admin, change, scope.record_access("m1")) == 1
    assert await meanwhile(admin, change, scope.delete("m1")) is True
    found = await scope.get("m1", include_deleted=True)
    assert found is not None
    assert (found.content, found.version, found.access_count) == ("memory 1!!!!!", 7, 1)


async def test_a_deletion_that_was_waited_for_is_seen(
    open_store: OpenStore, tenant: UUID, admin: asyncpg.Connection
) -> None:
    scope = open_store().scope(tenant)
    await scope.add_many([memory(1), memory(2)])
    for hard, statement in enumerate(
        ["UPDATE memstore.memory_nodes SET deleted_at = now()", "DELETE FROM memstore.memory_nodes"]
    ):
        for call in (scope.record_access("m1"), scope.delete("m1")):
            await admin.execute("UPDATE memstore.memory_nodes SET deleted_at = NULL")
            assert not await meanwhile(admin, f"{statement} WHERE id = 'm1'", call), (hard, statement)
            if hard:
                await scope.add(memory(1))


async def test_an_id_that_is_taken_meanwhile_is_passed_over(
    open_store: OpenStore, tenant: UUID, admin: asyncpg.Connection
) -> None:
    scope = open_store().scope(tenant)
    insert = f"INSERT INTO memstore.memory_nodes (tenant_id, id, content) VALUES ('{tenant}', 'm1', 'x')"
    added = await meanwhile(admin, insert, scope.add_many([memory(1), memory(2)], skip_existing=True))
    assert added == Added(("m1", "m2"), inserted=1, existing=1)
    assert await scope.count() == 2
