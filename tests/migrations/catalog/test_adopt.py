from __future__ import annotations

import json
from asyncio import to_thread
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from memstore.database import connecting
from memstore.errors import MigrationError, SchemaDriftError, SchemaMismatchError
from memstore.migrations import adopt, check, render_sql, status, upgrade, verify_schema
from memstore.migrations.scripts import revisions
from tests.cli.command import memstore, psql
from tests.migrations.catalog.test_check import locked_against_writes
from tests.support import Server, dump, run_in_thread
from tests.tenants import as_application

HEAD = revisions()[-1]

# What is taken away, and how `adopt` names it.
MISSING = {
    "DROP TABLE memstore.agent_tools": "table memstore.agent_tools",
    "ALTER TABLE memstore.agents DROP COLUMN behavior_name": "column memstore.agents.behavior_name",
    "ALTER TABLE memstore.agents DROP CONSTRAINT ck_agents_status": "constraint ck_agents_status on memstore.agents",
    "ALTER TABLE memstore.sessions DROP CONSTRAINT fk_sessions_tenant_id_agent_id_agents": (
        "constraint fk_sessions_tenant_id_agent_id_agents on memstore.sessions"
    ),
    "DROP INDEX memstore.ix_sessions_expires_at": "index memstore.ix_sessions_expires_at",
    "DROP FUNCTION memstore.purge_activities": "function memstore.purge_activities(interval,integer)",
    "DROP TRIGGER touch ON memstore.agents": "trigger touch on memstore.agents",
    "DROP POLICY tenant_isolation ON memstore.agents": "policy tenant_isolation on memstore.agents",
    "DROP VIEW memstore.vector_search_stats": "view memstore.vector_search_stats",
    "COMMENT ON COLUMN memstore.agents.metadata IS NULL": "column memstore.agents.metadata",
    "DELETE FROM memstore.settings": "row embedding_dim of memstore.settings",
    "ALTER TABLE memstore.agents DISABLE ROW LEVEL SECURITY": "table memstore.agents",
}


async def run_script(engine: AsyncEngine, *statements: str) -> None:
    async with engine.connect() as connection:
        raw = await connection.get_raw_connection()
        assert raw.driver_connection is not None
        for statement in statements:
            await raw.driver_connection.execute(statement)


@pytest.fixture
async def handmade(empty_engine: AsyncEngine, empty_url: URL, server: Server) -> AsyncEngine:
    """A database made by SQL scripts, which says nothing of a revision."""
    psql(server, empty_url, render_sql(embedding_dim=4))
    await run_script(empty_engine, "DROP TABLE memstore.alembic_version")
    return empty_engine


async def test_a_schema_that_is_equal_is_adopted_and_one_that_misses_something_is_not(
    handmade: AsyncEngine, empty_url: URL
) -> None:
    for taking, missing in MISSING.items():
        await run_script(handmade, taking)
        before = dump(empty_url)
        async with locked_against_writes(handmade):
            with pytest.raises(SchemaDriftError) as refused:
                await adopt(handmade, HEAD)
        assert [each.object for each in refused.value.differences] == [missing]
        assert f"  {missing}: " in str(refused.value)
        assert dump(empty_url) == before
        await run_script(handmade, *refused.value.differences[0].remedy)
    steps = (await status(handmade)).history
    assert (await adopt(handmade, HEAD)).differences == ()
    after = await status(handmade)
    assert (after.current, after.pending) == (HEAD, ())
    assert [(step.direction, step.revision) for step in after.history[len(steps) :]] == [("stamp", HEAD)]
    assert (await check(handmade)).differences == ()


async def test_the_role_of_an_application_sees_the_revision_of_an_adopted_database(engine: AsyncEngine) -> None:
    async with as_application(engine) as application:
        await run_script(engine, "DROP TABLE memstore.alembic_version")
        await adopt(engine, HEAD)
        assert (await check(engine)).differences == ()
        await verify_schema(application)


async def test_what_somebody_changes_while_a_database_is_adopted_is_left_for_check(
    handmade: AsyncEngine, empty_url: URL
) -> None:
    async def add_column() -> None:
        async with connecting(empty_url) as other, other.begin() as connection:
            await connection.execute(text("ALTER TABLE memstore.agents ADD COLUMN theirs text"))

    def while_stamping(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("INSERT INTO memstore.alembic_version"):
            run_in_thread(add_column())

    event.listen(handmade.sync_engine, "before_cursor_execute", while_stamping)
    await adopt(handmade, HEAD)
    assert [each.object for each in (await check(handmade)).differences] == ["column memstore.agents.theirs"]


async def test_an_adopted_database_goes_on_from_there(empty_engine: AsyncEngine) -> None:
    script = render_sql("base", revisions()[3], embedding_dim=4)
    await run_script(empty_engine, script, "DROP TABLE memstore.alembic_version")
    await adopt(empty_engine, revisions()[3])
    assert [step.revision for step in (await upgrade(empty_engine)).steps] == list(revisions()[4:])
    assert (await check(empty_engine)).differences == ()


async def test_one_that_is_there_already_is_left_as_it_is(engine: AsyncEngine) -> None:
    before = await status(engine)
    assert (await adopt(engine, "head")).differences == ()
    assert await status(engine) == before


async def test_what_cannot_be_adopted(engine: AsyncEngine, empty_engine: AsyncEngine) -> None:
    with pytest.raises(SchemaMismatchError, match=f"is at {HEAD} already, and cannot be adopted at {revisions()[0]}"):
        await adopt(engine, revisions()[0])
    with pytest.raises(SchemaMismatchError, match="no schema memstore to adopt in this database"):
        await adopt(empty_engine, HEAD)
    with pytest.raises(MigrationError, match="no revision 'nonsense'. There are: 0001_foundation"):
        await adopt(engine, "nonsense")


async def test_the_command_prints_what_is_in_the_way(handmade: AsyncEngine, empty_url: URL) -> None:
    await run_script(handmade, "DROP INDEX memstore.ix_sessions_expires_at")
    refused = await to_thread(memstore, "db", "adopt", "--at", HEAD, url=empty_url)
    assert refused.returncode == 1
    assert refused.stdout.startswith("index memstore.ix_sessions_expires_at: missing\n  > CREATE INDEX CONCURRENTLY ")
    assert refused.stderr.startswith(f"memstore: the schema is not that of {HEAD}")
    as_json = await to_thread(memstore, "db", "adopt", "--at", HEAD, "--json", url=empty_url)
    assert json.loads(as_json.stdout)["differences"][0]["object"] == "index memstore.ix_sessions_expires_at"
    async with handmade.connect() as connection:
        assert await connection.scalar(text("SELECT to_regclass('memstore.alembic_version')")) is None
