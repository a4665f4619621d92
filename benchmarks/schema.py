"""What the big tables cost: rows a second with their indexes, bytes a row, and what each index adds to both.

Rows are made beforehand, in a table without indexes or keys, and inserted from there by one statement: with all the
indexes, with none but the primary key, and with all but one, for each. An index costs what an insert saves without it.
Foreign keys, checks and generated columns are there in each. Medians over a few rounds, in turns, each measured against
an insert with all indexes just before; no checkpoint and no vacuum comes between. Ratios are what counts.

Run: make bench, or python benchmarks/schema.py [--rows 50000] [--dim 1024] [--rounds 3] [--table NAME]
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

import asyncpg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from memstore import create_engine, embedded
from memstore.migrations import upgrade

TENANTS, AGENTS, SESSIONS = 50, 10, 100

# Who the rows below belong to, each at random: n is the number of the row.
PEOPLE = f"""
    INSERT INTO memstore.tenants (id, name) SELECT memstore_id(1, n), 'x' FROM generate_series(1, {TENANTS}) AS n;
    INSERT INTO memstore.users (tenant_id, id, auth_provider, external_id)
    SELECT memstore_id(1, n), memstore_id(2, n), 'bench', n FROM generate_series(1, {TENANTS}) AS n;
    INSERT INTO memstore.agents (tenant_id, id, name)
    SELECT memstore_id(1, n), memstore_id(3, m), 'x'
    FROM generate_series(1, {TENANTS}) AS n, generate_series(1, {AGENTS}) AS m;
    INSERT INTO memstore.sessions (tenant_id, id, agent_id, expires_at)
    SELECT memstore_id(1, n), memstore_id(4, m), memstore_id(3, 1 + m % {AGENTS}), now()
    FROM generate_series(1, {TENANTS}) AS n, generate_series(1, {SESSIONS}) AS m;
    INSERT INTO memstore.documents (tenant_id, id, title)
    SELECT memstore_id(1, n), memstore_id(5, n), 'x' FROM generate_series(1, {TENANTS}) AS n
