from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
import pytest_asyncio

from memstore.errors import MilvusStateError, SettingsError, VectorError
from memstore.migrations import grant
from memstore.milvus import MilvusScope, MilvusStore, VectorIndexChoice, disable_mirror, move, prune
from memstore.milvus import collections as ours
from memstore.milvus.naming import ALIAS
from memstore.models import DecayTier, MemoryType
from memstore.store import Filters, MemoryChange, NewUser, SearchPlan, create_user
from tests.milvus.versions import ADDS_AGENT, write_versions
from tests.milvus.worlds import DIM, World, memory, vectors
from tests.support import Server

NOW = datetime.now(UTC)


@pytest_asyncio.fixture
async def filled(world: World) -> World:
    """300 memories of one tenant and 20 of another, mirrored."""
    for n in range(3):
        given: dict[str, Any] = {
            "tags": {"topics": ["even" if n % 2 == 0 else "odd"]},
            "importance": 3 + 3 * n,
            "source": f"s{n}",
        }
        await world.add(vectors(100, seed=n), first=100 * n, conversation_id=f'talk "{n}\\', **given)
    await world.add(vectors(20, seed=9), tenant=1)
    await world.follow()
    await world.sync()
    return world


@pytest_asyncio.fixture
async def store(filled: World) -> AsyncIterator[MilvusStore]:
    async with MilvusStore(filled.url, filled.settings) as store:
        yield store


async def ids(scope: MilvusScope, *, read_your_writes: bool = True, **asked: object) -> list[str]:
    """Search, by default for what was written just now too: a server at Bounded consistency is a moment behind."""
    return [hit.memory.id for hit in await scope.search(read_your_writes=read_your_writes, **asked)]  # type: ignore[arg-type]


def nearest(of: np.ndarray, question: np.ndarray, count: int = 5, first: int = 0) -> list[str]:
    scores = of @ question / np.linalg.norm(of, axis=1)
    return [f"mem_{first + n:06}" for n in np.argsort(-scores)[:count]]


async def test_the_nearest_are_those_of_postgres_with_its_scores(filled: World, store: MilvusStore) -> None:
    question = vectors(1, seed=77)[0]
    scope = store.scope(filled.tenants[0])
    result = await scope.search(vector=question, limit=20, explain=True, read_your_writes=True)
    exact = await filled.scope().search(vector=question, limit=20, plan=SearchPlan.EXACT)
    assert [hit.memory for hit in result] == [hit.memory for hit in exact]
    assert np.allclose([hit.score for hit in result], [hit.score for hit in exact], atol=1e-5)
    assert result.explanation is not None
    assert result.explanation.details == {"collection": "memories_unified__0001"}
    assert (result.explanation.scope_rows, result.explanation.matching_rows) == (300, 300)
    bare = await scope.nearest(question, limit=20, fields=["importance", "conversation_id"], strong=True)
    assert [hit.memory_id for hit in bare] == [hit.memory.id for hit in exact]
    assert [hit.fields["importance"] for hit in bare] == [hit.memory.importance for hit in exact]
    assert bare[0].fields["conversation_id"].startswith('talk "')


async def test_a_tenant_and_a_user_see_their_own(filled: World, store: MilvusStore) -> None:
    question = vectors(1, seed=77)[0]
    assert await ids(store.scope(filled.tenants[1]), vector=question, limit=100) == nearest(
        vectors(20, seed=9), question, 20
    )
    user, tenant = await create_user(filled.engine, NewUser("ines@example.com"))
    assert await ids(store.scope(tenant, user), vector=question) == []
    await filled.store.scope(tenant, user).add(memory(1, question))
    await filled.store.scope(tenant).add(memory(2, question))
    await filled.sync()
    assert await ids(store.scope(tenant, user), vector=question) == ["mem_000001"]
    assert await ids(store.scope(tenant), vector=question) == ["mem_000001", "mem_000002"]
    assert await ids(store.scope(UUID(int=7)), vector=question) == []


FILTERED = [
    (Filters(conversation_id='talk "1\\'), range(100, 200)),
    (Filters(conversation_id=['talk "1\\', 'talk "2\\']), range(100, 300)),
    (Filters(conversation_id='" or id != "'), range(0)),
    (Filters(importance_min=4, importance_max=6), range(100, 200)),
    (Filters(memory_type=MemoryType.FACT), range(0)),
    (Filters(memory_type=[]), range(0)),
    (Filters(decay_tier=DecayTier.PINNED), range(0)),
    (Filters(session_id=UUID(int=1)), range(0)),
    (Filters(created_from=NOW + timedelta(days=1)), range(0)),
    (Filters(created_to=NOW - timedelta(days=1)), range(0)),
    (Filters(created_from=NOW - timedelta(days=1), created_to=NOW + timedelta(days=1)), range(300)),
    (Filters(tags_all=["odd"]), range(100, 200)),
    (Filters(source="s2"), range(200, 300)),
    (Filters(source="s2", importance_max=4), range(0)),
    (Filters(metadata={"a": 1}), range(0)),
]


