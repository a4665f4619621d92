from __future__ import annotations

import asyncio
import json
import subprocess
from asyncio import to_thread
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from memstore.database import connecting
from memstore.errors import MigrationError, SchemaMismatchError
from memstore.migrations import check, read_catalog, upgrade
from memstore.migrations.catalog.reader import without_lone_prefix
from memstore.migrations.catalog.shipped import description_path
from memstore.migrations.check import compare_with, read_only
from memstore.migrations.scripts import revisions
from tests.cli.command import done, memstore
from tests.migrations.catalog.mutations_of_code import ALL_OF_THE_MIRROR_ON
from tests.support import Server, dump, server_program
from tests.tenants import as_application

HEAD = revisions()[-1]


@asynccontextmanager
async def locked_against_writes(engine: AsyncEngine) -> AsyncIterator[None]:
    """Hold locks on all tables of memstore, and of the catalog, that only ACCESS SHARE goes along with."""
    async with engine.connect() as holder:
        tables = await holder.scalars(
            text("""
                SELECT oid::regclass::text FROM pg_class
                WHERE relkind = 'r' AND (relnamespace = 'memstore'::regnamespace OR relname IN ('pg_class', 'pg_index'))
            """)
        )
        await holder.execute(text(f"LOCK TABLE ONLY {', '.join(tables.all())} IN EXCLUSIVE MODE"))
        yield


async def execute(engine: AsyncEngine, *statements: str) -> None:
    async with engine.begin() as connection:
        for statement in statements:
            await connection.execute(text(statement))


def test_there_is_a_description_beside_each_revision_and_no_other() -> None:
    folder = description_path(HEAD).parent
    assert sorted(path.stem for path in folder.iterdir()) == list(revisions())


async def test_a_database_restored_from_a_dump_does_not_differ(
    url: URL, seeded: AsyncEngine, empty_url: URL, empty_engine: AsyncEngine
) -> None:
    await execute(seeded, ALL_OF_THE_MIRROR_ON, "UPDATE memstore.memory_nodes SET importance = 9")
    command = [server_program("psql"), "-q", "-v", "ON_ERROR_STOP=1", "-h", str(url.query["host"]), "-U", "postgres"]
    script = server_program("pg_dump"), "-h", str(url.query["host"]), "-U", "postgres", str(url.database)
    dumped = subprocess.run(script, check=True, capture_output=True, text=True).stdout
    # The pg_dump of 18 sets what a server of 16 does not know.
    dumped = dumped.replace("SET transaction_timeout = 0;", "")
    restored = subprocess.run([*command, str(empty_url.database)], input=dumped, text=True, capture_output=True)
    assert restored.returncode == 0, restored.stderr
    assert (await check(empty_engine)).differences == ()
    async with seeded.connect() as one, empty_engine.connect() as other:
        assert await one.run_sync(read_catalog) == await other.run_sync(read_catalog)


async def test_check_writes_nothing_and_waits_for_nobody_who_writes(engine: AsyncEngine, url: URL) -> None:
    await execute(engine, "ALTER TABLE memstore.agents DROP COLUMN behavior_name")
    before = dump(url)
    async with locked_against_writes(engine):
        assert [each.object for each in (await check(engine)).differences] == ["column memstore.agents.behavior_name"]
    assert dump(url) == before


async def test_comparing_happens_in_a_read_only_transaction_under_access_share(engine: AsyncEngine) -> None:
    async with engine.connect() as connection, read_only(connection):
        await connection.run_sync(compare_with, HEAD)
        assert await connection.scalar(text("SHOW transaction_read_only")) == "on"
        assert await connection.scalar(text("SELECT pg_current_xact_id_if_assigned()")) is None
        modes = await connection.scalars(
            text("SELECT DISTINCT mode FROM pg_locks WHERE pid = pg_backend_pid() AND locktype <> 'virtualxid'")
        )
        assert modes.all() == ["AccessShareLock"]


async def test_an_index_is_no_difference_while_it_is_being_built(engine: AsyncEngine) -> None:
    build = "CREATE INDEX CONCURRENTLY mine ON memstore.agents (name)"
    async with engine.connect() as writer, engine.connect() as builder:
        await writer.execute(text("LOCK TABLE memstore.agents IN ROW EXCLUSIVE MODE"))
        await builder.execution_options(isolation_level="AUTOCOMMIT")
        building = asyncio.create_task(builder.exec_driver_sql(build))
        under_way = "SELECT count(*) FROM pg_stat_progress_create_index WHERE index_relid <> 0"
        async with engine.connect() as watcher:
            while not await watcher.scalar(text(under_way)):
                await watcher.rollback()
        assert (await check(engine)).differences == ()
        await writer.rollback()
        await building
    assert [each.object for each in (await check(engine)).differences] == ["index memstore.mine"]


async def test_a_second_revision_is_named(engine: AsyncEngine) -> None:
    await execute(engine, "INSERT INTO memstore.alembic_version VALUES ('0001_foundation')")
    with pytest.raises(SchemaMismatchError, match=f"at 2 revisions, 0001_foundation and {HEAD}.*DELETE FROM memstore"):
        await check(engine)


async def test_the_role_of_an_application_may_check(engine: AsyncEngine) -> None:
    async with as_application(engine) as application:
        assert (await check(application)).differences == ()
        await execute(engine, "ALTER TABLE memstore.agents DISABLE ROW LEVEL SECURITY")
        assert [each.object for each in (await check(application)).differences] == ["table memstore.agents"]


