from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from memstore.errors import PermissionDeniedError
from memstore.migrations import grant
from tests.tenants import (
    ACME,
    INITECH,
    NO_RIGHT,
    POLICY,
    as_application,
    attempt,
    contents,
    new_role,
    owned_tables,
    rows_of,
)

# What the application's role may do with what is in the schema, and with any other table of a tenant's.
RIGHTS: dict[str, set[str]] = {
    "alembic_version": {"SELECT"},
    "settings": {"SELECT"},
    "migration_ledger": set(),
    "migration_repairs": set(),
    "mirror_outbox": {"SELECT"},
    "mirror_rejections": {"SELECT"},
    "mirror_ledger": set(),
    "tenants": {"SELECT", "INSERT", "UPDATE"},
    "embedding_models": {"SELECT", "INSERT"},
    "memory_access_log": {"SELECT", "INSERT"},
    "search_statistics": {"SELECT"},
    "word_statistics": {"SELECT"},
    "agent_stats": {"SELECT"},
    "recent_feedback_summary": {"SELECT"},
    "active_memories": {"SELECT"},
    "vector_search_stats": {"SELECT"},
}
ALL_RIGHTS = {"SELECT", "INSERT", "UPDATE", "DELETE"}
HELD = """
    SELECT relname, array_agg(word) FILTER (WHERE has_table_privilege(pg_class.oid, word)
        OR word IN ('SELECT', 'INSERT', 'UPDATE', 'REFERENCES') AND has_any_column_privilege(pg_class.oid, word))
    FROM pg_class CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER'])
        AS word
    WHERE relnamespace = 'memstore'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'f') GROUP BY relname
"""

VIEWS = """
    SELECT relname, array_to_string(reloptions, ',') AS options FROM pg_class
    WHERE relnamespace = 'memstore'::regnamespace AND relkind IN ('v', 'm')
"""

WRITERS = """
    SELECT proname FROM pg_proc
    WHERE pronamespace = 'memstore'::regnamespace AND provolatile = 'v' AND prorettype <> 'trigger'::regtype
"""

# What has the rights of the owner, because row level security would keep indexes from being used: it checks the tenant
# itself, and PUBLIC may not run it (tests/store/search_sql/test_rights.py).
OF_THE_OWNER = {
    "write_search_statistics",
    "search_memories",
    "explain_memories",
    "embedding_coverages",
    "embedding_rows",
    "enqueue_for_mirror",  # nor may anybody else: it is for triggers (tests/models/test_mirror.py)
}
# Tried there, or for the owner alone (tests/store/indexes/), or asking for no more than how a query would be run.
ELSEWHERE = {
    "write_search_statistics",
    "refresh_search_statistics",
    "rebuild_vector_indexes",
    "explain_memories",
    "planned_rows",
}

# What makes the rows of a table due, whoever's they are.
RETENTION: dict[str, tuple[str, str]] = {
    "cleanup_expired_sessions()": ("sessions", "UPDATE memstore.sessions SET expires_at = '2000-01-01'"),
    "archive_closed_sessions('0')": ("sessions", "UPDATE memstore.sessions SET status = 'closed'"),
    "purge_activities('1 day')": ("activities", "UPDATE memstore.activities SET created_at = '2000-01-01'"),
    "purge_metrics('1 day')": ("metrics", "UPDATE memstore.metrics SET timestamp = '2000-01-01'"),
    "purge_expired_memories()": ("memory_nodes", "UPDATE memstore.memory_nodes SET expires_at = '2000-01-01'"),
}


@pytest_asyncio.fixture
async def application(seeded: AsyncEngine) -> AsyncIterator[AsyncEngine]:
    async with as_application(seeded) as application:
        yield application


