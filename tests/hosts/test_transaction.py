"""Migrating in a transaction of the host's: all of it is in there, and all of it goes when the host rolls back."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, NullPool, create_engine, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from memstore import verify_schema
from memstore.errors import MigrationError, MigrationLockError
from memstore.migrations import downgrade, downgrade_to, status, upgrade, upgrade_to
from memstore.migrations.environment import Run
from memstore.migrations.lock import ADVISORY_LOCK
from memstore.migrations.scripts import revisions
from memstore.settings import Settings
from tests.support import ROOT, dump

HEAD = revisions()[-1]

CONCURRENT = '''"""Build an index outside of any transaction."""
from alembic import op

revision = "0099_concurrent"
down_revision = "{head}"


def upgrade():
    with op.get_context().autocommit_block():
        op.execute("CREATE INDEX CONCURRENTLY ix ON memstore.users (email)")
'''


async def settings_of(connection: AsyncConnection) -> tuple[str, ...]:
    names = ("lock_timeout", "search_path", "client_min_messages")
    return tuple([str(await connection.scalar(text(f"SHOW {name}"))) for name in names])


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
async def test_a_rollback_leaves_nothing_and_a_commit_everything(empty_url: URL, url: URL, driver: str) -> None:
    engine = create_async_engine(empty_url.set(drivername=f"postgresql+{driver}"))
    empty = dump(empty_url)
    async with engine.connect() as connection:
        before = await settings_of(connection)
        await connection.execute(text("CREATE TABLE public.users (id integer)"))
        assert len((await upgrade(connection, embedding_dim=4)).steps) == len(revisions())
        assert await settings_of(connection) == before
        await connection.rollback()
        assert dump(empty_url) == empty
        assert await settings_of(connection) == before
        await upgrade(connection, embedding_dim=4)
        await connection.commit()
        assert await settings_of(connection) == before
    await engine.dispose()
    assert dump(empty_url) == dump(url)
    await verify_schema(empty_url)
    assert [step.revision for step in (await status(empty_url)).history] == list(revisions())


async def test_it_goes_down_in_the_transaction_too(engine: AsyncEngine, url: URL) -> None:
    before = dump(url)
    async with engine.connect() as connection:
        await downgrade(connection, "base")
        assert await connection.scalar(text("SELECT to_regnamespace('memstore')")) is None
        await connection.rollback()
        assert dump(url) == before
        await downgrade(connection, "0003_agents_sessions")
        await connection.commit()
    assert (await status(url)).current == "0003_agents_sessions"


def test_a_sync_connection_is_migrated_alike(empty_url: URL, url: URL) -> None:
    engine = create_engine(empty_url.set(drivername="postgresql+psycopg"), poolclass=NullPool)
    with engine.begin() as connection:
        assert upgrade_to("0007_documents", connection, embedding_dim=4).steps[-1].revision == "0007_documents"
    with engine.begin() as connection:
        upgrade_to("head", connection)
        assert upgrade_to("0007_documents", connection).steps == ()  # where it is past it, it stays
    assert dump(empty_url) == dump(url)
    with engine.begin() as connection:
        downgrade_to("base", connection)
        assert connection.scalar(text("SELECT to_regnamespace('memstore')")) is None


async def test_settings_of_the_hosts_transaction_end_with_it(empty_engine: AsyncEngine) -> None:
    async with empty_engine.connect() as connection:
        session = await settings_of(connection)
        await connection.execute(text("SET LOCAL lock_timeout = '7s'"))
        await upgrade(connection, "0001_foundation")
        assert (await settings_of(connection))[0] == "7s"
        await connection.commit()
        assert await settings_of(connection) == session


async def test_after_a_refusal_the_hosts_transaction_goes_on(empty_engine: AsyncEngine) -> None:
    async with empty_engine.begin() as connection:
        await connection.execute(text("CREATE TABLE public.users (id integer)"))
        with pytest.raises(MigrationError, match="cannot go to 'nonsense'"):
            await upgrade(connection, "nonsense")
        await connection.execute(text("CREATE SCHEMA memstore CREATE TABLE tenants (id integer)"))  # in the way of 0002
        with pytest.raises(Exception, match='relation "tenants" already exists'):
            await upgrade(connection)
        assert (await settings_of(connection))[0] == "0"
    async with empty_engine.connect() as connection:
        assert await connection.scalar(text("SELECT to_regclass('public.users')::text")) == "users"
        assert await connection.scalar(text("SELECT to_regclass('memstore.settings')")) is None


async def test_a_busy_table_is_not_waited_for_twice(engine: AsyncEngine) -> None:
    async with engine.connect() as user, engine.connect() as connection:
        await user.execute(text("SELECT FROM memstore.memory_nodes"))
        with pytest.raises(
            MigrationError, match="no lock within 100 ms, and in your transaction it is not tried again"
        ):
            await downgrade(connection, "0003_agents_sessions", settings=Settings(lock_timeout_ms=100))
        assert await connection.scalar(text("SELECT 1")) == 1


async def test_a_connection_in_autocommit_is_refused(empty_engine: AsyncEngine) -> None:
    async with empty_engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        with pytest.raises(MigrationError, match=r"in AUTOCOMMIT.*engine.begin\(\)"):
            await upgrade(connection)
    assert (await status(empty_engine)).current is None


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
async def test_a_transaction_that_has_failed_is_to_be_rolled_back_first(empty_url: URL, driver: str) -> None:
    engine = create_async_engine(empty_url.set(drivername=f"postgresql+{driver}"))
    async with engine.connect() as connection:
        with pytest.raises(DBAPIError, match="division by zero"):
            await connection.execute(text("SELECT 1 / 0"))
        with pytest.raises(MigrationError, match=r"Nothing was done. Roll back first: connection.rollback\(\)"):
            await upgrade(connection, "0001_foundation")
        await connection.rollback()
        assert (await upgrade(connection, "0001_foundation")).steps
    await engine.dispose()


@pytest.mark.parametrize("wait_s", [0, 0.3])
async def test_another_runner_is_waited_for_and_named(empty_engine: AsyncEngine, wait_s: float) -> None:
    async with empty_engine.connect() as holder, empty_engine.connect() as connection:
        await holder.execute(text("SELECT pg_advisory_lock(:key)"), {"key": ADVISORY_LOCK})
        with pytest.raises(MigrationLockError, match="no migration lock within .* held by pid") as raised:
            await upgrade(connection, settings=Settings(migration_wait_s=wait_s))
        assert raised.value.holder_pid == await holder.scalar(text("SELECT pg_backend_pid()"))


async def test_others_wait_until_the_transaction_ends(empty_engine: AsyncEngine) -> None:
    async with empty_engine.connect() as connection:
        await upgrade(connection, "0001_foundation")
        with pytest.raises(MigrationLockError, match="held by pid"):
            await upgrade(empty_engine, settings=Settings(migration_wait_s=0.1))
        await connection.commit()
    assert len((await upgrade(empty_engine)).steps) == len(revisions()) - 1


async def test_a_revision_that_must_be_outside_of_a_transaction_says_so(engine: AsyncEngine, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "alembic", tmp_path / "alembic", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "alembic" / "versions" / "0099_concurrent.py").write_text(CONCURRENT.format(head=HEAD))

    def upgrade_on(connection: Connection) -> None:
        config = Config()
        config.set_main_option("script_location", str(tmp_path / "alembic"))
        config.set_main_option("path_separator", "os")
        config.attributes[Run.KEY] = Run(Settings(), connection=connection, callers_transaction=True)
        command.upgrade(config, "head")

    async with engine.connect() as connection:
        with pytest.raises(
            MigrationError, match=f"upgrade {HEAD} -> 0099_concurrent: .* on its own: memstore db upgrade"
        ):
            await connection.run_sync(upgrade_on)
        assert await connection.scalar(text("SELECT version_num FROM memstore.alembic_version")) == HEAD


async def test_a_hosts_database_url_is_not_looked_at(
    empty_engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql+psycopg2://app@db.example/app")
    async with empty_engine.begin() as connection:
        await upgrade(connection, "0001_foundation")
    assert (await upgrade(empty_engine)).steps
