from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from memstore.errors import MilvusRefusedError, MilvusStateError, MilvusUnreachableError, MirrorError
from memstore.milvus import (
    Milvus,
    MilvusSettings,
    SyncOptions,
    disable_mirror,
    enable_mirror,
    entity_store,
    move,
    open_milvus,
    outbox,
    prune,
    relay,
    sync,
    verify,
)
from memstore.milvus import collections as ours
from memstore.milvus.copying import Copied, Target, copy
from memstore.milvus.entities import entity_id
from memstore.milvus.shards import WRITING, locked, locked_to_write, shard_of
from memstore.milvus.source import Key, Source, open_source
from memstore.store import MemoryChange, NewTenant, create_tenant
from tests.milvus.worlds import World, memory, vectors

FIRST = "memories_unified__0001"


async def entity(world: World, node_id: str, tenant: int = 0) -> dict[str, object] | None:
    id_ = entity_id(world.tenants[tenant], node_id)
    return (await entity_store.by_ids(world.milvus, FIRST, [id_], ["*"])).get(id_)


async def test_every_kind_of_change_is_followed(world: World) -> None:
    names = await world.add(vectors(8))
    await world.follow()
    await world.sync()
    scope = world.scope()
    await scope.update(names[0], MemoryChange(importance=9, conversation_id="talk é"), version=1)
    await scope.delete(names[1])
    await scope.delete(names[2], hard=True)
    await scope.record_access([names[3], names[3]])
    await scope.update(names[4], MemoryChange(embedding=None), version=1)
    await scope.add(memory(8, vectors(1, seed=9)[0]))
    done = await sync(world.engine, world.milvus)
    assert (done.entries, done.upserted, done.deleted, done.rejected, done.left) == (6, 4, 2, 0, 0)
    changed = await entity(world, names[0])
    assert changed is not None
    assert (changed["importance"], changed["version"], changed["conversation_id"]) == (9, 2, "talk é")
    deleted = await entity(world, names[1])
    assert deleted is not None
    assert deleted["is_deleted"] is True
    assert await entity(world, names[2]) is None
    read = await entity(world, names[3])
    assert read is not None
    assert (read["access_count"], read["version"]) == (1, 1)
    assert read["last_accessed"] != 0
    assert await entity(world, names[4]) is None  # it has no vector by now
    assert (await world.compare("0001_unified_memory")).found == 0


async def test_a_deleted_tenant_is_followed(world: World) -> None:
    await world.add(vectors(5))
    await world.add(vectors(5, seed=2), tenant=1)
    await world.follow()
    await world.sync()
    await world.execute(f"DELETE FROM memstore.tenants WHERE id = '{world.tenants[1]}'")
    await world.sync()
    assert await entity_store.count(world.milvus, FIRST) == 5
    assert (await world.compare("0001_unified_memory")).found == 0


async def test_nothing_is_followed_where_it_could_be_lost(world: World) -> None:
    await world.add(vectors(3))
    with pytest.raises(MirrorError, match="not written down for the mirror. Run: memstore milvus enable"):
        await sync(world.engine, world.milvus)
    enabled = await enable_mirror(world.engine)
    assert (enabled.was_enabled, enabled.enqueued) == (False, 3)
    with pytest.raises(MirrorError, match="no collection to write to. Run: memstore milvus up"):
        await sync(world.engine, world.milvus)
    assert (await world.status()).lag.entries == 3
    await move(world.engine, world.milvus)
    await world.sync()
    assert (await world.status()).lag.entries == 0
    await ours.remove_alias(world.milvus, "memories_unified")
    with pytest.raises(MilvusStateError, match="in Milvus it leads to nothing"):
        await sync(world.engine, world.milvus)


async def test_turned_off_nothing_is_written_down(world: World) -> None:
    await world.follow()
    await world.sync()
    assert await disable_mirror(world.engine) is True
    await world.add(vectors(3))
    status = await world.status()
    assert (status.enabled, status.lag.entries) == (False, 0)
    assert await disable_mirror(world.engine) is False


async def test_what_milvus_cannot_hold_is_set_aside_and_comes_back(world: World) -> None:
    names = await world.add(vectors(4))
    await world.follow()
    await world.sync()
    node = f"WHERE id = '{names[1]}'"
    await world.execute(f"UPDATE memstore.memory_nodes SET last_accessed = 'infinity' {node}")
    done = await sync(world.engine, world.milvus)
    assert (done.entries, done.upserted, done.rejected) == (1, 0, 1)
    assert await entity(world, names[1]) is None  # not as it was before
    found = await world.rows("SELECT node_id, reason FROM memstore.mirror_rejections")
    assert [tuple(each) for each in found] == [(names[1], f"{FIRST}: last_accessed is at infinity")]
    assert (await world.status()).lag.rejections == 1
    assert (await world.compare("0001_unified_memory")).found == 0
    await world.execute(f"UPDATE memstore.memory_nodes SET last_accessed = now() {node}")
    await world.sync()
    assert await entity(world, names[1]) is not None
    assert (await world.status()).lag.rejections == 0


