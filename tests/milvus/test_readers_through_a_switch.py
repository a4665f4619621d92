"""Searches that go on while the collection behind them is built anew, put in place, taken back and dropped."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
from numpy.typing import NDArray
from pymilvus import MilvusClient

from memstore.milvus import MilvusStore, move, prune
from memstore.milvus.naming import ALIAS
from tests.milvus.versions import ADDS_AGENT, write_versions
from tests.milvus.worlds import World, vectors

MEMORIES, QUESTIONS, NEAREST = 150, 20, 10
READERS_OF_A_KIND = 2
FIRST, SECOND = "memories_unified__0001", "memories_unified__0002"

Search = Callable[[UUID, NDArray[np.float32]], Awaitable[list[str]]]


@dataclass
class Readers:
    """Tasks that search without a pause, and whatever they found that was not the nearest.

    expected: what is nearest to each question, for each tenant.
    asked: how often each of them has got an answer.
    """

    questions: NDArray[np.float32]
    expected: dict[UUID, list[list[str]]] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    is_over: bool = False

    def know(self, tenant: UUID, names: list[str], embeddings: NDArray[np.float32]) -> None:
        unit = embeddings.astype(np.float64) / np.linalg.norm(embeddings, axis=1, keepdims=True)
        order = np.argsort(-(self.questions @ unit.T), axis=1)[:, :NEAREST]
        self.expected[tenant] = [[names[place] for place in row] for row in order]

    async def search_on(self, name: str, search: Search) -> None:
        while not self.is_over:
            tenant, number = random.choice(list(self.expected)), random.randrange(len(self.questions))
            found = await search(tenant, self.questions[number])
            self.asked[name] += 1
            if found != self.expected[tenant][number]:
                self.wrong.append(f"{name}, question {number}: {found} instead of {self.expected[tenant][number]}")

    async def see(self) -> None:
        """Let each of them begin and end a search as things stand now."""
        goals = {name: count + 3 for name, count in self.asked.items()}
        while any(self.asked[name] < goal for name, goal in goals.items()):
            await asyncio.sleep(0.01)
        assert self.wrong == []


@pytest.mark.timeout(600)
async def test_searches_find_the_nearest_all_through_a_switch(world: World, tmp_path: Path) -> None:
    readers = Readers(vectors(QUESTIONS, seed=50))
    for number, tenant in enumerate(world.tenants):
        made = vectors(MEMORIES, seed=number)
        readers.know(tenant, await world.add(made, tenant=number), made)
    await world.follow()
    await world.sync()
    chain = world.chain = write_versions(tmp_path, ADDS_AGENT)
    async with MilvusStore(world.url, world.settings, chain=chain) as store, asyncio.TaskGroup() as tasks:
        for name, search in searches(store, world.settings.uri).items():
            for place in range(READERS_OF_A_KIND):
                readers.asked[f"{name} {place}"] = 0
                tasks.create_task(readers.search_on(f"{name} {place}", search))
        await readers.see()
        await move(world.engine, world.milvus, chain=chain)
        await readers.see()
        assert await world.live() == SECOND
        await move(world.engine, world.milvus, "-1", chain=chain)
        await readers.see()
        assert (await prune(world.engine, world.milvus)).dropped == (SECOND,)
        await readers.see()
        await move(world.engine, world.milvus, chain=chain)
        assert (await prune(world.engine, world.milvus)).dropped == (FIRST,)
        await readers.see()
        await move(world.engine, world.milvus, "-1", chain=chain)
        assert (await prune(world.engine, world.milvus)).dropped == (SECOND,)
        await readers.see()
        readers.is_over = True


def searches(store: MilvusStore, uri: str) -> dict[str, Search]:
    """Return the ways to search that are tried."""
    client = MilvusClient(uri, timeout=30)

    async def search(tenant: UUID, question: NDArray[np.float32]) -> list[str]:
        return [hit.memory.id for hit in await store.scope(tenant).search(vector=question, limit=NEAREST)]

    async def nearest(tenant: UUID, question: NDArray[np.float32]) -> list[str]:
        return [hit.memory_id for hit in await store.scope(tenant).nearest(question, limit=NEAREST)]

    def ask(tenant: UUID, question: NDArray[np.float32]) -> list[str]:
        found = client.search(
            ALIAS,
            [question],
            anns_field="embedding",
            # Milvus 2.3 looks for a key alone in one partition, and has upserted into another: see test_partitions.py.
            filter=f'org_id == "{tenant}" or id == ""',
            limit=NEAREST,
            output_fields=["node_id"],
            search_params={"metric_type": "COSINE", "params": {"ef": 128}},
            timeout=30,
        )
        return [hit["entity"]["node_id"] for hit in found[0]]

    async def raw(tenant: UUID, question: NDArray[np.float32]) -> list[str]:
        return await asyncio.to_thread(ask, tenant, question)

    return {"search": search, "nearest": nearest, "alias": raw}
