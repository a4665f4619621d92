from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from memstore.database import create_engine
from memstore.errors import SchemaMismatchError
from memstore.migrations import MovedRows, check, downgrade, render_sql, status, upgrade
from memstore.migrations.scripts import revisions
from memstore.models import MIRROR_TRIGGERS
from memstore.settings import Settings
from tests.support import raw_dsn, server_program
from tests.tenants import NO_RIGHT, as_application, attempt

Walk = Callable[[AsyncEngine, URL], Awaitable[None]]
Rows = dict[str, list[str]]

MORE = (
    f"ALTER TABLE memstore.memory_nodes {', '.join(f'ENABLE TRIGGER {name}' for name in MIRROR_TRIGGERS)}",
    "ALTER TABLE memstore.memory_nodes DISABLE TRIGGER touch",
    "UPDATE memstore.memory_nodes SET embedding = '[0.1,-2,1e-30,4]', key = id, version = 7, "
    "updated_at = '2000-01-01', importance_decay = 0.1, metadata = '{\"a\": [1.10, null]}', expires_at = 'infinity'",
    "ALTER TABLE memstore.memory_nodes ENABLE TRIGGER touch",
    "UPDATE memstore.episodic_memories SET embedding = '[1,2,3,4]'",
    "UPDATE memstore.metrics SET value = 1.10",
    "DELETE FROM memstore.tenants WHERE name = 'nobody'",
    "INSERT INTO memstore.users (id, auth_provider, external_id) VALUES (gen_random_uuid(), 'test', 'alone')",
    "INSERT INTO memstore.migration_repairs (revision, problem, reason, package_version) "
    "VALUES ('x', 'changed', 'y', '1')",
    "INSERT INTO memstore.mirror_ledger (collection, physical, revision, checksum, event, package_version) "
    "VALUES ('x', 'y', 'z', 'ab', 'active', '1')",
)
TABLES = """
    SELECT relname FROM pg_class WHERE relnamespace = 'memstore'::regnamespace AND relkind = 'r'
    AND relname NOT IN ('alembic_version', 'migration_ledger')
"""


async def everything(engine: AsyncEngine) -> Rows:
    async with engine.connect() as connection:
        return {
            table: list(await connection.scalars(text(f"SELECT t::text FROM memstore.{table} AS t ORDER BY 1")))
            for table in await connection.scalars(text(TABLES))
        }


async def archived(engine: AsyncEngine) -> set[str]:
    async with engine.connect() as connection:
        names = "SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace('memstore_archive')"
        return set(await connection.scalars(text(names)))


async def run(engine: AsyncEngine, *statements: str) -> None:
    async with engine.begin() as connection:
        for statement in statements:
            await connection.exec_driver_sql(statement)


def psql(url: URL, script: str) -> None:
    command = [server_program("psql"), "-q", "-X", "-v", "ON_ERROR_STOP=1", "-d", raw_dsn(url)]
    done = subprocess.run(command, input=script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture
async def full(seeded: AsyncEngine) -> AsyncEngine:
    """A database with rows in each table."""
    await run(seeded, *MORE)
    return seeded


async def at_once(engine: AsyncEngine, _: URL) -> None:
    await downgrade(engine, "base")
    await upgrade(engine)


async def step_by_step(engine: AsyncEngine, _: URL) -> None:
    for _revision in revisions():
        await downgrade(engine, "-1")
    assert (await status(engine)).current is None
    for _revision in revisions():
        await upgrade(engine, "+1")


async def by_psql(_: AsyncEngine, url: URL) -> None:
    psql(url, render_sql("head", "base"))
    psql(url, render_sql("base", "head", embedding_dim=4))


async def in_one_transaction(engine: AsyncEngine, _: URL) -> None:
    async with engine.begin() as connection:
        await downgrade(connection, "base")
        await upgrade(connection, "0016_migration_repairs")
    await upgrade(engine)


@pytest.mark.parametrize("walk", [at_once, step_by_step, by_psql, in_one_transaction])
async def test_every_row_comes_back_as_it_was(full: AsyncEngine, url: URL, walk: Walk) -> None:
    before = await everything(full)
    assert [table for table, rows in before.items() if not rows] == []
    await walk(full, url)
    assert await everything(full) == before
    assert await archived(full) == set()
    assert (await check(full)).differences == ()


async def test_all_tables_with_rows_are_in_the_archive_and_counted(full: AsyncEngine) -> None:
    before = await everything(full)
    result = await downgrade(full, "base")
    assert await archived(full) == {f"memstore.{table}" for table in before if table != "settings"}
    moved = {each.name: each for step in result.steps for each in step.moved}
    assert {name: each.rows for name, each in moved.items()} == {
        f"memstore.{table}": len(rows) for table, rows in before.items() if table != "settings"
    }
    assert moved["memstore.users"] == MovedRows("archived", "memstore.users", 'memstore_archive."memstore.users"', 3)
    async with full.connect() as connection:
        assert await connection.scalar(text("SELECT to_regnamespace('memstore')")) is None


async def test_what_comes_back_has_the_width_it_had(full: AsyncEngine) -> None:
    await downgrade(full, "base")
    with pytest.raises(
        SchemaMismatchError, match=r"of 4 dimensions, .* 8 were asked for.*DROP SCHEMA memstore_archive"
    ):
        await upgrade(full, embedding_dim=8)
    await upgrade(full, embedding_dim=4)
    await downgrade(full, "base")
    await run(full, "DROP SCHEMA memstore_archive CASCADE")
    await upgrade(full, embedding_dim=8)
    assert (await status(full)).embedding_dim == 8


async def test_an_application_cannot_reach_what_is_archived(full: AsyncEngine) -> None:
    async with as_application(full) as application:
        role = str(application.url.username)
        await run(
            full, *(f"ALTER DEFAULT PRIVILEGES GRANT ALL ON {kind} TO {role}, PUBLIC" for kind in ("TABLES", "SCHEMAS"))
        )
        try:
            await downgrade(full, "0003_agents_sessions")
        finally:
            await run(
                full,
                *(
                    f"ALTER DEFAULT PRIVILEGES REVOKE ALL ON {kind} FROM {role}, PUBLIC"
                    for kind in ("TABLES", "SCHEMAS")
                ),
            )
        assert await attempt(application, None, 'SELECT FROM memstore_archive."memstore.memory_nodes"') == NO_RIGHT
        await run(full, f"GRANT USAGE ON SCHEMA memstore_archive TO {role}")
        assert await attempt(application, None, 'SELECT FROM memstore_archive."memstore.memory_nodes"') == NO_RIGHT
        await run(full, f"REVOKE USAGE ON SCHEMA memstore_archive FROM {role}")


async def test_rows_of_an_attempt_that_failed_are_not_counted(
    full: AsyncEngine, url: URL, caplog: pytest.LogCaptureFixture
) -> None:
    await downgrade(full, "0002_tenants_users")
    reader = create_engine(url)
    async with reader.connect() as connection:
        await connection.execute(text("SELECT FROM memstore.tenants"))
        patient = Settings(lock_timeout_ms=50, lock_retries=20)
        migrating = asyncio.create_task(downgrade(full, "-1", settings=patient))
        while "trying again" not in caplog.text:
            assert not migrating.done()
            await asyncio.sleep(0.01)
        await connection.rollback()
        [step] = (await migrating).steps
    await reader.dispose()
    assert [(each.name, each.rows) for each in step.moved] == [("memstore.users", 3), ("memstore.tenants", 3)]
