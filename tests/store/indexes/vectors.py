"""Tables with vectors to index, and searches by the very expressions that an index is for."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import asyncpg
import numpy as np
from numpy.typing import NDArray
from pgvector.asyncpg import register_vector
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from memstore.store.indexes import IndexedTable, IndexForm, IndexMethod, IndexTarget
from tests.support import raw_dsn

TENANT, OTHER = UUID(int=7), UUID(int=8)
MODEL = "it's a model:v1.5"
FORMS = [IndexForm(method, half) for method in (IndexMethod.HNSW, IndexMethod.IVFFLAT) for half in (False, True)]

# What search asks for: the largest cosine, by the expression of the index, of rows that it is for.
_NEAREST = """
    SELECT {id} FROM memstore.{table} WHERE {rows} ORDER BY {key} <=> CAST('{query}' AS {type}) LIMIT 5
"""
_EXACT = "SELECT {id} FROM memstore.{table} WHERE {rows} ORDER BY (embedding <=> CAST('{query}' AS vector)) + 0 LIMIT 5"
_INDEXES = """
    SELECT c.relname::text AS name, i.indisvalid AS valid, obj_description(c.oid) AS comment
    FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid JOIN pg_am AS m ON m.oid = c.relam
    WHERE m.amname IN ('hnsw', 'ivfflat') ORDER BY 1
"""


def vectors(count: int, width: int, seed: int = 1) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((count, width)).astype(np.float32)


async def fill(engine: AsyncEngine, target: IndexTarget, count: int, tenant: UUID = TENANT, first: int = 0) -> None:
    """Add so many rows with vectors, all different, to what a target is for."""
    rows = list(enumerate(vectors(count, target.dimensions, seed=first + 1), first))
    columns = {
        IndexedTable.MEMORY_NODES: ["tenant_id", "id", "content", "embedding"],
        IndexedTable.EPISODIC_MEMORIES: ["tenant_id", "id", "embedding"],
        IndexedTable.EMBEDDINGS: ["tenant_id", "source_type", "source_id", "model", "content_hash", "embedding"],
    }[target.table]
    records: list[tuple[Any, ...]] = [
        {
            IndexedTable.MEMORY_NODES: (tenant, f"m{n}", "x", vector),
            IndexedTable.EPISODIC_MEMORIES: (tenant, f"m{n}", vector),
            IndexedTable.EMBEDDINGS: (tenant, "x", f"m{n}", target.model, n.to_bytes(32, "big"), vector),
        }[target.table]
        for n, vector in rows
    ]
    connection = await asyncpg.connect(raw_dsn(engine.url))
    try:
        await register_vector(connection)
        await connection.execute(
            "INSERT INTO memstore.tenants (id, name) VALUES ($1, 'x') ON CONFLICT DO NOTHING", tenant
        )
        if target.model is not None:
            await connection.execute(
                "INSERT INTO memstore.embedding_models (name, dimensions) VALUES ($1, $2) ON CONFLICT DO NOTHING",
                target.model,
                target.dimensions,
            )
        await connection.copy_records_to_table(
            target.table.value, schema_name="memstore", columns=columns, records=records
        )
    finally:
        await connection.close()


async def nearest(engine: AsyncEngine, target: IndexTarget, form: IndexForm | None) -> tuple[list[str], str]:
    """Return the rows nearest to one vector as an index of that form finds them, exactly for None; and the plan."""
    id_ = "source_id" if target.table is IndexedTable.EMBEDDINGS else "id"
    query = json.dumps(vectors(1, target.dimensions, seed=99)[0].tolist())
    rows = "true" if target.model is None else target.rows
    values = {"id": id_, "table": target.table.value, "rows": rows, "query": query}
    if form is None:
        statement = _EXACT.format(**values)
    else:
        type_ = f"{'halfvec' if form.halfvec else 'vector'}({target.dimensions})"
        key = "embedding" if target.model is None and not form.halfvec else f"(embedding::{type_})"
        statement = _NEAREST.format(**values, key=key, type=type_)
    async with engine.connect() as connection:
        driver = (await connection.get_raw_connection()).driver_connection
        assert driver is not None
        if form is not None:
            await driver.execute("SET enable_seqscan = off; SET enable_sort = off; SET ivfflat.probes = 100")
        plan = "\n".join(row[0] for row in await driver.fetch(f"EXPLAIN {statement}"))
        found = [row[0] for row in await driver.fetch(statement)]
        await driver.execute("RESET ALL")
    return found, plan


async def indexes(engine: AsyncEngine) -> dict[str, bool]:
    """Return the vector indexes that there are, and whether each is valid."""
    async with engine.connect() as connection:
        return {row.name: row.valid for row in await connection.execute(text(_INDEXES))}


async def comments(engine: AsyncEngine) -> dict[str, Any]:
    """Return what is written down beside each vector index."""
    async with engine.connect() as connection:
        return {
            row.name: json.loads(row.comment)
            for row in await connection.execute(text(_INDEXES))
            if row.comment is not None
        }
