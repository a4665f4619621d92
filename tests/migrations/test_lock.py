from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from contextlib import AsyncExitStack

import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from memstore.database import create_engine
from memstore.errors import MigrationLockError
from memstore.migrations import MigrationResult, status, upgrade
from memstore.migrations.lock import ADVISORY_LOCK, process_lock
from memstore.migrations.scripts import revisions
from memstore.settings import Settings
from tests.conftest import CreateDatabase
from tests.support import ROOT, raw_dsn

RUNNERS = 8
UPGRADE = (
    "import asyncio, sys; from memstore.migrations import upgrade; asyncio.run(upgrade(sys.argv[1], embedding_dim=8))"
)


async def _hold_lock(connection: AsyncConnection) -> int:
    await connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": ADVISORY_LOCK})
    pid: int = (await connection.scalars(text("SELECT pg_backend_pid()"))).one()
    await connection.commit()
    return pid


async def _waiting_runner_states(connection: AsyncConnection) -> set[str]:
    states = await connection.scalars(
        text("""
            SELECT state FROM pg_stat_activity WHERE application_name = 'memstore db' AND pid <> pg_backend_pid()
              AND query LIKE '%pg_try_advisory_lock%' -- while it connects, it may be in a transaction
        """)
    )
    await connection.commit()
    return set(states)


async def test_a_runner_that_waits_too_long_names_the_holder(
    empty_url: URL, empty_engine: AsyncEngine, create_database: CreateDatabase
) -> None:
    holder = create_engine(empty_url, application_name="nightly deploy")
    others = [create_engine(create_database(None)) for _ in range(3)]
    async with AsyncExitStack() as elsewhere:
        for other in others:  # the lock of another database is another lock
            await _hold_lock(await elsewhere.enter_async_context(other.connect()))
        connection = await elsewhere.enter_async_context(holder.connect())
        pid = await _hold_lock(connection)
        with pytest.raises(MigrationLockError, match=f"held by pid {pid} .nightly deploy.") as raised:
            await upgrade(empty_engine, settings=Settings(migration_wait_s=0.3))
        assert (raised.value.holder_pid, raised.value.holder_application) == (pid, "nightly deploy")
    for used in (holder, *others):
        await used.dispose()
    assert (await status(empty_engine)).current is None


async def test_a_runner_that_waits_too_long_for_another_thread_says_so(empty_engine: AsyncEngine) -> None:
    with process_lock(), pytest.raises(MigrationLockError, match="another thread .* migrating for 0.3 s") as raised:
        await upgrade(empty_engine, settings=Settings(migration_wait_s=0.3))
    assert (raised.value.holder_pid, raised.value.holder_application) == (None, None)
    assert (await status(empty_engine)).current is None
    await upgrade(empty_engine)


async def test_a_waiting_runner_has_no_transaction_open_and_goes_on_when_the_holder_is_done(empty_url: URL) -> None:
    """With one, CREATE INDEX CONCURRENTLY of the holder would wait for it, and the two would deadlock."""
    holder = create_engine(empty_url)
    async with holder.connect() as connection:
        await _hold_lock(connection)
        waiting = asyncio.create_task(upgrade(empty_url, embedding_dim=8))
        seen: set[str] = set()
        while not seen:
            await asyncio.sleep(0.01)
            seen = await _waiting_runner_states(connection)
        await connection.execute(text("CREATE TABLE public.t (a integer)"))
        await connection.commit()
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text("CREATE INDEX CONCURRENTLY ON public.t (a)"))
        for _ in range(50):
            seen |= await _waiting_runner_states(connection)
            await asyncio.sleep(0.01)
        assert "idle in transaction" not in seen
        assert not waiting.done()
        await connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": ADVISORY_LOCK})
        assert len((await waiting).steps) == len(revisions())
    await holder.dispose()


async def test_runners_on_one_event_loop_wait_for_each_other(empty_engine: AsyncEngine) -> None:
    results = await asyncio.gather(*(upgrade(empty_engine, embedding_dim=8) for _ in range(RUNNERS)))
    assert _taken(results) == sorted(revisions())


async def test_two_databases_at_once_get_what_each_was_asked_for(create_database: CreateDatabase) -> None:
    asked = {create_database(None): dim for dim in (4, 8)}
    results = await asyncio.gather(*(upgrade(url, embedding_dim=dim) for url, dim in asked.items()))
    assert [len(result.steps) for result in results] == [len(revisions())] * 2
    for url, dim in asked.items():
        found = await status(url)
        assert (found.current, found.embedding_dim, len(found.history)) == (revisions()[-1], dim, len(revisions()))


def test_eight_threads_and_eight_processes_at_once(create_database: CreateDatabase) -> None:
    race_threads(create_database(None))
    race_processes(create_database(None))


@pytest.mark.soak
@pytest.mark.parametrize("_trial", range(20))
def test_eight_threads_and_eight_processes_at_once_again(create_database: CreateDatabase, _trial: int) -> None:
    race_threads(create_database(None))
    race_processes(create_database(None))


def race_threads(url: URL) -> None:
    results: list[MigrationResult] = []
    together = threading.Barrier(RUNNERS)

    def run() -> None:
        together.wait()
        results.append(asyncio.run(upgrade(url, embedding_dim=8)))

    threads = [threading.Thread(target=run) for _ in range(RUNNERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == RUNNERS
    assert _taken(results) == sorted(revisions())
    _assert_applied_once(url)


def race_processes(url: URL) -> None:
    command = [sys.executable, "-c", UPGRADE, raw_dsn(url)]
    runners = [subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) for _ in range(RUNNERS)]
    ended = [(runner.communicate()[1], runner.returncode) for runner in runners]
    assert ended == [("", 0)] * RUNNERS
    _assert_applied_once(url)


def _taken(results: list[MigrationResult]) -> list[str]:
    return sorted(step.revision for result in results for step in result.steps)


def _assert_applied_once(url: URL) -> None:
    found = asyncio.run(status(url))
    assert found.current == revisions()[-1]
    assert [step.revision for step in found.history] == list(revisions())
