from __future__ import annotations

import json
import subprocess
from asyncio import to_thread

import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from memstore.database import connecting
from memstore.errors import MigrationError, SchemaMismatchError
from memstore.migrations import check, read_catalog, upgrade
from memstore.migrations.catalog.shipped import description_path
from memstore.migrations.check import compare_with, read_only
from memstore.migrations.scripts import revisions
from tests.cli.command import done, memstore
from tests.support import Server, dump, server_program
from tests.tenants import as_application

HEAD = revisions()[-1]


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
    async with engine.connect() as holder:
        # Only ACCESS SHARE goes along with this lock.
        await holder.execute(text("LOCK TABLE ONLY memstore.agents, memstore.sessions IN EXCLUSIVE MODE"))
        await holder.execute(text("LOCK TABLE ONLY memstore.memory_nodes, memstore.settings IN EXCLUSIVE MODE"))
        await holder.execute(text("LOCK TABLE ONLY memstore.alembic_version, pg_catalog.pg_class IN EXCLUSIVE MODE"))
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
    assert lines[:3] == [
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
        ("column memstore.agents.language", "different"),
        ("function memstore.touch()", "different"),
        ("index memstore.ix_sessions_expires_at", "missing"),
    ]
