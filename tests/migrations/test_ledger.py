from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import Connection, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from memstore.errors import SchemaMismatchError
from memstore.migrations import downgrade, status, upgrade, verify_schema
from memstore.migrations.environment import Run
from memstore.migrations.scripts import make_config, revisions, script_location
from memstore.models import MigrationDirection
from memstore.settings import Settings
from memstore.version import __version__


def sha256_of(revision: str) -> str:
    content = Path(script_location(), "versions", f"{revision}.py").read_bytes()
    return hashlib.sha256(content).hexdigest()


async def test_each_step_is_written_with_who_what_and_how_long(engine: AsyncEngine) -> None:
    history = (await status(engine)).history
    assert [step.revision for step in history] == list(revisions())
    for step in history:
        assert step.direction is MigrationDirection.UPGRADE
        assert step.checksum == sha256_of(step.revision)
        assert (step.applied_by, step.package_version) == ("postgres", __version__)
        assert 0 <= step.duration_ms < 60_000
    assert [step.applied_at for step in history] == sorted(step.applied_at for step in history)


async def test_going_down_and_up_again_is_written_too(engine: AsyncEngine) -> None:
    below, before_head, head = revisions()[-3:]
    await downgrade(engine, below)
    await upgrade(engine, before_head)
    steps = [(step.direction, step.revision) for step in (await status(engine)).history[len(revisions()) :]]
    assert steps == [
        (MigrationDirection.DOWNGRADE, head),
        (MigrationDirection.DOWNGRADE, before_head),
        (MigrationDirection.UPGRADE, before_head),
    ]


async def test_a_step_and_its_row_are_one_transaction(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.execute(text("ALTER TABLE memstore.migration_ledger ADD CHECK (direction <> 'downgrade')"))
    with pytest.raises(DBAPIError, match="violates check constraint"):
        await downgrade(engine, "-1")
    assert (await status(engine)).current == revisions()[-1]


async def test_a_stamp_is_written_as_one(engine: AsyncEngine) -> None:
    def stamp(connection: Connection) -> None:
        config = make_config()
        config.attributes[Run.KEY] = Run(Settings(), connection=connection)
        command.stamp(config, "0003_agents_sessions")

    async with engine.connect() as connection:
        await connection.run_sync(stamp)
    last = (await status(engine)).history[-1]
    assert (last.direction, last.revision, last.checksum) == (MigrationDirection.STAMP, "0003_agents_sessions", None)


async def test_status_of_a_database_without_memstore(empty_engine: AsyncEngine) -> None:
    found = await status(empty_engine)
    assert (found.current, found.head, found.embedding_dim, found.history) == (None, revisions()[-1], None, ())
    assert found.pending == revisions()


async def test_status_half_way(empty_engine: AsyncEngine) -> None:
    await upgrade(empty_engine, "0002_tenants_users", embedding_dim=8)
    found = await status(empty_engine)
    assert (found.current, found.embedding_dim) == ("0002_tenants_users", 8)
    assert found.pending == revisions()[2:]


async def test_verify_schema_says_what_is_found_and_needed_and_the_command(
    empty_engine: AsyncEngine, empty_url: URL
) -> None:
    with pytest.raises(SchemaMismatchError, match="tables of memstore are missing.*Run: memstore db upgrade"):
        await verify_schema(empty_engine)
    await upgrade(empty_engine, "0002_tenants_users", embedding_dim=8)
    with pytest.raises(SchemaMismatchError, match=f"at 0002_tenants_users, .* needs {revisions()[-1]}") as raised:
        await verify_schema(empty_url)
    assert (raised.value.found, raised.value.needed) == ("0002_tenants_users", revisions()[-1])
    await upgrade(empty_engine)
    await verify_schema(empty_engine)
    await verify_schema(empty_engine, embedding_dim=8)
    with pytest.raises(SchemaMismatchError, match="embeddings of 8 dimensions, 16 were asked for"):
        await verify_schema(empty_engine, embedding_dim=16)
    async with empty_engine.begin() as connection:
        await connection.execute(text("UPDATE memstore.alembic_version SET version_num = '0999_later'"))
    with pytest.raises(SchemaMismatchError, match="at 0999_later, which this version of memstore does not know"):
        await verify_schema(empty_engine)
