from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncEngine

from memstore.errors import MigrationError, SchemaMismatchError
from memstore.migrations import downgrade, render_sql, status, upgrade
from memstore.migrations.scripts import revisions
from tests.cli.command import psql
from tests.support import Server, dump


async def test_upgrade_applies_each_revision_once(empty_engine: AsyncEngine) -> None:
    first = await upgrade(empty_engine, embedding_dim=8)
    second = await upgrade(empty_engine)
    assert tuple(step.revision for step in first.steps) == revisions()
    assert second.steps == ()


async def test_downgrade_to_base_leaves_nothing_but_the_extension(empty_engine: AsyncEngine) -> None:
    await upgrade(empty_engine)
    await downgrade(empty_engine, "base")
    async with empty_engine.connect() as connection:
        schemas = await connection.scalars(text("SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_'"))
        assert sorted(schemas) == ["information_schema", "public"]
        extensions = await connection.scalars(text("SELECT extname FROM pg_extension"))
        assert sorted(extensions) == ["plpgsql", "vector"]


async def test_downgrade_to_base_keeps_what_others_put_into_the_schema(empty_engine: AsyncEngine) -> None:
    await upgrade(empty_engine)
    async with empty_engine.begin() as connection:
        await connection.execute(text("CREATE TABLE memstore.theirs (id integer)"))
    await downgrade(empty_engine, "base")
    async with empty_engine.connect() as connection:
        tables = await connection.scalars(
            text("SELECT relname FROM pg_class WHERE relnamespace = 'memstore'::regnamespace")
        )
        assert list(tables) == ["theirs"]


async def test_up_down_and_up_ends_where_up_alone_does(empty_engine: AsyncEngine, empty_url: URL, url: URL) -> None:
    await upgrade(empty_engine, embedding_dim=4)
    await downgrade(empty_engine, "base")
    await upgrade(empty_engine, embedding_dim=4)
    assert dump(empty_url) == dump(url)


async def test_the_rendered_sql_builds_the_same_schema(server: Server, empty_url: URL, url: URL) -> None:
    psql(server, empty_url, render_sql(embedding_dim=4))
    assert dump(empty_url) == dump(url)
    found = await status(empty_url)
    assert (found.current, found.embedding_dim) == (revisions()[-1], 4)
    assert [step.revision for step in found.history] == list(revisions())


async def test_the_rendered_sql_goes_down_too(server: Server, url: URL, engine: AsyncEngine) -> None:
    psql(server, url, render_sql("head", "base"))
    async with engine.connect() as connection:
        assert await connection.scalar(text("SELECT to_regnamespace('memstore')")) is None


def test_rendering_an_unknown_revision_names_those_there_are() -> None:
    with pytest.raises(MigrationError, match="no revision 'nonsense'. There are: base, 0001_foundation"):
        render_sql("base", "nonsense")


async def test_an_unknown_revision_changes_nothing(engine: AsyncEngine) -> None:
    with pytest.raises(MigrationError, match="cannot go to 'nonsense'"):
        await upgrade(engine, "nonsense")
    assert (await status(engine)).pending == ()


async def test_the_first_upgrade_sets_the_width_and_the_database_keeps_it(empty_engine: AsyncEngine) -> None:
    await upgrade(empty_engine, "0001_foundation", embedding_dim=8)
    with pytest.raises(SchemaMismatchError, match="holds embeddings of 8 dimensions, 16 were asked for"):
        await upgrade(empty_engine, embedding_dim=16)
    assert (await status(empty_engine)).current == "0001_foundation"
    await upgrade(empty_engine)
    async with empty_engine.connect() as connection:
        types = await connection.scalars(
            text("""
                SELECT format_type(atttypid, atttypmod) FROM pg_attribute
                WHERE attrelid = 'memstore.memory_nodes'::regclass AND attname LIKE 'embedding%'
                  AND attname <> 'embedding_model' ORDER BY attname
            """)
        )
        assert list(types) == ["vector(8)", "bit(8)"]


async def test_a_failed_first_upgrade_leaves_nothing(empty_engine: AsyncEngine) -> None:
    async with empty_engine.begin() as connection:
        await connection.execute(text("CREATE SCHEMA memstore"))
        await connection.execute(text("CREATE TABLE memstore.migration_ledger (id integer)"))  # in the way of 0001
    with pytest.raises(ProgrammingError, match='relation "migration_ledger" already exists'):
        await upgrade(empty_engine, embedding_dim=8)
    async with empty_engine.connect() as connection:
        assert await connection.scalar(text("SELECT to_regclass('memstore.alembic_version')")) is None
        assert await connection.scalar(text("SELECT to_regclass('memstore.settings')")) is None
        assert await connection.scalar(text("SELECT count(*) FROM memstore.migration_ledger")) == 0
