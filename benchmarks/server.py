"""What the benchmarks of searching share: a server that holds all in memory, tables filled by COPY, and how it is told.

The server is that of the extra `embedded`, with `shared_buffers` large enough for tables and indexes, without
autovacuum and without checkpoints in between; what is loaded is vacuumed and analysed before it is searched.
"""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import tempfile
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any
from uuid import UUID

import asyncpg
import numpy as np
from pgvector.asyncpg import register_vector

from memstore import create_engine, embedded
from memstore.migrations import upgrade
from memstore.store import MemoryStore, NewMemory
from memstore.store.indexes import IndexedTable, IndexMethod, IndexOptions, IndexSelection, build_indexes
from tests.support import raw_dsn

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator, Sequence

    from numpy.typing import NDArray
    from sqlalchemy.engine import URL

SETTINGS = {
    "max_wal_size": "'32GB'",
    "checkpoint_timeout": "'1d'",
    "autovacuum": "off",
    "maintenance_work_mem": "'2GB'",
    "jit": "off",
    "synchronous_commit": "off",
}


@contextmanager
def big_server(shared_buffers: str) -> Iterator[tuple[URL, Path]]:
    """Start a server that is gone when the block ends; yield its URL and a folder for files."""
    folder = Path(tempfile.mkdtemp(prefix="memstore-bench-"))
    folder.chmod(0o755)  # the server runs as a system user
    try:
        url = embedded.start(folder / "data")
        asyncio.run(_configure(url, SETTINGS | {"shared_buffers": f"'{shared_buffers}'"}))
        embedded.stop(folder / "data")
        yield embedded.start(folder / "data"), folder
    finally:
        embedded.stop(folder / "data")
        shutil.rmtree(folder, ignore_errors=True)


async def _configure(url: URL, settings: dict[str, str]) -> None:
    connection = await asyncpg.connect(raw_dsn(url))
    for name, value in settings.items():
        await connection.execute(f"ALTER SYSTEM SET {name} = {value}")
    await connection.close()


async def new_database(url: URL, name: str) -> URL:
    """Create an empty database and return its URL."""
    connection = await asyncpg.connect(raw_dsn(url))
    await connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()
    return url.set(database=name)


async def drop_database(url: URL, database: URL) -> None:
    """Drop a database again, so that the next has its memory."""
    connection = await asyncpg.connect(raw_dsn(url))
    await connection.execute(f"DROP DATABASE {database.database} WITH (FORCE)")
    await connection.close()


@asynccontextmanager
async def bare(url: URL) -> AsyncIterator[asyncpg.Connection]:
    """Open a connection of asyncpg with the codec for vectors."""
    connection = await asyncpg.connect(raw_dsn(url))
    try:
        if await connection.fetchval("SELECT true FROM pg_extension WHERE extname = 'vector'"):
            await register_vector(connection)
        yield connection
    finally:
        await connection.close()


def tenant_id(number: int) -> UUID:
    """Return the id of a tenant by its number, from 0."""
    return UUID(int=number + 1)


async def fill(url: URL, vectors: NDArray[Any], tenants: NDArray[Any], texts: Sequence[str]) -> None:
    """Migrate an empty database, and fill it with memories: the tenant of each by its number, its id by its place."""
    await upgrade(url, embedding_dim=vectors.shape[1])
    await make_tenants(url, np.unique(tenants).tolist())
    async with bare(url) as connection:
        for start in range(0, len(vectors), 5_000):
            places = range(start, min(start + 5_000, len(vectors)))
            await connection.copy_records_to_table(
                "memory_nodes",
                schema_name="memstore",
                columns=("tenant_id", "id", "content", "embedding"),
                records=[(tenant_id(int(tenants[i])), f"m{i}", texts[i], vectors[i]) for i in places],
            )


async def build(url: URL, *, halfvec: bool | None = None) -> tuple[str, float]:
    """Build the vector index of memories, HNSW, with all that search wants after a load; return its name, and seconds.

    `halfvec` None leaves it to the index manager.
    """
    engine = create_engine(url)
    try:
        options = IndexOptions(IndexMethod.HNSW, halfvec=halfvec)
        run = await build_indexes(engine, IndexSelection((IndexedTable.MEMORY_NODES,)), options)
    finally:
        await engine.dispose()
    return str(run.results[0].index), run.seconds


def memories_of(vectors: NDArray[Any], tenants: NDArray[Any], texts: Sequence[str]) -> dict[int, list[NewMemory]]:
    """Return what is to be added for each tenant; every tenth memory of all is of the source s0, and so on to s9."""
    found: dict[int, list[NewMemory]] = {int(number): [] for number in np.unique(tenants)}
    for place, number in enumerate(tenants.tolist()):
        found[number].append(
            NewMemory(id=f"m{place}", content=texts[place], source=f"s{place % 10}", embedding=vectors[place])
        )
    return found


async def make_tenants(url: URL, numbers: Iterable[int]) -> None:
    """Insert tenants by their numbers."""
    async with bare(url) as connection:
        await connection.executemany(
            "INSERT INTO memstore.tenants (id, name) VALUES ($1, $2)",
            [(tenant_id(number), str(number)) for number in numbers],
        )


async def load(store: MemoryStore, memories: dict[int, list[NewMemory]]) -> float:
    """Add memories through the store, 10,000 at most at once, and return how many seconds it took."""
    started = perf_counter()
    for number, of_tenant in memories.items():
        scope = store.scope(tenant_id(number))
        for start in range(0, len(of_tenant), 10_000):
            await scope.add_many(of_tenant[start : start + 10_000])
    return perf_counter() - started


def memory_place(memory: str) -> int:
    """Return the place of a memory, by its id."""
    return int(memory.removeprefix("m"))


def texts_of(rows: int, *, seed: int = 5, words: int = 30) -> list[str]:
    """Return texts whose words are as frequent as in a language (Zipf); one word is in every second of them."""
    chance = np.random.default_rng(seed)
    drawn = chance.zipf(1.3, (rows, words)) % 20_000
    half = chance.random(rows) < 0.5
    return [
        " ".join(f"word{each}" for each in of.tolist()) + (" everywhere" if common else "")
        for of, common in zip(drawn, half.tolist(), strict=True)
    ]


async def describe(url: URL) -> str:
    """Return on what it was measured, and when: one line of markdown."""
    async with bare(url) as connection:
        server = await connection.fetchval("SHOW server_version")
        buffers = await connection.fetchval("SHOW shared_buffers")
        extension = await connection.fetchval(
            "SELECT default_version FROM pg_available_extensions WHERE name = 'vector'"
        )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()}, Python {platform.python_version()}, "
        f"PostgreSQL {server} with pgvector {extension}, shared_buffers {buffers}. "
        f"{datetime.now(tz=UTC):%Y-%m-%d %H:%M} UTC"
    )


def ms(seconds: Sequence[float], percent: float = 50) -> float:
    """Return a percentile of durations, in milliseconds."""
    return float(np.percentile(seconds, percent)) * 1_000


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in markdown."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