async def test_each_function_that_writes_is_tried_here(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        writers = set(await connection.scalars(text(WRITERS)))
    assert writers == {call.partition("(")[0] for call in RETENTION} | {"upsert_embedding"} | ELSEWHERE


async def test_no_other_function_has_rights_of_its_own(engine: AsyncEngine) -> None:
    query = text("SELECT proname, prosecdef FROM pg_proc WHERE pronamespace = 'memstore'::regnamespace")
    async with engine.connect() as connection:
        functions = {row.proname: row.prosecdef for row in await connection.execute(query)}
    assert functions.keys() >= {"current_tenant", "decay_score", "similarity_search", "purge_activities"}
    assert {name for name, of_owner in functions.items() if of_owner} == OF_THE_OWNER


async def test_a_view_shows_what_its_reader_may_see(application: AsyncEngine, seeded: AsyncEngine) -> None:
    async with seeded.connect() as connection:
        views = {row.relname: row.options for row in await connection.execute(text(VIEWS))}
    names = ["agent_stats", "recent_feedback_summary", "active_memories", "vector_search_stats"]
    assert views == dict.fromkeys(names, "security_invoker=true")
    for view in views:
        there = len(rows_of(ACME)["memory_nodes"]) if view == "active_memories" else 1
        every, theirs = f"SELECT FROM memstore.{view}", f"SELECT FROM memstore.{view} WHERE tenant_id = '{INITECH}'"
        assert await attempt(seeded, None, every) == there * 2, view
        assert await attempt(application, str(ACME), every) == there, view
        assert await attempt(application, str(ACME), theirs) == 0, view
        assert [await attempt(application, setting, every) for setting in (None, "")] == [0, 0], view


async def test_embeddings_of_another_tenant_are_neither_found_nor_written(
    application: AsyncEngine, seeded: AsyncEngine
) -> None:
    before, vector = await contents(seeded, INITECH), "'toy', '[3, 2, 1]'"
    searches = [f"SELECT FROM memstore.similarity_search('{tenant}', {vector})" for tenant in (ACME, INITECH)]
    writes = [
        f"SELECT FROM memstore.upsert_embedding('{tenant}', 'document', '{source}', {vector}, content => 'y')"
        for tenant, source in ((ACME, "new"), (INITECH, "new"), (INITECH, rows_of(INITECH)["documents"][0]["id"]))
    ]
    for setting, found, written in ((str(ACME), 1, 1), (None, 0, POLICY), ("", 0, POLICY)):
        assert [await attempt(application, setting, search) for search in searches] == [found, 0], setting
        assert [await attempt(application, setting, write) for write in writes] == [written, POLICY, POLICY], setting
    assert await contents(seeded, INITECH) == before


@pytest.mark.parametrize("call", RETENTION)
async def test_retention_leaves_other_tenants_alone(application: AsyncEngine, seeded: AsyncEngine, call: str) -> None:
    table, due = RETENTION[call]
    async with seeded.begin() as connection:
        await connection.execute(text(due))
    theirs, mine = await contents(seeded, INITECH), await contents(seeded, ACME)
    done = []
    for tenant in ("", str(ACME)):
        async with application.begin() as connection:
            await connection.execute(text(f"SET LOCAL memstore.tenant_id = '{tenant}'"))
            done.append(await connection.scalar(text(f"SELECT memstore.{call}")))
        assert (await contents(seeded, ACME) == mine) is (tenant == "")
    assert done == [0, len(mine[table])]
    assert await contents(seeded, INITECH) == theirs


async def test_the_role_owns_nothing(application: AsyncEngine) -> None:
    statements = [
        "DELETE FROM memstore.tenants",
        "UPDATE memstore.memory_access_log SET query_text = 'x'",
        "DELETE FROM memstore.memory_access_log",
        "UPDATE memstore.embedding_models SET distance = 'l2'",
        "DELETE FROM memstore.embedding_models",
        "UPDATE memstore.active_memories SET content = 'x'",
        "DELETE FROM memstore.active_memories",
        "TRUNCATE memstore.memory_nodes",
        "SELECT FROM memstore.migration_ledger",
        "UPDATE memstore.settings SET value = '8'",
        "UPDATE memstore.alembic_version SET version_num = 'x'",
        "CREATE TABLE memstore.loot (id integer)",
        "ALTER TABLE memstore.agents ADD COLUMN loot text",
        "ALTER TABLE memstore.agents DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE memstore.agents DISABLE TRIGGER ALL",
        "DROP POLICY tenant_isolation ON memstore.agents",
        "DROP TABLE memstore.agents",
        "CREATE OR REPLACE FUNCTION memstore.current_tenant() RETURNS uuid LANGUAGE sql AS 'SELECT NULL::uuid'",
        "CREATE TRIGGER loot BEFORE INSERT ON memstore.agents EXECUTE FUNCTION memstore.touch()",
        "SET session_replication_role = replica",
        "SET ROLE postgres",
    ]
    found = {statement: await attempt(application, str(ACME), statement) for statement in statements}
    assert found == dict.fromkeys(statements, NO_RIGHT)


async def test_the_role_may_do_this_and_no_more(application: AsyncEngine, seeded: AsyncEngine) -> None:
    async with application.connect() as connection:
        held = {table: set(words or []) for table, words in await connection.execute(text(HELD))}
    assert held == dict.fromkeys(await owned_tables(seeded), ALL_RIGHTS) | RIGHTS
    registered = "INSERT INTO memstore.embedding_models (name, dimensions) VALUES ('new', 8)"
    assert await attempt(application, str(ACME), registered) == 1
    assert await attempt(application, None, "SELECT FROM memstore.embedding_models WHERE name = 'new'") == 1


async def test_grant_refuses_a_role_that_is_not_there(engine: AsyncEngine) -> None:
    for name in ("nobody", 'no "body"'):
        with pytest.raises(PermissionDeniedError, match=f"no role '{name}'"):
            await grant(engine, name)


@pytest.mark.parametrize("options", ["SUPERUSER NOBYPASSRLS", "NOSUPERUSER BYPASSRLS"])
async def test_grant_refuses_a_role_that_nothing_would_confine(engine: AsyncEngine, options: str) -> None:
    async with new_role(engine, options=f"LOGIN {options}") as role:
        with pytest.raises(PermissionDeniedError, match="is a superuser or has BYPASSRLS"):
            await grant(engine, role)


@pytest.mark.parametrize("inherits", ["INHERIT", "NOINHERIT"])
async def test_grant_refuses_a_role_that_can_be_the_owner(engine: AsyncEngine, inherits: str) -> None:
    async with new_role(engine, f"GRANT {engine.url.username} TO {{role}}", options=f"LOGIN {inherits}") as role:
        with pytest.raises(PermissionDeniedError, match="owns the schema"):
            await grant(engine, role)
