"""Memories to search, and what a search must find in them, computed in Python."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from math import isclose, log
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

Row = dict[str, Any]
Found = tuple[str, float, float | None, float | None, str]

TENANT, OTHER = UUID(int=1), UUID(int=2)
# Nothing that a stemmer changes, the first ones in most memories.
WORDS = [
    *("tea", "rain", "dog", "lamp", "river", "moon", "salt", "glass", "chair", "wolf"),
    *("plum", "iron", "silk", "drum", "fern", "coal", "jade", "moth", "opal", "quartz"),
]
DEFAULTS = {
    "tags": {},
    "metadata": {},
    "memory_type": "general",
    "neuro_type": "episodic",
    "importance": 5,
    "created_at": "2026-01-01T00:00:00Z",
}


@dataclass(frozen=True)
class Memory:
    """A row of memory_nodes: its words and its vector, and whatever else it has."""

    id: str
    words: tuple[str, ...]
    embedding: NDArray[np.float32] | None
    columns: Row = field(default_factory=dict)


def random_memories(count: int, width: int, clusters: int = 3, noise: float = 0.5) -> list[Memory]:
    """Make memories whose words are as unevenly used as words are, in clusters; each tenth has no vector."""
    rng = np.random.default_rng(7)
    centres = rng.standard_normal((clusters, width))
    vectors = centres[rng.integers(clusters, size=count)] + noise * rng.standard_normal((count, width))
    chosen = np.minimum(rng.zipf(1.4, (count, 6)) - 1, len(WORDS) - 1)
    return [
        Memory(
            f"mem_{number:05}",
            tuple(sorted({WORDS[word] for word in chosen[number]})),
            None if number % 10 == 9 else vectors[number].astype(np.float32),
        )
        for number in range(count)
    ]


def as_vector(vector: Collection[float] | NDArray[Any] | None) -> str | None:
    return None if vector is None else "[" + ",".join(str(float(x)) for x in vector) + "]"


async def run(engine: AsyncEngine, *statements: str) -> None:
    async with engine.begin() as connection:
        for statement in statements:
            await connection.execute(text(statement))


async def add_tenant(engine: AsyncEngine, tenant: UUID = TENANT) -> None:
    await run(engine, f"INSERT INTO memstore.tenants (id, name) VALUES ('{tenant}', 'x') ON CONFLICT DO NOTHING")


async def insert(engine: AsyncEngine, memories: Collection[Memory], tenant: UUID = TENANT) -> None:
    """Insert memories, and their tenant if it is not there."""
    await add_tenant(engine, tenant)
    rows = [
        DEFAULTS
        | {"tenant_id": str(tenant), "id": each.id, "content": " ".join(each.words) or "of"}
        | {"embedding": as_vector(each.embedding)}
        | each.columns
        for each in memories
    ]
    names = ", ".join(dict.fromkeys(name for row in rows for name in row))
    statement = (
        f"INSERT INTO memstore.memory_nodes ({names}) "
        f"SELECT {names} FROM jsonb_populate_recordset(NULL::memstore.memory_nodes, CAST(:rows AS jsonb))"
    )
    async with engine.begin() as connection:
        await connection.execute(text(statement), {"rows": json.dumps(rows)})


async def call(connection: AsyncConnection, function: str, **arguments: object) -> Any:
    """Call a function of the search with named arguments, filters as a dictionary."""
    arguments = {"tenant": TENANT} | arguments
    casts = {"query_embedding": "vector", "filters": "jsonb", "tenant": "uuid", "of_user": "uuid", "query_text": "text"}
    values = {
        name: json.dumps(value)
        if name == "filters"
        else as_vector(value)  # type: ignore[arg-type]
        if name == "query_embedding" and not isinstance(value, str | None)
        else value
        for name, value in arguments.items()
    }
    given = ", ".join(
        f"{name} => CAST(:{name} AS {casts.get(name, 'text')})" if name in casts else f"{name} => :{name}"
        for name in arguments
    )
    return await connection.execute(text(f"SELECT * FROM memstore.{function}({given})"), values)


async def search(engine: AsyncEngine, **arguments: object) -> list[Found]:
    async with engine.connect() as connection:
        return [tuple(row) for row in await call(connection, "hybrid_search", **arguments)]


async def explain(engine: AsyncEngine, **arguments: object) -> Row:
    async with engine.connect() as connection:
        return dict((await call(connection, "explain_search", **arguments)).scalar_one())


def expected(
    memories: Collection[Memory],
    words: Collection[str] = (),
    vector: NDArray[Any] | None = None,
    *,
    limit: int = 10,
    weights: tuple[float, float] = (0.7, 0.3),
    inside: Callable[[Memory], bool] = lambda _: True,
    live: Callable[[Memory], bool] = lambda _: True,
) -> list[Found]:
    """Compute what a search finds, as the formula says it."""
    counted = [each for each in memories if live(each)]
    held = Counter(word for each in counted for word in each.words)
    idf = {word: log(1 + (len(counted) - held[word] + 0.5) / (held[word] + 0.5)) for word in words}
    scope = [each for each in memories if inside(each)]
    cosine = {
        each.id: float(
            np.dot(each.embedding.astype(float), vector) / np.linalg.norm(each.embedding) / np.linalg.norm(vector)
        )
        for each in scope
        if vector is not None and each.embedding is not None
    }
    nearest = set(sorted(cosine, key=lambda id_: (-cosine[id_], id_))[: max(50, 5 * limit)])
    found: list[Found] = []
    for each in scope:
        near = cosine.get(each.id)
        coverage = sum(idf[word] for word in words if word in each.words) / sum(idf.values()) if words else None
        if each.id not in nearest and not coverage:
            continue
        if vector is None:
            score = coverage
        elif coverage is None:
            score = near
        else:
            score = (weights[0] * ((1 + near) / 2 if near is not None else 0) + weights[1] * coverage) / sum(weights)
        side = "both" if coverage and each.id in nearest else "text" if coverage else "vector"
        found.append((each.id, score or 0.0, near, coverage, side))
    return sorted(found, key=lambda row: (-round(row[1], 12), row[0]))[:limit]


def same(found: Collection[Found], wanted: Collection[Found]) -> bool:
    """Tell whether rows are the same, numbers but for what a vector of 32 bits makes of them."""
    return [(row[0], row[4]) for row in found] == [(row[0], row[4]) for row in wanted] and all(
        one == other or (one is not None and other is not None and isclose(one, other, abs_tol=1e-5))
        for row, right in zip(found, wanted, strict=True)
        for one, other in zip(row[1:4], right[1:4], strict=True)
    )
