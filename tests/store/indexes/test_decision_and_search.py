from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from memstore.store.indexes import IndexedTable, IndexTarget, Memory, Volume, choose

TARGET = IndexTarget(IndexedTable.MEMORY_NODES, 1_024)
PLENTY = Memory(2**40, "plenty")
ROWS = [100_000, 300_000, 1_000_000, 10_000_000]


def least_walked(rows: int) -> int:
    """Return how many memories the largest tenant needs for an index to be worth building."""
    least, enough = 0, rows
    while enough - least > 1:
        middle = (least + enough) // 2
        built = choose(TARGET, Volume(rows, middle), PLENTY, 1.0).form is not None
        least, enough = (least, middle) if built else (middle, enough)
    return enough


@pytest.mark.parametrize("rows", ROWS)
async def test_an_index_is_built_where_searches_would_walk_it(engine: AsyncEngine, rows: int) -> None:
    chosen = "SELECT plan FROM memstore.choose_vector_plan(:of, :of, :rows, 10, true, false)"
    edge = least_walked(rows)
    async with engine.connect() as connection:
        plans = [
            await connection.scalar(text(chosen), {"of": round(edge * times), "rows": rows}) for times in (0.85, 1.15)
        ]
    assert plans == ["bits", "index"], edge
