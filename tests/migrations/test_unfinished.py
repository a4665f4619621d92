from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from memstore.errors import MemstoreError
from memstore.migrations import check, downgrade, status, upgrade
from memstore.migrations.unfinished import Unfinished
from tests.cli.command import done
from tests.tenants import seed

BELOW, BUILDS = "0016_migration_repairs", "0017_closed_sessions_index"
NOTES = "SELECT count(*) FROM memstore.settings WHERE key = 'step_under_way'"
INDEX = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('memstore.ix_sessions_updated_at')"


async def interrupt(
    engine: AsyncEngine, *, upward: bool, below: str = BELOW, builds: str = BUILDS, table: str = "sessions"
) -> None:
    """Let a run of the step that builds or drops an index lose its session in the middle of that."""
    async with engine.connect() as writer:
        await writer.execute(text(f"UPDATE memstore.{table} SET tenant_id = tenant_id"))
        running = asyncio.create_task(upgrade(engine, builds) if upward else downgrade(engine, below))
        waiting = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        ended = None
        while not ended:
            async with engine.connect() as watcher:
                ended = await watcher.scalar(text(waiting))
        with pytest.raises(MemstoreError, match="the connection to .* was lost"):
            await running


async def ask(engine: AsyncEngine, query: str) -> object:
    async with engine.connect() as connection:
        return await connection.scalar(text(query))


@pytest.mark.parametrize("then_upward", [True, False])
@pytest.mark.parametrize("upward", [True, False])
async def test_an_interrupted_step_is_ended_or_taken_back(
    seeded: AsyncEngine, url: URL, upward: bool, then_upward: bool
) -> None:
    await downgrade(seeded, BELOW if upward else BUILDS)
    await interrupt(seeded, upward=upward)
    assert (await status(seeded)).unfinished == Unfinished(BUILDS, upward)
    way = "upgrade" if upward else "downgrade"
    assert f"unfinished  {BUILDS}: its {way} was interrupted" in await asyncio.to_thread(done, "db", "status", url=url)
    steps = (await (upgrade(seeded, BUILDS) if then_upward else downgrade(seeded, BELOW))).steps
    assert [step.direction for step in steps] == ([way] if upward == then_upward else [])
    assert (await status(seeded)).current == (BUILDS if then_upward else BELOW)
    assert await ask(seeded, INDEX) is (True if then_upward else None)
    assert await ask(seeded, NOTES) == 0
    assert (await check(seeded)).differences == ()


async def test_a_step_further_on_comes_after_it(engine: AsyncEngine) -> None:
    await seed(engine)
    await interrupt(engine, upward=False)
    steps = (await downgrade(engine, "0015_agent_stats")).steps
    assert [(step.revision, step.direction) for step in steps] == [(BUILDS, "downgrade"), (BELOW, "downgrade")]
    await upgrade(engine)
    await downgrade(engine, BELOW)
    await interrupt(engine, upward=True)
    steps = (await downgrade(engine, "0015_agent_stats")).steps
    assert [(step.revision, step.direction) for step in steps] == [(BELOW, "downgrade")]
    assert await ask(engine, INDEX) is None


@pytest.mark.parametrize("upward", [True, False])
async def test_what_shares_the_transaction_of_the_stamp_is_not_taken_back(engine: AsyncEngine, upward: bool) -> None:
    below, builds = "0026_embedding_similarity", "0027_hybrid_embeddings"
    await downgrade(engine, below if upward else builds)
    await interrupt(engine, upward=upward, below=below, builds=builds, table="embeddings")
    await (downgrade(engine, below) if upward else upgrade(engine, builds))
    assert (await status(engine)).current == (below if upward else builds)
    assert (await check(engine)).differences == ()
    await upgrade(engine)
    assert (await check(engine)).differences == ()
