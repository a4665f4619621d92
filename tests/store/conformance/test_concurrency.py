from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, field

import pytest

from memstore.errors import StaleMemoryError
from memstore.store import MemoryChange, MemoryScope
from tests.store.conformance.worlds import World, everywhere, memory

pytestmark = everywhere

WORKERS = 32


@dataclass
class Trial:
    """Workers that write and read in one tenant, and what each was told that it did."""

    scope: MemoryScope
    name: str
    added: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)
    raised: int = 0
    accessed: int = 0
    leaks: list[str] = field(default_factory=list)

    async def work(self, worker: int, until: float) -> None:
        chance = random.Random(f"{self.name} {worker}")
        turn = 0
        while turn < 3 or time.monotonic() < until:
            turn += 1
            id_ = f"{self.name}-{worker}-{turn}"
            if chance.random() < 0.5:
                await self.scope.add(memory(turn, id=id_, content=self.name))
                self.added.add(id_)
            else:
                ids = [f"{id_}-{n}" for n in range(3)]
                await self.scope.add_many(memory(turn, id=each, content=self.name) for each in ids)
                self.added.update(ids)
                if await self.scope.delete(ids[0], hard=chance.random() < 0.5):
                    self.deleted.add(ids[0])
            await self.raise_importance()
            accessed = await self.scope.record_access("shared")
            self.accessed += accessed
            found = await self.scope.search(vector=[1, 2, 3, chance.random()], text=f"{self.name} tea", limit=20)
            self.leaks += [hit.memory.id for hit in found if hit.memory.content != self.name]
            listed = await self.scope.list(limit=20)
            self.leaks += [each.id for each in listed if each.content != self.name]

    async def raise_importance(self) -> None:
        """Change what all change: it fails only for who came second."""
        found = await self.scope.get("shared")
        assert found is not None
        try:
            await self.scope.update("shared", MemoryChange(sequence_index=found.version), version=found.version)
            self.raised += 1
        except StaleMemoryError as stale:
            if stale.found <= stale.expected:
                raise

    async def check(self) -> None:
        kept: set[str] = set()
        after = None
        while True:
            page = await self.scope.list(limit=1_000, after=after)
            kept.update(each.id for each in page)
            after = page.next
            if after is None:
                break
        assert kept - {"shared"} == self.added - self.deleted
        shared = await self.scope.get("shared")
        assert shared is not None
        assert (shared.version, shared.sequence_index) == (self.raised + 1, self.raised)
        assert shared.access_count == self.accessed
        assert self.leaks == []


async def run(world: World, seconds: float) -> None:
    tenants = [world.owner.tenant, (await world.neighbour()).tenant, (await world.neighbour()).tenant]
    trials = [Trial(world.store.scope(tenant), f"tenant{number}") for number, tenant in enumerate(tenants)]
    for each in trials:
        await each.scope.add(memory(0, id="shared", content=each.name))
    until = time.monotonic() + seconds
    await asyncio.gather(*(trials[worker % 3].work(worker, until) for worker in range(WORKERS)))
    for each in trials:
        await each.check()


async def test_writers_and_readers_lose_nothing_and_leak_nothing(world: World) -> None:
    await run(world, seconds=0.5)


@pytest.mark.soak
async def test_writers_and_readers_lose_nothing_and_leak_nothing_for_a_minute(world: World) -> None:
    await run(world, seconds=60)
