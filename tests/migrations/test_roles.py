"""Migrating as other roles than a superuser, and granting."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from alembic import command
from sqlalchemy import Connection, text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from memstore.database import create_engine
from memstore.errors import MigrationError, MigrationLockError, PermissionDeniedError, RequirementError
from memstore.migrations import downgrade, grant, plan_downgrade, render_sql, status, upgrade, verify_schema
from memstore.migrations.environment import Run
from memstore.migrations.lock import ADVISORY_LOCK, process_lock
from memstore.migrations.scripts import make_config
from memstore.settings import Settings
from tests.support import Server


@pytest.fixture
def owner_url(server: Server, empty_url: URL) -> Iterator[URL]:
    """An empty database that belongs to a role called memstore, which is no superuser."""
    server.execute("CREATE ROLE memstore LOGIN", f"ALTER DATABASE {empty_url.database} OWNER TO memstore")
    yield empty_url.set(username="memstore")
    server.execute(
        f"ALTER DATABASE {empty_url.database} OWNER TO postgres",
        f"DROP DATABASE {empty_url.database} WITH (FORCE)",
        f"CREATE DATABASE {empty_url.database}",
        "DROP ROLE memstore",
    )


async def create_extension(url: URL) -> None:
    engine = create_engine(url.set(username="postgres"))
    async with engine.begin() as connection:
        await connection.execute(text("CREATE EXTENSION vector"))
    await engine.dispose()


async def test_the_extension_is_not_created_in_the_schema_of_memstore(server: Server, owner_url: URL) -> None:
    """A superuser called memstore has a search path that begins with the schema memstore."""
    server.execute("ALTER ROLE memstore SUPERUSER")
    await upgrade(owner_url, embedding_dim=4)
    engine = create_engine(owner_url)
    async with engine.connect() as connection:
        schema = await connection.scalar(
            text("SELECT extnamespace::regnamespace::text FROM pg_extension WHERE extname = 'vector'")
        )
        assert schema == "public"
    await engine.dispose()
    await downgrade(owner_url, "base")
    assert (await status(owner_url)).current is None


async def test_nothing_is_left_to_generate_for_a_role_called_memstore(owner_url: URL) -> None:
    await create_extension(owner_url)
    await upgrade(owner_url, embedding_dim=4)
    engine = create_engine(owner_url)

    def check(connection: Connection) -> None:
        config = make_config()
        config.attributes[Run.KEY] = Run(Settings(), connection=connection)
        command.check(config)

    async with engine.connect() as connection:
        await connection.run_sync(check)
        assert "$user" in str(await connection.scalar(text("SHOW search_path")))
    await engine.dispose()


async def test_a_role_that_may_not_create_the_extension_is_told_who_can(owner_url: URL) -> None:
    with pytest.raises(RequirementError, match="may not create it. Run as a superuser: CREATE EXTENSION vector"):
        await upgrade(owner_url)
    await create_extension(owner_url)
    await upgrade(owner_url, embedding_dim=4)
    found = await status(owner_url)
    assert found.pending == ()
    assert {step.applied_by for step in found.history} == {"memstore"}


async def test_a_role_without_rights_on_the_database_is_told_what_it_needs(server: Server, owner_url: URL) -> None:
    await create_extension(owner_url)
    server.execute(f"ALTER DATABASE {owner_url.database} OWNER TO postgres")
    with pytest.raises(PermissionDeniedError, match="Run as its owner: GRANT CREATE ON DATABASE test_.* TO memstore"):
        await upgrade(owner_url)


async def test_a_schema_that_was_made_for_a_role_is_enough_and_is_left_to_who_made_it(
    server: Server, owner_url: URL
) -> None:
    await create_extension(owner_url)
    server.execute(f"ALTER DATABASE {owner_url.database} OWNER TO postgres")
    engine = create_engine(owner_url.set(username="postgres"))
    async with engine.begin() as connection:
        await connection.execute(text("CREATE SCHEMA memstore"))
        await connection.execute(text("GRANT USAGE, CREATE ON SCHEMA memstore TO memstore"))
    await upgrade(owner_url, embedding_dim=4)
    assert (await status(owner_url)).pending == ()
    await downgrade(owner_url, "base")
    async with engine.connect() as connection:
        left = "SELECT count(*) FROM pg_class WHERE relnamespace = 'memstore'::regnamespace"
        assert await connection.scalar(text(left)) == 0
    await engine.dispose()


async def test_the_extension_may_be_in_a_schema_off_the_search_path(empty_engine: AsyncEngine) -> None:
    async with empty_engine.begin() as connection:
        await connection.execute(text('CREATE SCHEMA "Their Extensions"'))
        await connection.execute(text('CREATE EXTENSION vector SCHEMA "Their Extensions"'))
    await upgrade(empty_engine, embedding_dim=4)
    assert (await status(empty_engine)).pending == ()


async def test_only_an_owner_grants(server: Server, engine: AsyncEngine, url: URL) -> None:
    first, second = f"first_{url.database}", f"second_{url.database}"
    server.execute(f"CREATE ROLE {first} LOGIN", f"CREATE ROLE {second} LOGIN")
    await grant(engine, first)
    with pytest.raises(PermissionDeniedError, match="only the owner of the schema memstore .* Connect as: postgres"):
        await grant(url.set(username=first), second)


async def test_a_grant_holds_where_functions_are_not_for_everybody(server: Server, empty_engine: AsyncEngine) -> None:
    role = f"app_{empty_engine.url.database}"
    server.execute(f"CREATE ROLE {role} LOGIN")
    async with empty_engine.begin() as connection:
        await connection.execute(text("ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC"))
    await upgrade(empty_engine, embedding_dim=4)
    await grant(empty_engine, role)
    application = create_engine(empty_engine.url.set(username=role))
    async with application.connect() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM memstore.memory_nodes")) == 0
    await application.dispose()


async def test_a_connection_handed_over_waits_for_nobody(empty_engine: AsyncEngine) -> None:
    def upgrade_on(connection: Connection) -> None:
        config = make_config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")

    async with empty_engine.connect() as holder, empty_engine.connect() as connection:
        await holder.execute(text("SELECT pg_advisory_lock(:key)"), {"key": ADVISORY_LOCK})
        with pytest.raises(Exception, match="no migration lock"):
            await connection.run_sync(upgrade_on)
    assert (await status(empty_engine)).current is None


def test_sql_is_not_rendered_while_alembic_is_at_work_in_this_process() -> None:
    with process_lock(), pytest.raises(MigrationLockError, match="a migration is under way in this process"):
        render_sql()


def test_the_width_must_be_told_where_there_is_a_database_that_has_one() -> None:
    with pytest.raises(MigrationError, match="the width of embeddings is needed.*--embedding-dim N"):
        render_sql("0003_agents_sessions", "head")
    assert "VECTOR(8)" in render_sql("0003_agents_sessions", "head", embedding_dim=8)


async def test_the_environment_says_how_wide_embeddings_are(
    empty_engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMSTORE_EMBEDDING_DIM", "8")
    await upgrade(empty_engine)
    assert (await status(empty_engine)).embedding_dim == 8
    monkeypatch.setenv("MEMSTORE_EMBEDDING_DIM", "16")
    with pytest.raises(Exception, match="embeddings of 8 dimensions, 16 were asked for"):
        await verify_schema(empty_engine)


async def test_what_was_dropped_by_hand_is_not_taken_for_a_missing_upgrade(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.execute(text("DROP VIEW memstore.agent_stats"))
    with pytest.raises(MigrationError, match="0015_agent_stats.*the database is not as its revision says"):
        await downgrade(engine, "0014_retention")
    assert (await status(engine)).current == "0015_agent_stats"


async def test_rows_that_their_owner_may_not_count_are_not_guessed(owner_url: URL) -> None:
    await create_extension(owner_url)
    await upgrade(owner_url, embedding_dim=4)
    engine = create_engine(owner_url)
    async with engine.begin() as connection:
        await connection.execute(text("ALTER TABLE memstore.users FORCE ROW LEVEL SECURITY"))
    with pytest.raises(
        MigrationError, match="forced on its owner too. Nothing was done. Type: ALTER TABLE .* NO FORCE"
    ):
        await plan_downgrade(engine, "base")
    await engine.dispose()