"""
TENANT = f"memstore_id(1, 1 + n % {TENANTS})"
USER = f"memstore_id(2, 1 + n % {TENANTS})"
AGENT = f"memstore_id(3, 1 + (random() * {AGENTS - 1})::int)"
SESSION = f"memstore_id(4, 1 + (random() * {SESSIONS - 1})::int)"
AGO = "now() - (1 - n::float / {rows}) * interval '30 days'"
WORDS = "words(30)"

# Columns of a row, as SQL.
TABLES: dict[str, dict[str, str]] = {
    "memory_nodes": {
        "tenant_id": TENANT,
        "user_id": USER,
        "agent_id": AGENT,
        "session_id": SESSION,
        "id": "'mem_' || lpad(to_hex(n), 16, '0')",
        "conversation_id": "'conversation ' || n / 20",
        "sequence_index": "n % 20",
        "human_content": WORDS,
        "assistant_content": WORDS,
        "tags": "jsonb_build_object('topics', jsonb_build_array(words(1), words(1)))",
        "decay_tier": "'long'",
        "created_at": AGO,
        "embedding": "vector({dim})",
    },
    "episodic_memories": {
        "tenant_id": TENANT,
        "user_id": USER,
        "id": "'episode ' || n",
        "summary": WORDS,
        "created_at": AGO,
        "embedding": "vector({dim})",
    },
    "document_chunks": {
        "tenant_id": TENANT,
        "document_id": f"memstore_id(5, 1 + n % {TENANTS})",
        "chunk_index": "n",
        "content": "words(100)",
    },
    "embeddings": {
        "tenant_id": TENANT,
        "source_type": "'document'",
        "source_id": "n",
        "model": "'bench'",
        "content": WORDS,
        "content_hash": "sha256(int8send(n))",
        "embedding": "vector({dim})",
    },
    "activities": {
        "tenant_id": TENANT,
        "agent_id": AGENT,
        "session_id": SESSION,
        "action": "'call'",
        "input": "jsonb_build_object('text', words(10))",
        "output": "jsonb_build_object('text', words(10))",
        "duration_ms": "(random() * 1000)::int",
        "cost": "random()::numeric(10, 6)",
        "created_at": AGO,
    },
    "metrics": {
        "tenant_id": TENANT,
        "agent_id": AGENT,
        "metric_name": "words(1)",
        "metric_type": "'gauge'",
        "value": "random()::numeric(20, 6)",
        "labels": "jsonb_build_object('tool', words(1), 'host', n % 10)",
        "timestamp": AGO,
    },
    "evaluations": {
        "tenant_id": TENANT,
        "agent_id": AGENT,
        "evaluator_type": "'rule'",
        "input": "jsonb_build_object('text', words(10))",
        "score": "random()::numeric(5, 4)",
        "created_at": AGO,
    },
    "feedback": {
        "tenant_id": TENANT,
        "agent_id": AGENT,
        "session_id": SESSION,
        "feedback_type": "'rating'",
        "description": WORDS,
        "created_at": AGO,
    },
    "memory_access_log": {
        "tenant_id": TENANT,
        "user_id": USER,
        "memory_id": "'mem_' || lpad(to_hex((random() * {rows})::int), 16, '0')",
        "access_type": "'read'",
        "accessed_at": AGO,
    },
    "search_metrics": {
        "tenant_id": TENANT,
        "search_type": "'hybrid'",
        "result_count": "10",
        "execution_time_ms": "random()",
        "created_at": AGO,
    },
}
WIDE = {"memory_nodes", "episodic_memories", "embeddings"}

HELPERS = """
    CREATE FUNCTION public.memstore_id(kind bigint, n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE
    AS $$ SELECT (lpad(to_hex(kind), 8, '0') || '-0000-0000-0000-' || lpad(to_hex(n), 12, '0'))::uuid $$;
    CREATE FUNCTION public.words(count integer) RETURNS text LANGUAGE sql VOLATILE
    AS $$ SELECT string_agg('word' || (power(random(), 3) * 5000)::int, ' ') FROM generate_series(1, count) $$;
    CREATE FUNCTION public.vector(dim integer) RETURNS vector LANGUAGE sql VOLATILE
    AS $$ SELECT array_agg(random() - 0.5)::vector FROM generate_series(1, dim) $$
"""
SECONDARY = """
    SELECT c.relname AS name, coalesce(k.conname IS NOT NULL, false) AS is_constraint FROM pg_index AS i
    JOIN pg_class AS c ON c.oid = i.indexrelid LEFT JOIN pg_constraint AS k ON k.conindid = c.oid AND k.contype = 'u'
    WHERE i.indrelid = $1::regclass AND NOT i.indisprimary ORDER BY c.relname
"""


@dataclass(frozen=True)
class Index:
    """An index beside the primary key."""

    name: str
    is_constraint: bool

    def drop(self, table: str) -> str:
        """Return the statement that drops it."""
        if self.is_constraint:
            return f"ALTER TABLE memstore.{table} DROP CONSTRAINT {self.name}"
        return f"DROP INDEX memstore.{self.name}"


async def quieten(engine: AsyncEngine) -> None:
    """Keep checkpoints and vacuums out of the measurements."""
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        for setting in ("max_wal_size = '32GB'", "checkpoint_timeout = '1d'", "autovacuum = off"):
            await connection.execute(text(f"ALTER SYSTEM SET {setting}"))
        await connection.execute(text("SELECT pg_reload_conf()"))


async def time_insert(connection: asyncpg.Connection, table: str, without: Sequence[Index]) -> tuple[float, list[int]]:
    """Insert all rows without some indexes; return the seconds it took, and the bytes of table and primary key."""
    transaction = connection.transaction()
    await transaction.start()
    for index in without:
        await connection.execute(index.drop(table))
    columns = ", ".join(TABLES[table])
    started = perf_counter()
    await connection.execute(f"INSERT INTO memstore.{table} ({columns}) SELECT {columns} FROM public.stage")
    seconds = perf_counter() - started
    sizes = await connection.fetchrow(
        "SELECT pg_table_size($1::regclass) AS heap, pg_relation_size($2::regclass) AS key",
        f"memstore.{table}",
        f"memstore.pk_{table}",
    )
    await transaction.rollback()
    await connection.execute(f"TRUNCATE memstore.{table} CASCADE")
    return seconds, list(sizes)


async def index_sizes(connection: asyncpg.Connection, table: str, indexes: Sequence[Index]) -> dict[str, int]:
    """Insert all rows, and return the bytes of each index."""
    columns = ", ".join(TABLES[table])
    await connection.execute(f"INSERT INTO memstore.{table} ({columns}) SELECT {columns} FROM public.stage")
    sizes = {
        index.name: await connection.fetchval("SELECT pg_relation_size($1::regclass)", f"memstore.{index.name}")
        for index in indexes
    }
    await connection.execute(f"TRUNCATE memstore.{table} CASCADE")
    return sizes


async def bench_table(connection: asyncpg.Connection, table: str, rows: int, dim: int, rounds: int) -> None:
    parts = ", ".join(f"{sql.format(rows=rows, dim=dim)} AS {name}" for name, sql in TABLES[table].items())
    await connection.execute("DROP TABLE IF EXISTS public.stage")
    await connection.execute(
        f"CREATE UNLOGGED TABLE public.stage AS SELECT {parts} FROM generate_series(1, {rows}) AS n"
    )
    found = await connection.fetch(SECONDARY, f"memstore.{table}")
    indexes = [Index(row["name"], row["is_constraint"]) for row in found]
    ways: dict[str, list[Index]] = {"none": indexes} | {index.name: [index] for index in indexes}
    seconds: list[float] = []
    shares: dict[str, list[float]] = {way: [] for way in ways}
    _, (heap, key) = await time_insert(connection, table, [])
    for _ in range(rounds):
        for way, without in ways.items():
            with_all, _ = await time_insert(connection, table, [])
            with_less, _ = await time_insert(connection, table, without)
            seconds.append(with_all)
            shares[way].append(with_less / with_all)
    sizes = await index_sizes(connection, table, indexes)
    total = (heap + key + sum(sizes.values())) / rows
    rate, share = rows / median(seconds), median(shares["none"])
    print(f"\n{table}: {rate:,.0f} rows/s, {share:.2f} of the rate without its indexes")
    print(f"  {total:8,.0f} bytes a row: {heap / rows:,.0f} table, {key / rows:,.0f} primary key, the rest below")
    for index in indexes:
        share = 1 - median(shares[index.name])
        print(f"  {sizes[index.name] / rows:8,.0f} bytes a row {share:6.0%} of the insert  {index.name}")


async def bench(folder: Path, rows: int, dim: int, rounds: int, tables: Sequence[str]) -> None:
    engine = create_engine(embedded.start(folder / "postgres"))
    await upgrade(engine, embedding_dim=dim)
    await quieten(engine)
    async with engine.connect() as owner:
        raw = await owner.get_raw_connection()
        connection: asyncpg.Connection = raw.driver_connection
        for statement in (HELPERS + ";" + PEOPLE).split(";\n"):
            await connection.execute(statement)
        await connection.execute("INSERT INTO memstore.embedding_models (name, dimensions) VALUES ('bench', $1)", dim)
        for table in tables:
            await bench_table(connection, table, rows // 5 if table in WIDE else rows, dim, rounds)
    await engine.dispose()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=50_000, help="a fifth of it where rows hold vectors")
    parser.add_argument("--dim", type=int, default=1_024)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--table", choices=TABLES, action="append", help="only this one, or these")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="memstore-bench-"))
    folder.chmod(0o755)
    try:
        asyncio.run(bench(folder, arguments.rows, arguments.dim, arguments.rounds, arguments.table or list(TABLES)))
    finally:
        embedded.stop(folder / "postgres")
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