async def test_a_filter_never_costs_results(filled: World, store: MilvusStore) -> None:
    question = vectors(1, seed=78)[0]
    everything = np.concatenate([vectors(100, seed=n) for n in range(3)])
    for filters, places in FILTERED:
        wanted = nearest(everything[places], question, 10, places.start) if len(places) else []
        assert await ids(store.scope(filled.tenants[0]), vector=question, limit=10, filters=filters) == wanted, filters


async def test_what_only_postgres_can_answer_is_refused_where_it_is_not_asked(
    filled: World, store: MilvusStore
) -> None:
    with pytest.raises(SettingsError, match="Milvus has no field for the filters source, tags_any. Use search"):
        await store.scope(filled.tenants[0]).nearest(vectors(1)[0], filters=Filters(source="s1", tags_any=["odd"]))
    with pytest.raises(MilvusStateError, match="no field 'content'"):
        await store.scope(filled.tenants[0]).nearest(vectors(1)[0], fields=["content"])


async def test_deleted_and_expired_memories_are_left_out_unless_asked_for(filled: World, store: MilvusStore) -> None:
    question = vectors(1, seed=5)[0]
    writer, scope = filled.scope(), store.scope(filled.tenants[0])
    await writer.add_many(
        [
            memory(900, question),
            memory(901, question, expires_at=NOW - timedelta(hours=1)),
            memory(902, question, expires_at=NOW + timedelta(hours=1)),
        ]
    )
    await writer.delete("mem_000900")
    await filled.sync()
    assert (await ids(scope, vector=question, limit=3))[0] == "mem_000902"
    everything = Filters(include_deleted=True, include_expired=True)
    assert await ids(scope, vector=question, limit=3, filters=everything) == [f"mem_00090{n}" for n in range(3)]
    assert [hit.memory_id for hit in await scope.nearest(question, limit=1, strong=True)] == ["mem_000902"]


async def test_own_writes_are_read_when_asked_for(filled: World, store: MilvusStore) -> None:
    question = vectors(1, seed=5)[0]
    writer, scope = filled.scope(), store.scope(filled.tenants[0])
    before = await ids(scope, vector=question, limit=4)
    await writer.add(memory(900, question))
    await writer.delete(before[0], hard=True)
    await writer.update(before[1], MemoryChange(embedding=-question), version=1)
    fresh = await scope.search(vector=question, limit=3, read_your_writes=True)
    assert [hit.memory.id for hit in fresh] == ["mem_000900", *before[2:4]]
    assert fresh.hits[0].score == pytest.approx(1)
    assert fresh.hits[0].memory.embedding is None
    with_embedding = await scope.search(vector=question, limit=1, read_your_writes=True, with_embedding=True)
    assert np.array_equal(with_embedding.hits[0].memory.embedding, question)  # type: ignore[arg-type]
    stale = await ids(scope, vector=question, limit=3, read_your_writes=False)
    assert "mem_000900" not in stale
    assert before[0] not in stale  # what is gone in PostgreSQL is never returned
    await filled.sync()
    assert await ids(scope, vector=question, limit=3) == [hit.memory.id for hit in fresh]


async def test_own_writes_are_read_where_the_mirror_lacks_them(filled: World, store: MilvusStore) -> None:
    """Those that Milvus cannot hold, and all of them where nothing is written down for it."""
    question = vectors(1, seed=5)[0]
    scope = store.scope(filled.tenants[0])
    await filled.scope().add(memory(900, question))
    await filled.execute("UPDATE memstore.memory_nodes SET last_accessed = 'infinity' WHERE id = 'mem_000900'")
    await filled.sync()
    assert await ids(scope, vector=question, limit=1, read_your_writes=False) != ["mem_000900"]
    assert await ids(scope, vector=question, limit=1, read_your_writes=True) == ["mem_000900"]
    await disable_mirror(filled.engine)
    await filled.scope().add(memory(901, question))
    assert await ids(scope, vector=question, limit=2, read_your_writes=True) == ["mem_000900", "mem_000901"]


async def test_a_collection_that_was_made_anew_under_its_name_is_searched_as_it_is(world: World) -> None:
    await world.add(vectors(20))
    await world.follow()
    await world.sync()
    async with MilvusStore(world.url, world.settings) as store:
        scope, question = store.scope(world.tenants[0]), vectors(1, seed=3)[0]
        before = await scope.search(vector=question, explain=True, read_your_writes=True)
        await move(world.engine, world.milvus, "base")
        await prune(world.engine, world.milvus)
        world.milvus.settings = world.settings.__class__(
            uri=world.settings.uri, vector_index=VectorIndexChoice.IVF_FLAT
        )
        await move(world.engine, world.milvus)
        await asyncio.sleep(1.1)  # a reader looks once a second
        after = await scope.search(vector=question, explain=True, read_your_writes=True)
    assert before.explanation is not None
    assert after.explanation is not None
    assert after.explanation.index == "IVF_FLAT" != before.explanation.index
    assert [hit.memory.id for hit in after] == [hit.memory.id for hit in before]


