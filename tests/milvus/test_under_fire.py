"""The mirror while memories are written and relays are killed, and Milvus is: nothing is lost, or said too soon.

Relays are processes, and so Milvus Lite is a server here: several of them share it.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from pymilvus import MilvusClient, MilvusException

from memstore.milvus import verify
from memstore.milvus.comparing import verify_content
from memstore.milvus.copying import Target
from memstore.milvus.entities import entity_id
from memstore.milvus.source import open_source
from memstore.store import NewTenant, create_tenant
from tests.milvus.lite_server import LiteServer
from tests.milvus.relays import Relays
from tests.milvus.servers import Milvus, MilvusServer
from tests.milvus.worlds import DIM, World
from tests.milvus.writers import Writers
from tests.support import raw_dsn

WRITES, KILLS, MILVUS_KILLS = 20_000, 20, 2
TENANTS = 4
SECONDS_TO_ANSWER = 300
COLLECTION = "memories_unified__0001"
ABOUT = ("version", "access_count", "importance", "ui_source")

_log = logging.getLogger(__name__)


@pytest.fixture
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LiteServer | MilvusServer]:
    """A Milvus that several processes share, and that can be killed."""
    if request.param == "real":
        real: Milvus = request.getfixturevalue("real_milvus")
        assert real.server is not None
        yield real.server
        return
    server = LiteServer(tmp_path)
    try:
        server.start()
        yield server
    finally:
        server.kill()


@pytest.fixture
def milvus(shared: LiteServer | MilvusServer) -> Milvus:
    return Milvus("lite" if isinstance(shared, LiteServer) else "real", shared.uri)


@pytest.mark.parametrize("shared", ["lite"], indirect=True)
async def test_the_mirror_loses_nothing_when_relays_are_killed(world: World, shared: LiteServer) -> None:
    await Trial(world, shared, random.Random(7), writes=600, kills=2, batch_size=20).run()


@pytest.mark.soak
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("shared", ["lite", "real"], indirect=True)
async def test_the_mirror_loses_nothing_under_fire(world: World, shared: LiteServer | MilvusServer) -> None:
    chance = random.Random()
    await Trial(world, shared, chance, writes=WRITES, kills=KILLS, milvus_kills=MILVUS_KILLS, batch_size=100).run()


@dataclass
class Trial:
    """Writers, and relays that follow them, two at once in the middle third; killed in between, and Milvus too."""

    world: World
    server: LiteServer | MilvusServer
    chance: random.Random
    writes: int
    kills: int
    batch_size: int
    milvus_kills: int = 0

    async def run(self) -> None:
        await self._prepare()
        async with asyncio.TaskGroup() as tasks:
            writing = tasks.create_task(self.writers.run())
            watching = tasks.create_task(self._watch())
            self.relays.open(tasks)
            for due, take in self._schedule(tasks):
                self.writers.limit = due + 2 * self.batch_size  # they are still writing then, and do not run ahead
                while self.writers.written < due:
                    await asyncio.sleep(0.01)
                await take()
            self.writers.limit = self.writes
            await writing
            while await self._left():
                await asyncio.sleep(0.1)
            watching.cancel()
            self.relays.give_up()
        await self.world.sync()
        await self._check_all()

    async def _prepare(self) -> None:
        for number in range(2, TENANTS):
            self.world.tenants.append(await create_tenant(self.world.engine, NewTenant(f"Tenant {number}")))
        await self.world.follow()
        scopes = [self.world.scope(number) for number in range(TENANTS)]
        self.writers = Writers(scopes, self.writes, self.chance)
        environment = {"DATABASE_URL": raw_dsn(self.world.url), "MILVUS_URI": self.server.uri}
        self.relays = Relays(environment, self.batch_size)
        self.raw = MilvusClient(self.server.uri, timeout=30)

    def _schedule(self, tasks: asyncio.TaskGroup) -> list[tuple[int, Callable[[], Awaitable[None]]]]:
        """Return what is done, each with how many writes are done by then."""

        async def open_another() -> None:
            self.relays.open(tasks)

        async def give_one_up() -> None:
            self.relays.give_up()

        share = self.writes / (self.kills + 1)
        schedule = [(int(share * (kill + 1)), self._kill_a_relay) for kill in range(self.kills)]
        share = self.writes / (self.milvus_kills + 1)
        schedule += [(int(share * (kill + 0.9)), self._kill_milvus) for kill in range(self.milvus_kills)]
        schedule += [(self.writes // 3, open_another), (2 * self.writes // 3, give_one_up)]
        return sorted(schedule, key=lambda each: each[0])

    async def _kill_a_relay(self) -> None:
        await asyncio.sleep(self.chance.random() / 20)  # any moment of a batch
        await self.relays.kill_one(self.chance)
        await self._check()

    async def _kill_milvus(self) -> None:
        await asyncio.to_thread(self.server.kill)
        await asyncio.sleep(self.chance.random())
        await asyncio.to_thread(self.server.start)
        await asyncio.to_thread(self._wait_until_it_answers)
        await self._check()

    async def _watch(self) -> None:
        """Let writers wait for relays that are far behind, so that all of them are at work at any time."""
        while True:
            if await self._left() < 3 * self.batch_size:
                self.writers.room.set()
            else:
                self.writers.room.clear()
            await asyncio.sleep(0.02)

    async def _left(self) -> int:
        left: int = (await self.world.rows("SELECT count(*) FROM memstore.mirror_outbox"))[0][0]
        return left

    async def _check(self) -> None:
        """Compare what is no longer in the outbox with Milvus, while nobody writes, and relays go on."""
        async with self.writers.paused():
            reported = self.relays.reported
            pending = [tuple(row) for row in await self.world.rows(
                "SELECT tenant_id, node_id FROM memstore.mirror_outbox")]  # fmt: skip
            assert reported <= self.writers.enqueued - len(pending)
            found, wanted = await asyncio.to_thread(self._entities), await self._memories()
            for key in pending:
                found.pop(entity_id(*key), None)
                wanted.pop(entity_id(*key), None)
            assert found == wanted
        compared = await verify(self.world.engine, self.world.milvus)  # while everybody goes on
        assert compared.differences == []
        self._tell(f"{len(pending)} pending, {len(found)} compared")

    def _tell(self, what: str) -> None:
        ended = [each for each in self.relays.past if not each.is_killed and not each.is_done]
        killed = sum(each.is_killed for each in self.relays.past)
        _log.info(
            "%s written, %s reported, %s; relays: %s killed, %s gave up",
            *(self.writers.written, self.relays.reported, what, killed, len(ended)),
        )

    async def _check_all(self) -> None:
        killed = [each for each in self.relays.past if each.is_killed]
        assert len(killed) == self.kills
        taken = self.writers.enqueued
        assert taken - len(killed) * self.batch_size <= self.relays.reported <= taken
        for each in self.relays.past:  # who ended by itself said that it could not reach Milvus
            assert each.is_killed or each.is_done or "Milvus" in each.troubles[-1], each.troubles
            assert not any("Traceback" in line for line in each.troubles), each.troubles
        compared = await verify(self.world.engine, self.world.milvus)
        memories = await self._memories()
        assert (compared.found, compared.pending, await self._left()) == (0, 0, 0)
        assert compared.entities == compared.memories == len(memories)
        assert await asyncio.to_thread(self._entities) == memories
        async with open_source(self.world.engine) as source:
            target = Target(COLLECTION, self.world.chain.spec(self.world.chain.head, DIM))
            compared = await verify_content(source, self.world.milvus, target, sample=10 * self.writes)
        assert (compared.found, compared.sampled) == (0, len(memories))
        assert (await self.world.status()).lag.rejections == 0
        self._tell(
            f"{self.writers.enqueued} enqueued, {compared.sampled} compared field by field, {self.writers.by_kind}"
        )

    async def _memories(self) -> dict[str, tuple[Any, ...]]:
        rows = await self.world.rows(
            f"SELECT tenant_id, id, {', '.join(ABOUT)} FROM memstore.memory_nodes WHERE embedding IS NOT NULL"
        )
        return {entity_id(row[0], row[1]): tuple(row[2:]) for row in rows}

    def _entities(self) -> dict[str, tuple[Any, ...]]:
        """Return what Milvus has at Strong consistency, by nothing of memstore's."""
        found = self.raw.query(
            COLLECTION,
            filter='id != ""',
            output_fields=["id", *ABOUT],
            limit=16_384,
            consistency_level="Strong",
            timeout=60,
        )
        assert len(found) < 16_384
        assert len({row["id"] for row in found}) == len(found)
        return {row["id"]: tuple(row[name] for name in ABOUT) for row in found}

    def _wait_until_it_answers(self) -> None:
        """A server loads the collection some time after it starts, Milvus Lite when it is told to."""
        deadline = time.monotonic() + SECONDS_TO_ANSWER
        while True:
            try:
                self.raw.load_collection(COLLECTION, timeout=60)
                self.raw.query(COLLECTION, output_fields=["count(*)"], consistency_level="Strong", timeout=60)
            except (MilvusException, grpc.RpcError):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
            else:
                return
