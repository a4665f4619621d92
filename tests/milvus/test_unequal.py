"""Collections that are not equal to PostgreSQL: mended, or nobody is led to them."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest
from pymilvus import MilvusClient

from memstore.errors import MilvusStateError
from memstore.milvus import (
    Action,
    MoveProgress,
    Problem,
    entity_store,
    move,
    verify,
)
from memstore.milvus.comparing import SAMPLE, SHOWN
from tests.milvus.rows import entities
from tests.milvus.versions import ADDS_AGENT, write_versions
from tests.milvus.worlds import World, vectors

FIRST, SECOND = "memories_unified__0001", "memories_unified__0002"


async def test_what_changed_in_one_memory_may_have_changed_in_all(world: World, tmp_path: Path) -> None:
    """Fields are compared in a sample: where one of them differs, everything is filled again."""
    await world.add(vectors(3 * SAMPLE))
    await world.follow()
    world.chain = write_versions(tmp_path, ADDS_AGENT)
    await move(world.engine, world.milvus, chain=world.chain)
    await world.sync()
    async for page in entity_store.scan(world.milvus, FIRST, ["*"]):
        await entity_store.upsert(world.milvus, FIRST, [{**each, "ui_source": "somebody"} for each in page])
    moved = await move(world.engine, world.milvus, "-1", chain=world.chain)
    assert moved.verification is not None
    assert moved.verification.repaired == SAMPLE
    names = [each["ui_source"] async for page in entity_store.scan(world.milvus, FIRST, ["ui_source"]) for each in page]
    assert names == ["api"] * (3 * SAMPLE)


async def test_a_repair_mends_what_changed_in_memories_that_were_not_compared(world: World) -> None:
    """And others that differ, so many that the field that changed is not among those that are shown."""
    await world.add(vectors(3 * SAMPLE))
    await world.follow()
    await world.sync()
    async for page in entity_store.scan(world.milvus, FIRST, ["*"]):
        strange = [{**each, "ui_source": "somebody"} for each in page]
        for each in strange[: SHOWN + 50]:
            each["access_count"] += 1
        await entity_store.upsert(world.milvus, FIRST, strange)
    done = await verify(world.engine, world.milvus, repair=True)
    assert all(each.problem is Problem.STALE for each in done.differences)
    assert (done.filled, done.is_equal, done.changed > 0) == (3 * SAMPLE, True, True)
    names = [each["ui_source"] async for page in entity_store.scan(world.milvus, FIRST, ["ui_source"]) for each in page]
    assert names == ["api"] * (3 * SAMPLE)


async def test_readers_stay_where_they_are_when_the_new_collection_does_not_become_equal(
    world: World, tmp_path: Path
) -> None:
    """Somebody else writes to it all the while."""
    await world.add(vectors(5))
    await world.follow()
    world.chain = write_versions(tmp_path, ADDS_AGENT)
    client, numbers = MilvusClient(world.settings.uri, timeout=30), count()

    def disturb(progress: MoveProgress) -> None:
        if progress.step.action is Action.VERIFY:
            stray = entities(vectors(1), first=next(numbers))[0]
            client.upsert(SECOND, [{**stray, "agent_id": ""}], timeout=30)

    with pytest.raises(
        MilvusStateError, match=rf"{SECOND} is not equal.* differences, the first: stray mem_.* stay where"
    ):
        await move(world.engine, world.milvus, chain=world.chain, on_progress=disturb)
    client.close()
    assert await world.live() == FIRST
    moved = await move(world.engine, world.milvus, chain=world.chain)
    assert moved.after == "0002_agent"
    assert (await world.compare("0002_agent")).found == 0


async def test_an_index_that_somebody_changed_meanwhile_stops_it(world: World) -> None:
    await world.add(vectors(5))
    client = MilvusClient(world.settings.uri, timeout=30)

    def disturb(progress: MoveProgress) -> None:
        if progress.step.action is Action.VERIFY and progress.total is None:
            client.release_collection(FIRST, timeout=30)
            client.drop_index(FIRST, "embedding", timeout=30)
            params = client.prepare_index_params()
            params.add_index("embedding", index_type="FLAT", metric_type="L2")
            client.create_index(FIRST, params, timeout=30)
            client.load_collection(FIRST, timeout=30)

    changed = "(the index on embedding is FLAT|vectors are compared by L2)"
    with pytest.raises(MilvusStateError, match=f"{FIRST} is not what 0001_.* makes: {changed}"):
        await move(world.engine, world.milvus, on_progress=disturb)
    client.close()
    assert await world.live() is None