async def test_what_was_dropped_behind_a_reader_is_searched_for_in_what_came_after(
    world: World, tmp_path: Path
) -> None:
    await world.add(vectors(20))
    await world.follow()
    chain = write_versions(tmp_path, ADDS_AGENT)
    async with MilvusStore(world.url, world.settings, chain=chain) as store:
        scope, question = store.scope(world.tenants[0]), vectors(1, seed=3)[0]
        before = await ids(scope, vector=question)
        await move(world.engine, world.milvus, chain=chain)
        await scope.search(vector=question)
        await move(world.engine, world.milvus, "-1", chain=chain)
        await ours.drop(world.milvus, "memories_unified__0002")  # not as prune does, which waits
        assert await ids(scope, vector=question) == before


async def test_an_applications_role_reads_its_own_writes(server: Server, filled: World) -> None:
    role = f"role_of_{filled.url.database}"
    server.execute(f"CREATE ROLE {role} LOGIN")
    await grant(filled.url, role)
    question = vectors(1, seed=5)[0]
    async with MilvusStore(filled.url.set(username=role), filled.settings) as store:
        await store.postgres.scope(filled.tenants[0]).add(memory(900, question))
        await filled.scope(1).add(memory(901, question))
        scope = store.scope(filled.tenants[0])
        assert await ids(scope, vector=question, limit=1, read_your_writes=True) == ["mem_000900"]
        other = store.scope(filled.tenants[1])
        assert await ids(other, vector=question, limit=1, read_your_writes=True) == ["mem_000901"]
    await filled.execute(f"DROP OWNED BY {role}", f"DROP ROLE {role}")


async def test_words_and_plans_are_postgres_own(filled: World, store: MilvusStore) -> None:
    scope, question = store.scope(filled.tenants[0]), vectors(1, seed=77)[0]
    for asked in ({"text": "memory 250"}, {"vector": question, "text": "memory 7"}):
        assert await ids(scope, **asked) == [hit.memory.id for hit in await filled.scope().search(**asked)]
    result = await scope.search(vector=question, plan=SearchPlan.EXACT, explain=True)
    assert result.explanation is not None
    assert result.explanation.plan is SearchPlan.EXACT


async def test_min_score_and_limits(filled: World, store: MilvusStore) -> None:
    scope, question = store.scope(filled.tenants[0]), vectors(1, seed=77)[0]
    everything = await scope.search(vector=question, limit=300, read_your_writes=True)
    assert len(everything) == 300
    middle = everything.hits[9].score
    assert len(await ids(scope, vector=question, limit=300, min_score=middle)) == 10
    assert len(await scope.nearest(question, limit=300, min_score=middle, strong=True)) == 10
    with pytest.raises(VectorError, match="has 3 dimensions, the collection has 16"):
        await scope.search(vector=[1, 2, 3])


async def test_the_rest_of_the_read_side_is_postgres(filled: World, store: MilvusStore) -> None:
    scope = store.scope(filled.tenants[0])
    assert await scope.count() == 300
    assert (await scope.get("mem_000001")) == (await filled.scope().get("mem_000001"))
    assert list(await scope.get_many(["mem_000001", "nobody"])) == ["mem_000001"]
    assert len(await scope.list(limit=7)) == 7
    health = await scope.health()
    assert (health.backend, health.memories, health.embedding_dim) == ("milvus", 300, DIM)


async def test_without_a_collection_it_says_what_to_type(world: World) -> None:
    async with MilvusStore(world.url, world.settings) as store:
        scope = store.scope(world.tenants[0])
        with pytest.raises(MilvusStateError, match="there is no memories_unified in .* Run: memstore milvus up"):
            await scope.search(vector=vectors(1)[0])
        await ours.create(world.milvus, "somebodys", world.chain.spec(world.chain.head, DIM), {})
        await ours.point(world.milvus, ALIAS, "somebodys")
        with pytest.raises(MilvusStateError, match="leads to somebodys, which memstore did not make"):
            await scope.health()


@pytest.mark.parametrize("choice", [VectorIndexChoice.HNSW, VectorIndexChoice.IVF_FLAT])
async def test_an_approximate_index_is_never_short(world: World, choice: VectorIndexChoice) -> None:
    """A tenant of a hundredth, whose vectors lie apart: what a walk or a few lists would miss."""
    world.milvus.settings = world.settings.__class__(uri=world.settings.uri, vector_index=choice)
    await world.add(vectors(990, seed=1))
    mine = -np.abs(vectors(10, seed=2))
    await world.add(mine, tenant=1)
    await move(world.engine, world.milvus)
    question = np.abs(vectors(1, seed=3)[0])  # far from all of them
    async with MilvusStore(world.url, world.settings) as store:
        assert await ids(store.scope(world.tenants[1]), vector=question, limit=10) == nearest(mine, question, 10)
