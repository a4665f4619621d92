"""What `memstore db check` costs on the whole schema, beside a bare `alembic current` on the same database.

Each in a process of its own, in turns, from its start to its end; the smallest of the times is compared. In a second
table, what the description of the schema costs by itself, on a connection that is open.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

from memstore import create_engine, embedded
from memstore.migrations import read_catalog, upgrade

ROUNDS = 10
ROOT = Path(__file__).resolve().parents[1]
CURRENT = ("-m", "alembic", "current")
CHECK = ("-m", "memstore", "db", "check")


def seconds(arguments: tuple[str, ...], database_url: str) -> float:
    """Return how long a command takes, which must succeed."""
    started = perf_counter()
    subprocess.run(  # noqa: S603
        [sys.executable, *arguments],
        check=True,
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": database_url},
        stdin=subprocess.DEVNULL,
        capture_output=True,
    )
    return perf_counter() - started


async def catalog_seconds(database_url: str) -> float:
    engine = create_engine(database_url)
    times = []
    async with engine.connect() as connection:
        for _ in range(ROUNDS):
            started = perf_counter()
            await connection.run_sync(read_catalog)
            times.append(perf_counter() - started)
    await engine.dispose()
    return min(times)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="memstore-bench-") as folder:
        Path(folder).chmod(0o755)  # the server runs as a system user
        try:
            url = embedded.start(Path(folder) / "data")
            dsn = url.set(drivername="postgresql").render_as_string(hide_password=False)
            asyncio.run(upgrade(url))
            rounds = [(seconds(CURRENT, dsn), seconds(CHECK, dsn)) for _ in range(ROUNDS)]
            catalog = asyncio.run(catalog_seconds(dsn))
        finally:
            embedded.stop(Path(folder) / "data")
    current, check = (min(times) for times in zip(*rounds, strict=True))
    print(f"alembic current      {current * 1000:6.0f} ms")
    print(f"memstore db check    {check * 1000:6.0f} ms")
    print(f"ratio                {check / current:6.2f}    (at most 3)")
    print(f"read_catalog alone   {catalog * 1000:6.0f} ms")


if __name__ == "__main__":
    main()
