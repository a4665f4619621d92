"""Clients that read and write memories without pause, in a process of their own, and how long each had to wait."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from multiprocessing import get_context
from time import monotonic
from typing import TYPE_CHECKING
from uuid import UUID

import asyncpg

if TYPE_CHECKING:
    from multiprocessing.queues import Queue
    from multiprocessing.synchronize import Event

ROLE = "load_client"

# Each with the id that it takes beside the tenant's.
STATEMENTS = (
    ("SELECT content, importance FROM memstore.memory_nodes WHERE tenant_id = $1 AND id = $2", "node"),
    ("UPDATE memstore.memory_nodes SET access_count = access_count + 1 WHERE tenant_id = $1 AND id = $2", "node"),
    ("INSERT INTO memstore.memory_nodes (tenant_id, id, content) VALUES ($1, $2, 'new')", "new"),
    ("SELECT words FROM memstore.load_notes WHERE tenant_id = $1 AND id = $2", "note"),
    ("UPDATE memstore.load_notes SET words = 'note' WHERE tenant_id = $1 AND id = $2", "note"),
)


@dataclass
class Waits:
    """What clients went through: how long each statement took, in seconds, and what failed."""

    seconds: list[float] = field(default_factory=list)
    longest: tuple[float, str] = (0.0, "")
    errors: list[str] = field(default_factory=list)

    def add(self, statement: str, seconds: float) -> None:
        self.seconds.append(seconds)
        self.longest = max(self.longest, (seconds, statement))

    def join(self, other: Waits) -> None:
        self.seconds += other.seconds
        self.longest = max(self.longest, other.longest)
        self.errors += other.errors


class Clients:
    """So many clients, running from `start` to `stop`, half of them in each of two processes."""

    def __init__(self, dsn: str, count: int, tenant: UUID, rows: int) -> None:
        spawn = get_context("spawn")
        self._over: Event = spawn.Event()
        self._results: Queue[Waits] = spawn.Queue()
        halves = [range(0, count, 2), range(1, count, 2)]
        arguments = [(dsn, list(half), tenant, rows, self._over, self._results) for half in halves]
        self._processes = [spawn.Process(target=_work, args=each) for each in arguments]

    def start(self) -> None:
        for process in self._processes:
            process.start()

    def stop(self) -> Waits:
        self._over.set()
        waits = Waits()
        for _ in self._processes:
            waits.join(self._results.get(timeout=60))
        for process in self._processes:
            process.join()
        return waits


def _work(dsn: str, numbers: list[int], tenant: UUID, rows: int, over: Event, results: Queue[Waits]) -> None:
    results.put(asyncio.run(_all(dsn, numbers, tenant, rows, over)))


async def _all(dsn: str, numbers: list[int], tenant: UUID, rows: int, over: Event) -> Waits:
    waits = Waits()
    await asyncio.gather(*(_client(dsn, number, tenant, rows, over, waits) for number in numbers))
    return waits


async def _client(dsn: str, number: int, tenant: UUID, rows: int, over: Event, waits: Waits) -> None:
    chance = random.Random(number)  # noqa: S311
    connection = await asyncpg.connect(dsn)
    await connection.execute(f"SET ROLE {ROLE}")
    await connection.execute(f"SET memstore.tenant_id = '{tenant}'")
    written = 0
    while not over.is_set():
        node, note = f"mem_{chance.randrange(rows):016x}", chance.randrange(1, 200)
        written += 1
        statement, own = chance.choice(STATEMENTS)
        key = {"node": node, "new": f"new_{number}_{monotonic()}_{written}", "note": note}[own]
        began = monotonic()
        try:
            await connection.execute(statement, tenant, key)
        except asyncpg.PostgresError as error:
            waits.errors.append(f"{type(error).__name__}: {error} in {statement}")
        waits.add(statement, monotonic() - began)
    await connection.close()
