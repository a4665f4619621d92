"""How long clients wait while the schema under them changes: safely, and the way Alembic does it by default.

Eight clients read and write memory_nodes and another table without pause, beside one that reads in long transactions.
Meanwhile `alembic upgrade` and `downgrade` go over revisions that use every safe operation, then over the same changes
written plainly (tests/migrations/operations/chain). What counts is the longest that a statement of a client took, above
the longest without any migration, and that none failed.

Run: make bench, or python -m benchmarks.migrate_under_load [--rows 500000] [--clients 8] [--quiet-s 20]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from statistics import quantiles
from time import monotonic
from uuid import UUID

import asyncpg

from benchmarks.load_clients import ROLE, Clients, Waits
from memstore import create_engine, embedded
from memstore.migrations import grant, upgrade
from tests.migrations.operations.checkout import LAST, checkout_with_chain
from tests.support import raw_dsn

TENANT = UUID(int=1)
LIMIT_S = 0.25
LONG_READ_S, BETWEEN_S = 10.0, 3.0

FILL = f"""
    INSERT INTO memstore.memory_nodes (tenant_id, id, content, importance, embedding, created_at)
    SELECT '{TENANT}', 'mem_' || lpad(to_hex(n), 16, '0'), 'memory ' || n || ' of many', 1 + n % 10,
           (ARRAY[n % 97, 1, n % 89, 3, n % 83, 5, n % 79, 7])::vector, now() - n * interval '1 second'
    FROM generate_series($1::int, $2::int) AS n
"""


async def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--quiet-s", type=float, default=20.0, help="how long to look without a migration")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="memstore-bench-"))
    folder.chmod(0o755)  # noqa: ASYNC240 -- the server runs as a system user
    try:
        url = embedded.start(folder / "data")
        return await measure(folder, raw_dsn(url), options)
    finally:
        embedded.stop(folder / "data")
        shutil.rmtree(folder)


async def measure(folder: Path, dsn: str, options: argparse.Namespace) -> int:
    ways = {}
    for way in ("safe", "plain"):
        (folder / way).mkdir()
        ways[way] = checkout_with_chain(folder / way, plain=way == "plain")
    await prepare(dsn, options.rows)
    await alembic(ways["safe"], dsn, "upgrade", "load_1_tables")
    connection = await asyncpg.connect(dsn)
    await connection.execute(f"GRANT SELECT, INSERT, UPDATE ON memstore.load_notes TO {ROLE}")
    await connection.execute("VACUUM ANALYZE")
    await connection.close()
    print(f"{options.rows} memories, {options.clients} clients, and one that reads {LONG_READ_S:g} s at a time\n")
    print("| | statements | errors | p99 ms | longest ms | above ms | took s |\n|---|---|---|---|---|---|---|")
    quiet = await under_load(dsn, options, asyncio.sleep(options.quiet_s), "no migration", 0.0)
    base, failed = quiet.longest[0], bool(quiet.errors)
    for way, direction in (("safe", "upgrade"), ("safe", "downgrade"), ("plain", "upgrade"), ("plain", "downgrade")):
        to = LAST if direction == "upgrade" else "load_1_tables"
        migration = alembic(ways[way], dsn, direction, to)
        waits = await under_load(dsn, options, migration, f"{way} {direction}", base)
        if way == "safe":
            failed |= bool(waits.errors) or waits.longest[0] - base > LIMIT_S
        for error in waits.errors[:3]:
            print(f"  {error}", file=sys.stderr)
    print(f"\nsafe: {'NOT ' if failed else ''}within {LIMIT_S * 1000:.0f} ms above, without errors")
    return int(failed)


async def prepare(dsn: str, rows: int) -> None:
    engine = create_engine(dsn)
    await upgrade(engine, embedding_dim=8)
    connection = await asyncpg.connect(dsn)
    await connection.execute(f"CREATE ROLE {ROLE}")
    await grant(engine, ROLE)
    await engine.dispose()
    await connection.execute(f"INSERT INTO memstore.tenants (id, name) VALUES ('{TENANT}', 'load')")
    for first in range(0, rows, 50_000):
        await connection.execute(FILL, first, min(rows, first + 50_000) - 1)
    await connection.close()


async def alembic(checkout: Path, dsn: str, *arguments: str) -> None:
    sync_dsn = dsn.replace("postgresql://", "postgresql+psycopg://", 1)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "alembic",
        *arguments,
        cwd=checkout,
        env=os.environ | {"DATABASE_URL": dsn, "PLAIN_URL": sync_dsn},
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()
    if process.returncode:
        raise SystemExit(f"alembic {' '.join(arguments)}: {said.decode()[-2000:]}")


async def under_load(
    dsn: str, options: argparse.Namespace, doing: asyncio.Future[None] | object, title: str, base: float
) -> Waits:
    clients = Clients(dsn, options.clients, TENANT, options.rows)
    clients.start()
    reader = asyncio.create_task(read_long(dsn))
    await asyncio.sleep(2)
    began = monotonic()
    await doing  # type: ignore[misc]
    took = monotonic() - began
    waits = await asyncio.to_thread(clients.stop)
    reader.cancel()
    with suppress(asyncio.CancelledError):
        await reader
    p99 = quantiles(waits.seconds, n=100)[98]
    longest, statement = waits.longest
    above = f"{(longest - base) * 1000:.0f}" if base else ""
    print(
        f"| {title} | {len(waits.seconds)} | {len(waits.errors)} | {p99 * 1000:.1f} | {longest * 1000:.0f} | {above} "
        f"| {took:.0f} |",
        flush=True,
    )
    print(f"  longest: {statement}", file=sys.stderr)
    return waits


async def read_long(dsn: str) -> None:
    """Read in one transaction after another, each of them long."""
    connection = await asyncpg.connect(dsn)
    try:
        while True:
            async with connection.transaction():
                await connection.fetch("SELECT id FROM memstore.memory_nodes LIMIT 1000")
                await asyncio.sleep(LONG_READ_S)
            await asyncio.sleep(BETWEEN_S)
    finally:
        await connection.close()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