async def test_a_database_owned_by_a_role_of_its_own_does_not_differ(server: Server, empty_url: URL) -> None:
    owner = f"owner_of_{empty_url.database}"
    server.execute(f"CREATE ROLE {owner} LOGIN", f"ALTER DATABASE {empty_url.database} OWNER TO {owner}")
    async with connecting(empty_url) as superuser:
        await execute(superuser, "CREATE EXTENSION vector", "CREATE SCHEMA memstore")
        await execute(superuser, f"GRANT USAGE, CREATE ON SCHEMA memstore TO {owner}")
    async with connecting(empty_url.set(username=owner)) as engine:
        await upgrade(engine, embedding_dim=4)
        assert (await check(engine)).differences == ()
    async with connecting(empty_url) as superuser:
        await execute(superuser, f"DROP OWNED BY {owner} CASCADE")
        await execute(superuser, f"ALTER DATABASE {empty_url.database} OWNER TO postgres", f"DROP ROLE {owner}")


async def test_a_table_that_stays_locked_is_an_error_and_not_a_wait(engine: AsyncEngine) -> None:
    async with engine.connect() as holder:
        await holder.execute(text("LOCK TABLE memstore.agents IN ACCESS EXCLUSIVE MODE"))
        with pytest.raises(MigrationError, match="a table of memstore is locked, perhaps by a migration"):
            await check(engine)


async def test_where_memstore_is_not_there_is_nothing_to_check(empty_engine: AsyncEngine) -> None:
    with pytest.raises(SchemaMismatchError, match="no revision of memstore. Run: memstore db upgrade"):
        await check(empty_engine)


async def test_a_database_behind_head_is_compared_with_its_own_revision(empty_engine: AsyncEngine) -> None:
    await upgrade(empty_engine, revisions()[3], embedding_dim=7)
    found = await check(empty_engine)
    assert (found.revision, found.embedding_dim, found.differences) == (revisions()[3], 7, ())


async def test_vector_indexes_are_named_and_not_compared(engine: AsyncEngine) -> None:
    await execute(engine, "CREATE INDEX mine ON memstore.memory_nodes USING hnsw (embedding vector_cosine_ops)")
    found = await check(engine)
    assert (found.differences, found.vector_indexes) == ((), ("memstore.mine",))


async def test_the_command_prints_what_differs_and_what_to_type(engine: AsyncEngine, url: URL) -> None:
    assert (await to_thread(done, "db", "check", url=url)).startswith(f"no differences from {HEAD}, ")
    await execute(
        engine,
        "ALTER TABLE memstore.agents ALTER COLUMN language SET DEFAULT 'de'",
        "DROP INDEX memstore.ix_sessions_expires_at",
        "CREATE OR REPLACE FUNCTION memstore.touch() RETURNS trigger LANGUAGE plpgsql AS $$\nBEGIN\n"
        "    NEW.updated_at \\:= now();\n    RETURN NEW;\nEND\n$$",
    )
    finished = await to_thread(memstore, "db", "check", url=url)
    assert (finished.returncode, finished.stderr) == (1, "")
    lines = finished.stdout.splitlines()
    start = lines.index("column memstore.agents.language: different")
    assert lines[start : start + 3] == [
        "column memstore.agents.language: different",
        "    default: found 'de'::character varying, needed 'en'::character varying",
        "  > ALTER TABLE memstore.agents ALTER COLUMN language SET DEFAULT 'en'::character varying;",
    ]
    assert "    -    NEW.version := OLD.version + 1;" in lines
    assert lines[-3:-1] == [
        "index memstore.ix_sessions_expires_at: missing",
        "  > CREATE INDEX CONCURRENTLY ix_sessions_expires_at ON memstore.sessions USING btree (expires_at) "
        "WHERE status = 'active'::text;",
    ]
    assert lines[-1].startswith(f"3 differences from {HEAD}, ")
    as_json = await to_thread(memstore, "db", "check", "--json", url=url)
    assert as_json.returncode == 1
    found = json.loads(as_json.stdout)["differences"]
    assert [(each["object"], each["problem"]) for each in found] == [
        ("function memstore.touch()", "different"),
        ("column memstore.agents.language", "different"),
        ("index memstore.ix_sessions_expires_at", "missing"),
    ]


# As PostgreSQL 15 writes the definitions of views, and as 16 does.
VIEWS = {
    " SELECT nodes.id,\n    nodes.nodes AS a\n   FROM memstore.nodes\n  WHERE (nodes.id > 0);": (
        " SELECT id,\n    nodes AS a\n   FROM memstore.nodes\n  WHERE (id > 0);"
    ),
    " SELECT n.id\n   FROM memstore.nodes n\n  GROUP BY n.id;": " SELECT id\n   FROM memstore.nodes n\n  GROUP BY id;",
    " SELECT a.id\n   FROM memstore.a\n     JOIN memstore.b ON a.id = b.id;": None,
    " SELECT a.id\n   FROM memstore.a,\n    memstore.b;": None,
    " SELECT x.id\n   FROM ( SELECT a.id\n           FROM memstore.a) x;": None,
}


@pytest.mark.parametrize("older", VIEWS)
def test_views_of_postgresql_15_read_like_those_of_16(older: str) -> None:
    assert without_lone_prefix(older) == (VIEWS[older] or older)