async def test_what_a_server_refuses_by_itself_is_set_aside(world: World) -> None:
    """A field that is shorter in Milvus than its version says: only a server minds, and counts bytes."""
    if world.milvus.capabilities.engine == "lite":
        pytest.skip("Milvus Lite stores a text that is longer than its field")
    chain = world.chain
    full = chain.spec(chain.head, 16)
    short = full.without("conversation_id").adding(replace(full.field("conversation_id"), max_length=8))
    await move(world.engine, world.milvus)
    await ours.remove_alias(world.milvus, "memories_unified")
    properties = dict((await ours.describe(world.milvus, FIRST)).properties)
    await ours.drop(world.milvus, FIRST)
    await ours.create(world.milvus, FIRST, short, properties)
    await ours.ensure_indexes(world.milvus, FIRST, short, world.milvus.capabilities.default_index)
    await ours.point(world.milvus, "memories_unified", FIRST)
    await enable_mirror(world.engine)
    good = await world.add(vectors(10), conversation_id="short")
    bad = await world.add(vectors(2, seed=3), first=10, conversation_id="much too long")
    troubles: list[Exception] = []
    done = await sync(world.engine, world.milvus, on_trouble=troubles.append)
    assert (done.entries, done.upserted, done.rejected) == (12, 10, 2)
    assert done.retries == len(troubles) > 0  # it was not set aside at once
    rejected = {row[0] for row in await world.rows("SELECT node_id FROM memstore.mirror_rejections")}
    assert rejected == set(bad)
    assert await entity(world, good[0]) is not None
    await world.add(vectors(2, seed=4), first=20, conversation_id="much too long")
    await world.add(vectors(4, seed=5), tenant=1, conversation_id="short")
    with pytest.raises(MilvusRefusedError, match="refused it"):
        await sync(world.engine, world.milvus, SyncOptions(attempts=2))
    waiting = {row[0] for row in await world.rows("SELECT tenant_id FROM memstore.mirror_outbox")}
    assert world.tenants[0] in waiting
    followed = await sync(world.engine, world.milvus)
    assert (followed.left, followed.rejected) == (0, 2)
    assert await entity(world, "mem_000000", tenant=1) is not None


async def test_a_change_stays_until_milvus_has_acknowledged_it(world: World) -> None:
    await world.follow()
    await world.sync()
    await world.add(vectors(3))
    nobody = MilvusSettings(uri="http://127.0.0.1:9", timeout_s=1)
    with pytest.raises(MilvusUnreachableError, match="no Milvus answers at http://127.0.0.1:9"):
        await open_milvus(nobody)
    troubles: list[Exception] = []
    await ours.remove_alias(world.milvus, "memories_unified")
    renamed = f"{FIRST}_elsewhere"
    await ours.rename(world.milvus, FIRST, renamed)
    relay = asyncio.create_task(_sync_unchecked(world, troubles))
    while not troubles:
        await asyncio.sleep(0.05)
    assert (await world.rows("SELECT count(*) FROM memstore.mirror_outbox"))[0][0] == 3
    await ours.rename(world.milvus, renamed, FIRST)
    await relay
    await ours.point(world.milvus, "memories_unified", FIRST)
    assert (await world.compare("0001_unified_memory")).found == 0
    assert (await world.status()).lag.entries == 0


async def _sync_unchecked(world: World, troubles: list[Exception]) -> None:
    """Sync without the look at the alias that comes first: as a relay that is under way when it happens."""
    from memstore.milvus.relay import _Relay

    relay = _Relay(world.milvus, SyncOptions(), world.chain, asyncio.Event(), lambda _: None, troubles.append)
    async with open_source(world.engine) as source:
        while (await outbox.lag(source)).entries:
            for shard in range(16):
                await relay._drain(source, shard)
            await asyncio.sleep(0.05)


async def test_several_relays_share_the_work(world: World) -> None:
    await world.follow()
    await world.sync()
    for tenant in (0, 1):
        await world.add(vectors(300, seed=tenant), tenant=tenant)
    done = await asyncio.gather(*(sync(world.engine, world.milvus, SyncOptions(batch_size=50)) for _ in range(3)))
    assert sum(each.entries for each in done) == 600
    assert (await world.compare("0001_unified_memory")).found == 0


