from __future__ import annotations

import asyncio
import json
import random
import sys
from asyncio.subprocess import DEVNULL, PIPE

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from memstore.store.indexes import (
    IndexedTable,
    IndexForm,
    IndexMethod,
    IndexOptions,
    IndexSelection,
    IndexTarget,
    build_indexes,
)
from tests.store.indexes.vectors import TENANT, fill, indexes, vectors
from tests.support import ROOT, raw_dsn

TARGET = IndexTarget(IndexedTable.MEMORY_NODES, 4)
WANTED = IndexForm(IndexMethod.HNSW, False)
ROWS = 1_500

# Builds one after the other, each in the place of the one before it, and makes it anew, as often as it can.
BUILDER = """
import asyncio, sys
from memstore.database import connecting
from memstore.store.indexes import (
    IndexedTable, IndexMethod, IndexOptions, IndexSelection, build_indexes, drop_indexes, rebuild_indexes
)

async def main():
    only = IndexSelection((IndexedTable.MEMORY_NODES,))
    async with connecting(sys.argv[1], application_name="builder to kill") as engine:
        async with engine.connect():  # stays in the pool
            print("ready", flush=True)
        while True:
            for method in (IndexMethod.HNSW, IndexMethod.IVFFLAT):
                for halfvec in (True, False):
                    await build_indexes(engine, only, IndexOptions(method, halfvec))
                    await rebuild_indexes(engine, only)
            await drop_indexes(engine, only)

asyncio.run(main())
"""
FIND = text("""
    SELECT array_agg(id ORDER BY score DESC) FROM memstore.hybrid_search(:tenant, NULL, CAST(:query AS vector), 10)
""")
TERMINATE = text("""
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'builder to kill'
""")


async def test_a_killed_builder_is_followed_by_one_that_finishes(engine: AsyncEngine) -> None:
    await kill_and_finish(engine, kills=3, chance=random.Random(1))


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(3))
async def test_a_builder_killed_thirty_times(engine: AsyncEngine, seed: int) -> None:
    await kill_and_finish(engine, kills=30, chance=random.Random(seed))


async def kill_and_finish(engine: AsyncEngine, kills: int, chance: random.Random) -> None:
    """Kill the builder, or end its sessions on the server; searches find the same before, in between and after."""
    await fill(engine, TARGET, ROWS)
    expected = await found(engine)
    assert len(expected) == 10
    for number in range(kills):
        builder = await asyncio.create_subprocess_exec(
            sys.executable, "-c", BUILDER, raw_dsn(engine.url), cwd=ROOT, stdout=PIPE, stderr=DEVNULL
        )
        assert builder.stdout is not None
        assert await builder.stdout.readline() == b"ready\n"
        await searched_for(engine, chance.uniform(0, 0.6), expected)
        assert builder.returncode is None
        if number % 2:
            async with engine.connect() as connection:
                assert (await connection.execute(TERMINATE)).all()
        else:
            builder.kill()
        assert await builder.wait() != 0
        assert await found(engine) == expected
        form = WANTED if number % 3 else IndexForm(IndexMethod.IVFFLAT, True)
        await build_indexes(engine, IndexSelection((TARGET.table,)), IndexOptions(form.method, form.halfvec))
        assert await indexes(engine) == {TARGET.name(form): True}
        assert await found(engine) == expected


async def searched_for(engine: AsyncEngine, seconds: float, expected: list[str]) -> None:
    """Search until that time is over, and find the same each time."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while loop.time() < end:
        assert await found(engine) == expected


async def found(engine: AsyncEngine) -> list[str]:
    query = json.dumps(vectors(1, TARGET.dimensions, seed=99)[0].tolist())
    async with engine.connect() as connection:
        ids: list[str] = await connection.scalar(FIND, {"tenant": TENANT, "query": query})
        return ids


async def test_two_builders_at_once(engine: AsyncEngine) -> None:
    """One waits for the other; whichever comes last has its way, and nothing else is left."""
    await fill(engine, TARGET, 200)
    only = IndexSelection((TARGET.table,))
    forms = [IndexForm(method, half) for method in (IndexMethod.HNSW, IndexMethod.IVFFLAT) for half in (True, False)]
    for _ in range(2):
        await asyncio.gather(*(build_indexes(engine, only, IndexOptions(form.method, form.halfvec)) for form in forms))
        (left,) = await indexes(engine)
        assert left in {TARGET.name(form) for form in forms}
