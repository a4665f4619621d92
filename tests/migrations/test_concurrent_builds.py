from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from memstore.migrations import downgrade, status
from tests.support import ROOT, raw_dsn
from tests.tenants import seed

BELOW, BUILDS = "0016_migration_repairs", "0017_closed_sessions_index"
RUNNER = "import asyncio, sys; from memstore.migrations import upgrade; asyncio.run(upgrade(*sys.argv[1:]))"
WAITING = f"""
    SELECT (SELECT count(*) FROM pg_stat_progress_create_index) = 1
       AND (SELECT count(*) FROM pg_stat_activity WHERE application_name = 'memstore db') >= 2
       AND (SELECT version_num FROM memstore.alembic_version) = '{BELOW}'
"""


async def test_two_runners_while_an_index_is_built(engine: AsyncEngine, url: URL) -> None:
    await race(engine, url, rounds=2)


@pytest.mark.soak
async def test_two_runners_while_an_index_is_built_twenty_times(engine: AsyncEngine, url: URL) -> None:
    await race(engine, url, rounds=20)


async def race(engine: AsyncEngine, url: URL, rounds: int) -> None:
    """Hold the build of an index up by an open transaction until both runners are there, and then let it go on."""
    await seed(engine)
    for _ in range(rounds):
        await downgrade(engine, BELOW)
        async with engine.connect() as writer:
            await writer.execute(text("UPDATE memstore.sessions SET workspace = workspace"))
            runners = [
                await asyncio.create_subprocess_exec(
                    sys.executable, "-c", RUNNER, raw_dsn(url), BUILDS, cwd=ROOT, stderr=subprocess.PIPE
                )
                for _ in range(2)
            ]
            async with engine.connect() as watcher:
                while not await watcher.scalar(text(WAITING)):
                    assert [runner.returncode for runner in runners] == [None, None]
                    await watcher.rollback()
            await writer.commit()
        said = [(await runner.communicate())[1] for runner in runners]
        assert [runner.returncode for runner in runners] == [0, 0], said
    assert (await status(engine)).current == BUILDS
    async with engine.connect() as connection:
        steps = await connection.execute(
            text("SELECT direction, count(*) FROM memstore.migration_ledger WHERE revision = :revision GROUP BY 1"),
            {"revision": BUILDS},
        )
        assert {direction: count for direction, count in steps} == {"upgrade": rounds + 1, "downgrade": rounds}  # noqa: C416
        valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'memstore.ix_sessions_updated_at'::regclass"
        assert await connection.scalar(text(valid)) is True
