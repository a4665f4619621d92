from __future__ import annotations

import asyncio
from time import monotonic

import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from memstore.database import create_engine
from memstore.errors import MigrationError, ServerUnreachableError
from memstore.migrations import downgrade, status, upgrade
from memstore.settings import Settings
from tests.support import Server, dump

PATIENT = Settings(lock_timeout_ms=50, lock_retries=20)
IMPATIENT = Settings(lock_timeout_ms=50, lock_retries=2)
BLOCKED_RUNNER = """
    SELECT pid FROM pg_stat_activity
    WHERE application_name = 'memstore db' AND wait_event_type = 'Lock' AND datname = current_database()
"""

# As slow as may be: a page, and then a rest.
SLOW_AUTOVACUUM = """
    ALTER TABLE memstore.tenants SET (autovacuum_vacuum_threshold = 0, autovacuum_vacuum_scale_factor = 0,
        autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1)
"""


async def test_a_busy_table_is_tried_again_until_it_is_free(engine: AsyncEngine, url: URL) -> None:
    await downgrade(engine, "0004_memory_nodes")
    reader = create_engine(url)
    async with reader.connect() as connection:
        await connection.execute(text("SELECT FROM memstore.memory_nodes"))
        migrating = asyncio.create_task(downgrade(engine, "-1", settings=PATIENT))
        started, turns = monotonic(), 0
        while monotonic() - started < 1.5:  # within the pause of a second
            await asyncio.sleep(0.01)
            turns += 1
        assert turns > 25  # a migration that waits lets others on this event loop go on
        assert not migrating.done()
        await connection.rollback()
        result = await migrating
    await reader.dispose()
    assert [step.revision for step in result.steps] == ["0004_memory_nodes"]
    assert (await status(engine)).current == "0003_agents_sessions"


async def test_an_autovacuum_gives_way(engine: AsyncEngine, server: Server) -> None:
    await downgrade(engine, "0004_memory_nodes")
    async with engine.begin() as connection:
        await connection.execute(
            text("INSERT INTO memstore.tenants (name) SELECT n FROM generate_series(1, 20000) AS n")
        )
    async with engine.begin() as connection:
        await connection.execute(text("DELETE FROM memstore.tenants"))
        await connection.execute(text(SLOW_AUTOVACUUM))
    server.execute("ALTER SYSTEM SET autovacuum_naptime = '1s'", "SELECT pg_reload_conf()")
    vacuuming = False
    while not vacuuming:
        async with engine.connect() as watcher:
            vacuuming = bool(await watcher.scalar(text("SELECT count(*) FROM pg_stat_progress_vacuum")))
    server.execute("ALTER SYSTEM RESET autovacuum_naptime", "SELECT pg_reload_conf()")
    await downgrade(engine, "0001_foundation", settings=Settings(lock_timeout_ms=50, lock_retries=3))


async def test_a_deadlock_is_tried_again(engine: AsyncEngine, url: URL) -> None:
    """The other one waits for the migration's lock, too patiently to notice: it is the migration that gives way."""
    await downgrade(engine, "0004_memory_nodes")
    other = create_engine(url)
    async with other.connect() as connection:
        await connection.execute(text("SET deadlock_timeout = '1min'"))
        await connection.execute(text("SELECT FROM memstore.memory_nodes"))
        migrating = asyncio.create_task(
            downgrade(url, "0003_agents_sessions", settings=Settings(lock_timeout_ms=60_000))
        )
        async with engine.connect() as watcher:
            while not await watcher.scalar(text(BLOCKED_RUNNER)):
                await watcher.rollback()
        await connection.execute(text("SELECT FROM memstore.agents"))
        assert not migrating.done()
        await connection.rollback()
        assert [step.revision for step in (await migrating).steps] == ["0004_memory_nodes"]
    await other.dispose()


async def test_giving_up_names_who_is_in_the_way_and_keeps_the_steps_before(
    engine: AsyncEngine, url: URL, caplog: pytest.LogCaptureFixture
) -> None:
    reader = create_engine(url, application_name="long report")
    async with reader.connect() as connection, engine.connect() as innocent:
        await connection.execute(text("SELECT FROM memstore.settings"))
        pid = await connection.scalar(text("SELECT pg_backend_pid()"))
        await innocent.execute(text("SELECT FROM pg_class"))
        started = monotonic()
        with pytest.raises(
            MigrationError, match="downgrade 0001_foundation -> : no lock within 50 ms, 3 times"
        ) as raised:
            await downgrade(engine, "base", settings=IMPATIENT)
        assert f"in use by pid {pid} (long report, idle in transaction): SELECT pg_backend_pid()." in str(raised.value)
        assert monotonic() - started > 0.25 + 0.5
    pauses = [message.rpartition("; ")[2] for message in caplog.messages if "downgrade 0001_foundation" in message]
    assert pauses == ["trying again in 0.25 s", "trying again in 0.50 s"]
    await reader.dispose()
    assert (await status(engine)).current == "0001_foundation"
    await upgrade(engine)
    assert (await status(engine)).pending == ()


async def test_a_relative_target_is_counted_from_where_the_run_began(engine: AsyncEngine, url: URL) -> None:
    """-4 is four steps in all, also for an attempt that finds three of them taken."""
    await downgrade(engine, "0004_memory_nodes")
    reader = create_engine(url)
    async with reader.connect() as connection:
        await connection.execute(text("SELECT FROM memstore.settings"))
        migrating = asyncio.create_task(downgrade(engine, "-4", settings=PATIENT))
        while (await status(engine)).current != "0001_foundation":
            await asyncio.sleep(0.02)
        await connection.rollback()
        assert len((await migrating).steps) == 4
    await reader.dispose()


async def test_the_lock_timeout_of_a_pooled_connection_is_put_back(url: URL) -> None:
    engine = create_engine(url, pool_size=1, max_overflow=0)
    async with engine.begin() as connection:
        await connection.execute(text("SET lock_timeout = '7s'"))
    await upgrade(engine, settings=PATIENT)
    async with engine.connect() as connection:
        assert await connection.scalar(text("SHOW lock_timeout")) == "7s"
        locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
        assert await connection.scalar(text(locks)) == 0
    await engine.dispose()


async def test_a_terminated_runner_is_followed_by_one_that_finishes(engine: AsyncEngine, url: URL) -> None:
    await downgrade(engine, "0004_memory_nodes")
    expected = dump(url)
    reader = create_engine(url)
    async with reader.connect() as connection:
        await connection.execute(text("SELECT FROM memstore.memory_nodes"))
        migrating = asyncio.create_task(downgrade(url, "base", settings=Settings(lock_timeout_ms=60_000)))
        await _terminate_blocked_runner(engine)
        with pytest.raises(ServerUnreachableError, match="connection .* was lost"):
            await migrating
    await reader.dispose()
    assert dump(url) == expected
    await downgrade(engine, "base")
    await upgrade(engine, "0004_memory_nodes", embedding_dim=4)
    assert dump(url) == expected


async def _terminate_blocked_runner(engine: AsyncEngine) -> None:
    terminate = BLOCKED_RUNNER.replace("pid", "pg_terminate_backend(pid)", 1)
    terminated = None
    while not terminated:  # a connection each time: within one transaction pg_stat_activity stands still
        async with engine.connect() as connection:
            terminated = await connection.scalar(text(terminate))
