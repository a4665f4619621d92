"""Runs that change collections, killed with SIGKILL before and during each of their writes, and run again."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy.engine import URL

from memstore.database import create_engine
from memstore.milvus import MilvusSettings, enable_mirror, move, open_milvus, prune
from memstore.milvus import collections as ours
from memstore.milvus.ledger import record
from memstore.milvus.naming import ALIAS
from memstore.milvus.source import open_source
from memstore.milvus.state import STATE
from memstore.models import MirrorEvent
from memstore.store import PostgresStore
from tests.conftest import CreateDatabase
from tests.milvus.rows import spec
from tests.milvus.servers import Milvus
from tests.milvus.versions import ADDS_AGENT, write_versions
from tests.milvus.worlds import DIM, World, vectors
from tests.support import ROOT, raw_dsn

FIRST, SECOND = "memories_unified__0001", "memories_unified__0002"
ROWS = 20


@dataclass
class Trial:
    """A PostgreSQL beside a Milvus that other processes use too: nothing here holds on to it in between."""

    url: URL
    uri: str
    versions: Path
    written: int = 0
    _tenants: list[UUID] = field(default_factory=list)

    @asynccontextmanager
    async def world(self) -> AsyncIterator[World]:
        settings, engine = MilvusSettings(uri=self.uri), create_engine(self.url)
        async with PostgresStore(self.url) as store, await open_milvus(settings) as milvus:
            chain = write_versions(self.versions, ADDS_AGENT)
            world = World(self.url, engine, settings, milvus, store, self._tenants, chain)
            if not self._tenants:
                await world.settle()
            yield world
        await engine.dispose()

    async def add(self, world: World) -> None:
        """Add memories to both tenants."""
        for tenant in (0, 1):
            await world.add(vectors(ROWS, seed=self.written), first=self.written, tenant=tenant)
        self.written += ROWS

    async def killed(self, how: str, write: int, *command: str) -> bool:
        """Run a command that dies at a write; return whether it got that far."""
        run = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "tests.milvus.dying", str(self.versions), how, str(write), *command],
            cwd=ROOT,
            env=os.environ | {"DATABASE_URL": raw_dsn(self.url), "MILVUS_URI": self.uri},
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode in (0, -9), run.stderr
        return run.returncode != 0


async def nothing(world: World) -> None:
    """Drop all collections, and forget that there were any."""
    await world.execute("TRUNCATE memstore.mirror_ledger, memstore.mirror_outbox, memstore.mirror_rejections")
    for name in await ours.names(world.milvus):
        for alias in await ours.aliases_of(world.milvus, name):
            await ours.remove_alias(world.milvus, alias)
        await ours.drop(world.milvus, name)


async def a_plain_collection(world: World) -> None:
    await nothing(world)
    await ours.create(world.milvus, ALIAS, spec(DIM), {})


async def the_first(world: World) -> None:
    await nothing(world)
    await move(world.engine, world.milvus, "0001", chain=world.chain)


async def the_first_and_half_of_another_second(world: World) -> None:
    await the_first(world)
    begun = spec(DIM).without("version")
    properties = {"memstore.revision": "0002_agent", "memstore.checksum": begun.checksum(), STATE: "building"}
    await ours.create(world.milvus, SECOND, begun, properties)
    async with open_source(world.engine) as source:
        await record(source.connection, MirrorEvent.BUILDING, SECOND, "0002_agent", begun.checksum())


async def both(world: World) -> None:
    await the_first(world)
    await move(world.engine, world.milvus, "0002", chain=world.chain)


@dataclass(frozen=True)
class Case:
    """What a run begins with, what is run, what readers are led to before and after, and which collections are left.

    writes: how many there are at least; both tenants may be in one shard, and are filled together then.
    """

    given: Callable[[World], Awaitable[None]]
    command: tuple[str, ...]
    before: str | None
    after: str | None
    left: tuple[str, ...]
    writes: int

    async def run(self, world: World) -> None:
        if self.command == ("prune",):
            await prune(world.engine, world.milvus)
        else:
            await move(world.engine, world.milvus, self.command[1], chain=world.chain)


CASES = [
    Case(nothing, ("up", "0001"), None, FIRST, (FIRST,), 10),
    Case(a_plain_collection, ("up", "0001"), None, FIRST, (FIRST, f"{ALIAS}_before_memstore_1"), 12),
    Case(the_first, ("up", "0002"), FIRST, SECOND, (FIRST, SECOND), 11),
    Case(the_first_and_half_of_another_second, ("up", "0002"), FIRST, SECOND, (FIRST, SECOND), 14),
    Case(both, ("down", "0001"), SECOND, FIRST, (FIRST, SECOND), 7),
    Case(the_first, ("down", "base"), FIRST, None, (FIRST,), 2),
    Case(both, ("prune",), SECOND, SECOND, (SECOND,), 2),
]


def _name(case: Case) -> str:
    return f"{'-'.join(case.command)}-from-{case.given.__name__}"


@pytest.fixture
def trial(create_database: CreateDatabase, milvus: Milvus, tmp_path: Path) -> Trial:
    versions = tmp_path / "versions"
    versions.mkdir()
    return Trial(create_database(DIM), milvus.uri, versions)


# A server has no more to lose before a write than after the one before it.
ENGINES = [("lite", "before"), ("lite", "during"), ("real", "during")]


async def test_a_run_that_was_killed_before_a_write_is_finished_by_the_next(trial: Trial) -> None:
    await run_until_it_is_not_killed(trial, CASES[-1], "before")


@pytest.mark.soak
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize(("milvus", "how"), ENGINES, indirect=["milvus"], ids=map("-".join, ENGINES))
@pytest.mark.parametrize("case", CASES, ids=_name)
async def test_a_run_that_was_killed_at_a_write_is_finished_by_the_next(trial: Trial, case: Case, how: str) -> None:
    await run_until_it_is_not_killed(trial, case, how)


async def run_until_it_is_not_killed(trial: Trial, case: Case, how: str) -> None:
    async with trial.world() as world:
        await enable_mirror(world.engine)
        await trial.add(world)
    for write in count(1):
        async with trial.world() as world:
            await case.given(world)
        if not await trial.killed(how, write, *case.command):
            break
        async with trial.world() as world:
            assert (await world.status()).disagreements == ()
            assert await world.live() in (case.before, case.after)
            await trial.add(world)
            await case.run(world)
            await is_done(world, case)
    assert write - 1 >= case.writes
    async with trial.world() as world:  # the last one was not killed
        await is_done(world, case)


async def is_done(world: World, case: Case) -> None:
    assert await world.live() == case.after
    assert tuple(await ours.names(world.milvus)) == case.left
    status = await world.status()
    assert (status.disagreements, status.is_whole) == ((), case.after is not None)
    await world.sync()
    for revision, physical in (("0001_unified_memory", FIRST), ("0002_agent", SECOND)):
        if physical in case.left:
            compared = await world.compare(revision)
            assert (compared.found, compared.pending) == (0, 0)
            assert compared.entities == compared.memories > 0
