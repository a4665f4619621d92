from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from memstore.milvus.comparing import verify_content
from memstore.milvus.copying import Target
from memstore.milvus.fields import CollectionSpec
from memstore.milvus.source import Key, Source, open_source
from memstore.store import MemoryChange
from tests.milvus.worlds import DIM, World, vectors


@dataclass(frozen=True)
class _BusySource(Source):
    """PostgreSQL, of which a memory is changed just before its rows are read."""

    world: World
    node_id: str

    async def rows(self, spec: CollectionSpec, keys: Sequence[Key]) -> list[asyncpg.Record]:
        await self.world.scope().update(self.node_id, MemoryChange(importance=9), version=1)
        return await super().rows(spec, keys)


async def test_what_is_changed_while_it_is_compared_is_no_difference(world: World) -> None:
    names = await world.add(vectors(5))
    await world.follow()
    await world.sync()
    async with open_source(world.engine) as source:
        busy = _BusySource(source.connection, source.dimensions, world, names[2])
        target = Target("memories_unified__0001", world.chain.spec(world.chain.head, DIM))
        found = await verify_content(busy, world.milvus, target)
    assert (found.sampled, found.differences) == (5, [])
    await world.sync()
    assert (await world.compare(world.chain.head)).found == 0
