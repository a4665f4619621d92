"""A revision of the host that takes memstore to a revision."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
from alembic import command, op
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError
from sqlalchemy import Connection, text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from memstore.errors import MigrationError
from memstore.migrations import downgrade, render_sql, status, upgrade_to
from memstore.migrations.scripts import revisions
from tests.hosts.project import ENVS, Host, shown
from tests.support import Server, dump

SEVENTH = revisions()[6]
MEMORY = shown(4, "python", '"""Remember')
SCHEMA = "SELECT to_regnamespace('memstore')::text"
OURS = "SELECT version_num FROM memstore.alembic_version"
THEIRS = "SELECT version_num FROM alembic_version"

# Uses both proxies of Alembic after ours were done with them.
PROXIES = MEMORY.replace("from memstore", "from alembic import context, op\nfrom memstore").replace(
    "embedding_dim=384)",
    """embedding_dim=384)
    assert context.config.get_main_option("sqlalchemy.url")
    assert context.get_context() is op.get_context()
    op.execute("CREATE TABLE after_memstore (id integer)")""",
)
UP = 'upgrade_to("0007_documents", start="base", embedding_dim=384)'
DOWN = 'downgrade_to("base", start="0007_documents")'
BLOCK = """from alembic import op
    with op.get_context().autocommit_block():
        upgrade_to("0001_foundation")"""
drivers = pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])


def create(folder: Path, url: URL, driver: str = "psycopg", memory: str = MEMORY, **revisions: str) -> Host:
    return Host.create(folder, url, driver, env=ENVS[driver], b2_memory=memory, **revisions)


@drivers
def test_the_hosts_revision_goes_on_after_ours(tmp_path: Path, empty_url: URL, driver: str) -> None:
    host = create(tmp_path, empty_url, driver, PROXIES)
    host.upgrade()
    assert host.rows("SELECT to_regclass('after_memstore')::text") == [("after_memstore",)]
    assert host.rows(OURS) == [(SEVENTH,)]
    found = asyncio.run(status(empty_url))
    assert [step.revision for step in found.history] == list(revisions()[:7])
    assert found.embedding_dim == 384


@drivers
def test_what_fails_after_ours_takes_ours_back(tmp_path: Path, empty_url: URL, driver: str) -> None:
    empty = dump(empty_url)
    host = create(tmp_path, empty_url, driver, PROXIES.replace("CREATE TABLE after_memstore", "CREATE TABLE users"))
    with pytest.raises(Exception, match='relation "users" already exists'):
        host.upgrade()
    assert dump(empty_url) == empty


@drivers
def test_down_only_when_it_is_asked_to(tmp_path: Path, empty_url: URL, driver: str) -> None:
    host = create(tmp_path, empty_url, driver)
    host.upgrade()
    before = dump(empty_url)
    with pytest.raises(CommandError, match=f"from {SEVENTH} to base.* alembic -x memstore=downgrade downgrade"):
        host.downgrade("base")
    assert dump(empty_url) == before
    host.downgrade("base", "memstore=downgrade")
    assert host.rows(SCHEMA) == [(None,)]
    assert host.rows(THEIRS) == []
    host.upgrade()
    assert dump(empty_url) == before


def test_a_revision_with_an_empty_downgrade_keeps_the_memories(tmp_path: Path, empty_url: URL) -> None:
    host = create(tmp_path, empty_url, memory=MEMORY.replace(DOWN, "pass"))
    host.upgrade()
    host.downgrade("base")
    assert host.rows(THEIRS) == []
    assert host.rows(OURS) == [(SEVENTH,)]
    host.upgrade()
    assert host.rows(THEIRS) == [("b2_memory",)]


def test_where_memstore_is_not_there_is_nothing_to_ask(tmp_path: Path, empty_url: URL) -> None:
    host = create(
        tmp_path,
        empty_url,
        memory=MEMORY.replace("    upgrade_to(", "    print(").replace('start="base", embedding_dim=384', ""),
    )
    host.upgrade()
    host.downgrade("base")
    assert host.rows(THEIRS) == []


def test_the_rendered_sql_has_ours_in_its_place(tmp_path: Path, empty_url: URL, server: Server) -> None:
    host = create(tmp_path, empty_url, memory=PROXIES.replace("    assert context.config", "    context.config"))
    sql = host.sql("head")
    assert sql.count("BEGIN;") == sql.count("COMMIT;") == 1
    host.upgrade()
    other = server.create_database(None)
    rendered = Host(tmp_path, other)
    rendered.rows(re.sub(r"^(BEGIN|COMMIT);$", "", sql, flags=re.MULTILINE))
    assert dump(other) == dump(empty_url)
    assert rendered.rows(OURS) == [(SEVENTH,)]
    server.drop_database(other)


def test_sql_cannot_be_rendered_without_a_start(tmp_path: Path, empty_url: URL) -> None:
    host = create(tmp_path, empty_url, memory=MEMORY.replace('start="base", ', ""))
    with pytest.raises(CommandError, match=r"Say what it is before this: upgrade_to\('0007_documents', start='base'\)"):
        host.sql("head")


