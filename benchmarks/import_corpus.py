"""How fast a corpus is imported, beside the limit and beside a loop of single-row INSERTs, in one run.

The limit is COPY, in binary, of the very same rows encoded beforehand, straight into the table with all its indexes:
no reading, no checking, no conflict. The loop calls asyncpg's `execute` for each row, which commits it, from values and
vectors that are ready too. Ratios are what counts: these numbers depend on the machine, the ratios hardly do.

Run: make bench, or python benchmarks/import_corpus.py [--nodes 100000] [--dim 1024]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import resource
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import perf_counter
from typing import Any
from uuid import UUID

import asyncpg
import numpy as np
from pgvector.asyncpg import register_vector
from sqlalchemy.ext.asyncio import AsyncEngine

from memstore import create_engine, embedded
from memstore.migrations import upgrade
from memstore.store import NewUser, create_user
from memstore.transfer import import_corpus
from memstore.transfer.corpus import Corpus, open_corpus
from memstore.transfer.decoding import COLUMNS as ALL_COLUMNS

SAMPLE = Path(__file__).resolve().parents[1] / "examples" / "corpus" / "nodes.json"
BATCH = 2_000
LOOP_ROWS = 30_000
COLUMNS = ALL_COLUMNS[: ALL_COLUMNS.index("user_id")]  # what an exchange has; whose it is comes first here


def make_corpus(folder: Path, nodes: int, dim: int) -> None:
    """Write a corpus of exchanges with the words and the lengths of the sample's, in random order."""
    chance = random.Random(1)  # noqa: S311
    sample = json.loads(SAMPLE.read_text(encoding="utf-8"))
    words = " ".join(f"{node['human_content']} {node['assistant_content']}" for node in sample).split()
    (folder / "corpus").mkdir()
    (folder / "vectors").mkdir()
    with (folder / "corpus" / "nodes.json").open("w", encoding="utf-8") as file:
        for i in range(nodes):
            texts = {name: " ".join(chance.choices(words, k=30)) for name in ("human_content", "assistant_content")}
            node = sample[i % len(sample)] | texts | {"id": f"mem_{i:016x}", "sequence_index": i}
            file.write(f"{',' if i else '['}{json.dumps(node, ensure_ascii=False)}\n")
        file.write("]")
    generator = np.random.default_rng(1)
    vectors = np.lib.format.open_memmap(
        folder / "vectors" / "nodes.npy", mode="w+", dtype=np.float32, shape=(nodes, dim)
    )
    for start in range(0, nodes, BATCH):
        part = vectors[start : start + BATCH]
        part[:] = generator.standard_normal(part.shape, dtype=np.float32)
    vectors.flush()


@asynccontextmanager
async def driver(engine: AsyncEngine) -> AsyncIterator[asyncpg.Connection]:
    """Open a bare asyncpg connection with the vector codec."""
    async with engine.connect() as connection:
        raw = await connection.get_raw_connection()
        bare: asyncpg.Connection = raw.driver_connection
        raw.detach()
        await register_vector(bare)
        yield bare


def batches(corpus: Corpus, nodes: int) -> Iterator[list[tuple[Any, ...]]]:
    for start in range(0, nodes, BATCH):
        rows = corpus.rows(start, range(min(BATCH, nodes - start)))
        yield [(*row[: len(COLUMNS)], row[-1]) for row in rows]


async def encode(engine: AsyncEngine, corpus: Corpus, owner: tuple[UUID, UUID], folder: Path) -> list[Path]:
    """Let the server itself encode the rows as binary COPY, one file for each batch."""
    files: list[Path] = []
    columns = ", ".join((*COLUMNS, "embedding"))
    async with driver(engine) as connection:
        await connection.execute(f"CREATE TEMP TABLE staging AS SELECT {columns} FROM memstore.memory_nodes LIMIT 0")
        for rows in batches(corpus, len(corpus)):
            await connection.execute("TRUNCATE staging")
            await connection.copy_records_to_table("staging", records=rows)
            files.append(folder / f"{len(files)}.copy")
            query = f"SELECT '{owner[0]}'::uuid, '{owner[1]}'::uuid, * FROM staging"
            await connection.copy_from_query(query, output=files[-1], format="binary")
    return files


async def time_limit(engine: AsyncEngine, files: list[Path]) -> float:
    columns = ["tenant_id", "user_id", *COLUMNS, "embedding"]
    async with driver(engine) as connection:
        started = perf_counter()
        for file in files:
            await connection.copy_to_table(
                "memory_nodes", schema_name="memstore", columns=columns, source=file, format="binary"
            )
        return perf_counter() - started


async def time_loop(engine: AsyncEngine, corpus: Corpus, owner: tuple[UUID, UUID], nodes: int) -> float:
    columns = ("tenant_id", "user_id", *COLUMNS, "embedding")
    places = ", ".join(f"${i + 1}" for i in range(len(columns)))
    query = f"INSERT INTO memstore.memory_nodes ({', '.join(columns)}) VALUES ({places})"
    async with driver(engine) as connection:
        prepared = [row for rows in batches(corpus, nodes) for row in rows]
        started = perf_counter()
        for row in prepared:
            await connection.execute(query, *owner, *row)
        return perf_counter() - started


async def fresh_owner(engine: AsyncEngine) -> tuple[UUID, UUID]:
    """Empty the tables, so that each way starts from nothing, and return the tenant and the user to write for."""
    async with driver(engine) as connection:
        await connection.execute("TRUNCATE memstore.tenants CASCADE")
        await connection.execute("CHECKPOINT")
    user_id, tenant_id = await create_user(engine, NewUser("bench@example.com"))
    return tenant_id, user_id


async def bench(folder: Path, nodes: int, dim: int) -> None:
    make_corpus(folder, nodes, dim)
    engine = create_engine(embedded.start(folder / "postgres"))
    await upgrade(engine, embedding_dim=dim)

    tenant_id, user_id = await fresh_owner(engine)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = await import_corpus(engine, folder, tenant_id=tenant_id, user_id=user_id)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert result.inserted == nodes

    corpus = open_corpus(folder)
    owner = await fresh_owner(engine)
    files = await encode(engine, corpus, owner, folder)
    limit = nodes / await time_limit(engine, files)

    owner = await fresh_owner(engine)
    loop = min(nodes, LOOP_ROWS) / await time_loop(engine, corpus, owner, min(nodes, LOOP_ROWS))
    await engine.dispose()

    files_mib = sum((folder / name).stat().st_size for name in ("corpus/nodes.json", "vectors/nodes.npy")) / 2**20
    print(f"{nodes:,} nodes of {dim:,} dimensions")
    print(f"  limit: COPY of encoded rows    {limit:8,.0f} rows/s")
    print(f"  memstore import corpus         {result.rows_per_second:8,.0f} rows/s")
    print(f"  loop of single-row INSERTs     {loop:8,.0f} rows/s")
    print(f"  importer / limit               {result.rows_per_second / limit:8.2f}    (at least 0.45)")
    print(f"  importer / loop                {result.rows_per_second / loop:8.1f}    (at least 5)")
    print(f"  peak memory of the process     {peak / 1024:8,.0f} MiB, {before / 1024:,.0f} before the import,")
    print(f"                                 {files_mib:8,.0f} MiB of them at most pages of the two mapped files")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--nodes", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=1_024)
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="memstore-bench-"))
    folder.chmod(0o755)
    try:
        asyncio.run(bench(folder, arguments.nodes, arguments.dim))
    finally:
        embedded.stop(folder / "postgres")
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