async def test_a_relay_leaves_a_shard_alone_that_somebody_else_has(world: World) -> None:
    await world.add(vectors(4))
    await world.follow()
    async with open_source(world.engine) as source, locked(source.connection, shard_of(world.tenants[0])):
        done = await sync(world.engine, world.milvus)
        assert (done.entries, done.left) == (0, 4)
    assert (await sync(world.engine, world.milvus)).entries == 4


async def test_a_relay_that_follows_goes_on_until_it_is_told(world: World) -> None:
    await world.follow()
    stop = asyncio.Event()
    running = asyncio.create_task(sync(world.engine, world.milvus, SyncOptions(follow=True), stop=stop))
    for first in (0, 10):
        await world.add(vectors(10, seed=first), first=first)
        while (await world.status()).lag.entries:
            await asyncio.sleep(0.05)
    assert (await verify(world.engine, world.milvus)).found == 0  # it holds no shard while it waits
    stop.set()
    assert (await running).entries == 20
    assert (await world.compare("0001_unified_memory")).found == 0


async def test_a_relay_that_follows_ends_when_the_last_collection_is_dropped(world: World) -> None:
    await world.follow()
    running = asyncio.create_task(sync(world.engine, world.milvus, SyncOptions(follow=True)))
    await move(world.engine, world.milvus, "base")
    await prune(world.engine, world.milvus)
    await world.add(vectors(1))
    with pytest.raises(
        MirrorError, match="the last collection was dropped: nothing to write to. Run: memstore milvus up"
    ):
        await running


async def test_a_shard_that_fails_does_not_keep_another_waiting(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What fails is one tenant's, for a reason that no real Milvus has when it is wanted."""
    while shard_of(world.tenants[0]) == shard_of(world.tenants[1]):
        world.tenants[1] = await create_tenant(world.engine, NewTenant(f"Tenant {len(world.tenants)}"))
    await world.follow()

    async def fail(source: Source, milvus: Milvus, target: Target, keys: list[Key], *, set_aside: bool) -> Copied:
        if keys[0][0] == world.tenants[0]:
            raise MilvusUnreachableError("not this one")
        return await copy(source, milvus, target, keys, set_aside=set_aside)

    monkeypatch.setattr(relay, "copy", fail)
    troubles: list[Exception] = []
    stop = asyncio.Event()
    options = SyncOptions(follow=True, attempts=3)  # who follows does not count
    running = asyncio.create_task(sync(world.engine, world.milvus, options, stop=stop, on_trouble=troubles.append))
    await world.add(vectors(1))
    while len(troubles) < 6:  # it is tried again in six seconds
        await asyncio.sleep(0.05)
    await world.add(vectors(1), tenant=1)
    while (await world.status()).lag.entries > 1:
        await asyncio.sleep(0.05)
    assert len(troubles) == 6
    stop.set()
    assert (await running).left == 1


async def test_a_relay_that_does_not_follow_gives_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.add(vectors(1))
    await world.follow()

    async def fail(*_: object, **__: object) -> Copied:
        raise MilvusUnreachableError("never")

    monkeypatch.setattr(relay, "copy", fail)
    troubles: list[Exception] = []
    with pytest.raises(MilvusUnreachableError, match="never"):
        await sync(world.engine, world.milvus, SyncOptions(attempts=3), on_trouble=troubles.append)
    assert len(troubles) == 2
    assert (await world.status()).lag.entries == 1


@pytest.mark.parametrize("size", [0, 5_001])
def test_a_batch_size_out_of_range_is_refused(size: int) -> None:
    with pytest.raises(MirrorError, match=f"the batch size is {size}. Needed: 1 to 5,000"):
        SyncOptions(batch_size=size)


async def test_processes_that_share_a_milvus_lite_write_to_it_one_after_the_other(world: World) -> None:
    if world.milvus.capabilities.engine != "lite":
        pytest.skip("a server takes many writers at once")
    await world.follow()
    await world.sync()
    await world.add(vectors(4))
    waiting = (
        "SELECT count(*) FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database "
        f"WHERE d.datname = current_database() AND locktype = 'advisory' AND objid = {WRITING} AND NOT granted"
    )
    async with open_source(world.engine) as source, locked_to_write(source.connection):
        relay = asyncio.create_task(sync(world.engine, world.milvus))
        while not (await world.rows(waiting))[0][0]:
            assert not relay.done()
            await asyncio.sleep(0.01)
        assert await entity_store.count(world.milvus, FIRST) == 0
    assert (await relay).entries == 4
    assert (await world.compare(world.chain.head)).found == 0