@pytest.mark.parametrize(
    ("start", "to"), [("0007_documents", "0003_agents_sessions"), ("0003", "0003_agents_sessions"), ("head", "0003")]
)
def test_the_rendered_sql_does_nothing_where_memstore_is_there_or_past_it(
    tmp_path: Path, empty_url: URL, start: str, to: str
) -> None:
    up, down = f'upgrade_to("{to}", start="{start}")', f'downgrade_to("{start}", start="{to}")'
    host = create(tmp_path, empty_url, memory=MEMORY.replace(UP, up).replace(DOWN, down))
    for sql in (host.sql("head"), host.sql("b2_memory:a1_users", command.downgrade)):
        assert "alembic_version SET" in sql or "INSERT INTO alembic_version" in sql
        assert "memstore." not in sql


def test_down_from_where_memstore_is_already_needs_no_word(tmp_path: Path, empty_url: URL) -> None:
    for number, to in enumerate(("0007", "0009_embedding_functions")):
        host = create(tmp_path / str(number), empty_url, memory=MEMORY.replace(DOWN, f'downgrade_to("{to}")'))
        host.upgrade()
        host.downgrade("a1_users")
        assert host.rows(OURS) == [(SEVENTH,)]


def test_the_rendered_sql_takes_memstore_down_when_it_is_asked_to(tmp_path: Path, empty_url: URL) -> None:
    host = create(tmp_path, empty_url)
    with pytest.raises(CommandError, match=f"from {SEVENTH} to base.* alembic -x memstore=downgrade downgrade"):
        host.sql("b2_memory:a1_users", command.downgrade)
    assert "DROP TABLE memstore.documents" in host.sql("b2_memory:a1_users", command.downgrade, "memstore=downgrade")


def test_a_revision_may_be_abbreviated_online_and_in_sql(tmp_path: Path, empty_url: URL) -> None:
    host = create(tmp_path, empty_url, memory=MEMORY.replace('"0007_documents"', '"0003"'))
    assert "version_num='0003_agents_sessions'" in host.sql("head")
    host.upgrade()
    assert host.rows(OURS) == [("0003_agents_sessions",)]


@pytest.mark.parametrize("target", ["000", "+1", "memstore@head", "nonsense", ""])
def test_what_stands_for_no_one_revision_is_refused_online_and_in_sql(
    tmp_path: Path, empty_url: URL, target: str
) -> None:
    host = create(tmp_path, empty_url, memory=MEMORY.replace('"0007_documents"', repr(target)))
    for attempt in (host.upgrade, host.sql):
        with pytest.raises(CommandError, match=re.escape(f"no revision {target!r}. There are: base, 0001")):
            attempt("head")


def test_a_database_of_a_later_release_is_left_alone(tmp_path: Path, url: URL) -> None:
    host = create(tmp_path, url)
    host.rows("UPDATE memstore.alembic_version SET version_num = '0099_later'")
    with pytest.raises(CommandError, match="at 0099_later, which this version of memstore does not know"):
        host.upgrade()


@drivers
def test_in_an_autocommit_block_it_is_refused(tmp_path: Path, empty_url: URL, driver: str) -> None:
    host = create(tmp_path, empty_url, driver, MEMORY.replace(UP, BLOCK))
    with pytest.raises(CommandError, match=r"in AUTOCOMMIT.* Call upgrade_to\(\) outside of autocommit_block\(\)"):
        host.upgrade()
    assert host.rows(SCHEMA) == [(None,)]


def test_a_host_may_render_our_sql_in_its_own_run(tmp_path: Path, empty_url: URL) -> None:
    memory = PROXIES.replace("upgrade_to(", "render_sql(").replace(
        "import downgrade_to, upgrade_to", "import render_sql"
    )
    memory = memory.replace('"0007_documents", start=', "").replace('"base",', '"base", "head",')
    host = create(tmp_path, empty_url, memory=memory)
    host.upgrade()
    assert host.rows("SELECT to_regclass('after_memstore')::text") == [("after_memstore",)]
    assert "after_memstore" not in render_sql()


def test_outside_of_a_run_a_connection_is_needed() -> None:
    with pytest.raises(MigrationError, match=r"Pass a connection: upgrade_to\('head', connection\)"):
        upgrade_to("head")


async def test_a_run_that_failed_is_over(engine: AsyncEngine) -> None:
    def fail(connection: Connection) -> None:
        with Operations.context(MigrationContext.configure(connection)):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        async with engine.connect() as connection:
            await connection.run_sync(fail)
    proxy = vars(op)["_proxy"]
    assert proxy is not None, "Alembic cleans up by itself now: this test, and what it is for, can go"
    with pytest.raises(MigrationError, match="Pass a connection: upgrade_to"):
        upgrade_to("head")
    await downgrade(engine, "-1")
    assert vars(op)["_proxy"] is proxy
    proxy._remove_proxy()


async def test_a_run_of_ours_that_fails_leaves_no_proxy_behind(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.execute(text("DROP VIEW memstore.agent_stats"))
    with pytest.raises(MigrationError):
        await downgrade(engine, "0014_retention")
    assert vars(op)["_proxy"] is None
