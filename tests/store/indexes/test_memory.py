from __future__ import annotations

import re

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from memstore.migrations import Progress, index_builder
from memstore.settings import Settings
from memstore.store.indexes import IndexedTable, IndexForm, IndexMethod, IndexTarget
from memstore.store.indexes.graph import CAREFUL, PLAIN, Graph
from memstore.store.indexes.memory import (
    clustering_bytes,
    graph_bytes,
    lists_for,
    lists_within,
    parse_memory,
    shown,
)
from tests.store.indexes.vectors import fill

TARGET = IndexTarget(IndexedTable.MEMORY_NODES, 4)

# Bytes a row in which pgvector 0.8.5 held graphs before it said that they no longer fit.
MEASURED = {
    (4, False, 16): 730,
    (4, False, 32): 1_242,
    (4, True, 16): 723,
    (384, False, 16): 2_251,
    (384, True, 16): 1_482,
    (1_024, False, 16): 4_818,
    (1_024, False, 32): 5_323,
    (1_024, True, 16): 2_765,
    (2_000, False, 16): 8_729,
    (2_000, True, 32): 5_227,
}


@pytest.mark.parametrize("kind", MEASURED)
def test_a_graph_is_as_large_as_was_measured(kind: tuple[int, bool, int]) -> None:
    dimensions, halfvec, m = kind
    assert graph_bytes(1_000, dimensions, halfvec=halfvec, m=m) / 1_000 == pytest.approx(MEASURED[kind], rel=0.02)


@pytest.mark.parametrize("graph", [PLAIN, CAREFUL])
async def test_a_graph_is_as_large_as_this_server_says(engine: AsyncEngine, graph: Graph) -> None:
    await fill(engine, TARGET, 2_500)
    said: list[Progress] = []
    async with index_builder(engine, Settings(), said.append) as builder:
        await builder.build(TARGET.index(IndexForm(IndexMethod.HNSW, False, graph=graph), "public"), memory="1MB")
    (advice,) = [progress.advice for progress in said if progress.advice is not None]
    rows = re.match(r"after (\d+) rows the graph no longer fits into maintenance_work_mem \(1MB\)", advice)
    assert rows is not None
    assert graph_bytes(int(rows[1]), 4, halfvec=False, m=graph.m) == pytest.approx(2**20, rel=0.05)


async def test_lists_take_as_much_as_this_server_says(engine: AsyncEngine) -> None:
    await fill(engine, TARGET, 2_000)
    needed = clustering_bytes(200, 2_000, 4, halfvec=False)
    create = (
        "CREATE INDEX probe ON memstore.memory_nodes USING ivfflat (embedding vector_cosine_ops) WITH (lists = 200)"
    )
    async with engine.begin() as connection:
        await connection.execute(text(f"SET LOCAL maintenance_work_mem = '{needed // 1024 + 1}kB'"))
        await connection.execute(text(create))
        await connection.execute(text("DROP INDEX memstore.probe"))
        await connection.execute(text(f"SET LOCAL maintenance_work_mem = '{needed * 24 // 25 // 1024}kB'"))
        with pytest.raises(DBAPIError, match="memory required is"):
            await connection.execute(text(create))


def test_how_many_lists_suit() -> None:
    rows = (0, 999, 1_000, 2_999, 1_000_000, 1_002_001, 4_000_000)
    assert [lists_for(each) for each in rows] == [1, 1, 1, 2, 1_000, 1_001, 2_000]
    just = clustering_bytes(200, 200_000, 1_024, halfvec=True)
    assert [lists_within(200_000, 1_024, memory, halfvec=True) for memory in (just, just - 1, 0)] == [200, 199, None]


@pytest.mark.parametrize(("words", "size"), [("64MB", 2**26), ("1 GB", 2**30), ("1024kB", 2**20), ("2TB", 2**41)])
def test_amounts_of_memory_are_read(words: str, size: int) -> None:
    assert parse_memory(words) == size


@pytest.mark.parametrize("words", ["", "64", "64 mb", "MB", "-1MB", "1.5GB", "64MB "])
def test_what_is_no_amount_of_memory_is_refused(words: str) -> None:
    with pytest.raises(ValueError, match="no amount of memory"):
        parse_memory(words)


def test_amounts_of_memory_in_words() -> None:
    assert [shown(size) for size in (0, 2**20 - 1, 2**20, 2**30 + 2**29)] == ["0 kB", "1,024 kB", "1 MB", "1.5 GB"]
