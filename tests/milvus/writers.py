"""Writers that change the memories of several tenants in every way that there is, as applications do."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from memstore.errors import StaleMemoryError, UnknownMemoryError
from memstore.store import MemoryChange
from memstore.store.postgres.scope import PostgresScope
from tests.milvus.worlds import DIM, memory

WRITERS = 4


@dataclass
class Tenant:
    """The memories of one tenant, as its writers know them."""

    scope: PostgresScope
    there: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)


class Writers:
    """Writes of `WRITERS` at once, until `count` were done.

    written: how many were done; `by_kind`: of which kind.
    enqueued: how many changes of a memory the outbox must have been given by them.
    room: cleared, they wait with their next write; so they do when as many as `limit` are done.
    """

    def __init__(self, scopes: list[PostgresScope], count: int, chance: random.Random) -> None:
        self.count, self.chance = count, chance
        self.tenants = [Tenant(scope) for scope in scopes]
        self.written = self.enqueued = 0
        self.by_kind: Counter[str] = Counter()
        self.limit = count
        self.room = asyncio.Event()
        self.room.set()
        self._turns = [asyncio.Lock() for _ in range(WRITERS)]
        self._numbers = 0
        self._kinds: dict[Callable[[Tenant], Coroutine[Any, Any, int]], int] = {
            self._insert: 30,
            self._update: 28,
            self._delete: 10,
            self._delete_for_good: 10,
            self._insert_again: 9,
            self._read: 13,
        }

    async def run(self) -> None:
        await asyncio.gather(*(self._work(turn) for turn in self._turns))

    @asynccontextmanager
    async def paused(self) -> AsyncIterator[None]:
        """Let every writer end its write, and begin no other meanwhile."""
        async with AsyncExitStack() as held:
            for turn in self._turns:
                await held.enter_async_context(turn)
            yield

    async def _work(self, turn: asyncio.Lock) -> None:
        while self.written < self.count:
            await self.room.wait()
            if self.written >= self.limit:
                await asyncio.sleep(0.01)
                continue
            async with turn:
                await self._write()

    async def _write(self) -> None:
        kind = self.chance.choices(list(self._kinds), list(self._kinds.values()))[0]
        try:
            changed = await kind(self.chance.choice(self.tenants))
        except (StaleMemoryError, UnknownMemoryError):  # another writer came first
            return
        if changed:
            self.written += 1
            self.enqueued += changed
            self.by_kind[kind.__name__.strip("_")] += 1

    async def _insert(self, tenant: Tenant) -> int:
        self._numbers += 1
        added = await tenant.scope.add(memory(self._numbers, self._vector(), importance=self.chance.randint(1, 10)))
        tenant.there.append(added.id)
        return 1

    async def _update(self, tenant: Tenant) -> int:
        found = await tenant.scope.get(self._one(tenant), include_deleted=True)
        if found is None:
            return 0
        talk = f"talk {self.chance.randrange(100)}"
        change = MemoryChange(importance=self.chance.randint(1, 10), embedding=self._vector(), conversation_id=talk)
        await tenant.scope.update(found.id, change, version=found.version)
        return 1

    async def _delete(self, tenant: Tenant) -> int:
        return int(await tenant.scope.delete(self._one(tenant)))

    async def _delete_for_good(self, tenant: Tenant) -> int:
        chosen = self._one(tenant)
        if not await tenant.scope.delete(chosen, hard=True):
            return 0
        tenant.there.remove(chosen)
        tenant.gone.append(chosen)
        return 1

    async def _insert_again(self, tenant: Tenant) -> int:
        if not tenant.gone:
            return 0
        chosen = tenant.gone.pop(self.chance.randrange(len(tenant.gone)))
        await tenant.scope.add(memory(int(chosen.removeprefix("mem_")), self._vector(), ui_source="again"))
        tenant.there.append(chosen)
        return 1

    async def _read(self, tenant: Tenant) -> int:
        return await tenant.scope.record_access({self._one(tenant) for _ in range(3)})

    def _one(self, tenant: Tenant) -> str:
        return self.chance.choice(tenant.there) if tenant.there else "nobody"

    def _vector(self) -> list[float] | None:
        """Return a vector, or now and then none: then it is not for the mirror."""
        return None if self.chance.random() < 0.05 else [self.chance.gauss() for _ in range(DIM)]
