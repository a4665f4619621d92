"""What becomes of an open store while the schema changes under it."""

from __future__ import annotations

import asyncio
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy.engine import URL

from memstore.errors import SchemaMismatchError, VectorError
from memstore.migrations import downgrade, upgrade
from memstore.store import MemoryChange, MemoryScope
from tests.store.conformance.worlds import Owner, Place, memory
from tests.store.postgres.conftest import OpenStore


async def use(scope: MemoryScope, number: int) -> None:
    """Run each kind of statement, so that each is prepared."""
    added = await scope.add(memory(number))
    assert (await scope.add_many([memory(number + 1)])).inserted == 1
    changed = await scope.update(added.id, MemoryChange(content="changed"), version=1)
    assert await scope.get(added.id) == changed
    assert changed in list(await scope.list())
    assert await scope.get_many([added.id]) == {added.id: changed}
    found = await scope.search(vector=[1, 2, 3, 4], text="changed", with_embedding=True)
    assert changed in [hit.memory for hit in found]
    assert await scope.record_access(added.id) == 1
    assert await scope.delete(added.id, hard=True) is True
    assert await scope.count() > 0
    assert (await scope.health()).embedding_dim == 4


async def test_a_column_of_another_type(open_store: OpenStore, tenant: UUID, admin: asyncpg.Connection) -> None:
    store = open_store(pool_size=3)
    scope = store.scope(tenant)
    await asyncio.gather(*(use(scope, 10 * number) for number in range(3)))
    await admin.execute("DROP VIEW memstore.active_memories CASCADE")
    await admin.execute("ALTER TABLE memstore.memory_nodes ALTER COLUMN access_count TYPE bigint")
    await asyncio.gather(*(use(scope, 10 * number) for number in range(3, 6)))


async def test_a_downgrade_and_an_upgrade(open_store: OpenStore, tenant: UUID, url: URL) -> None:
    scope = open_store().scope(tenant)
    await asyncio.gather(*(use(scope, 10 * number) for number in range(2)))
    await downgrade(url, "0017_closed_sessions_index")
    assert await scope.count() == 2
    for refused in (scope.search(text="tea"), scope.health()):
        with pytest.raises(SchemaMismatchError, match="Run: memstore db upgrade"):
            await refused
    await upgrade(url)
    await asyncio.gather(*(use(scope, 10 * number) for number in range(2, 4)))


async def test_everything_made_anew_with_another_width(
    open_store: OpenStore, owner: Owner, url: URL, admin: asyncpg.Connection
) -> None:
    scope = open_store(pool_size=1).scope(owner.tenant)
    await use(scope, 0)
    await downgrade(url, "base")
    with pytest.raises(SchemaMismatchError):
        await scope.count()
    await admin.execute("DROP SCHEMA memstore_archive CASCADE")
    await upgrade(url, embedding_dim=3)
    await owner.settle(Place("owner", url))
    with pytest.raises(VectorError, match="the vector has 4 dimensions, the memories of this database have 3"):
        await scope.add(memory(1))
    added = await scope.add(memory(1, embedding=[1, 2, 3]))
    (hit,) = await scope.search(vector=[1, 2, 3])
    assert (hit.memory, round(hit.score, 6)) == (added, 1.0)


@pytest.mark.parametrize("schema", ["elsewhere", 'a "b'])
async def test_an_extension_that_moves(
    open_store: OpenStore, tenant: UUID, admin: asyncpg.Connection, schema: str
) -> None:
    scope = open_store(pool_size=2).scope(tenant)
    await use(scope, 0)
    quoted = '"' + schema.replace('"', '""') + '"'
    await admin.execute(f"CREATE SCHEMA {quoted}; ALTER EXTENSION vector SET SCHEMA {quoted}")
    await use(scope, 10)
    await use(open_store().scope(tenant), 20)
