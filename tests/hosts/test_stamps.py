"""`alembic stamp` in a host that lists memstore's revisions among its own: only what is so can be written down."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from alembic import command
from alembic.util import CommandError
from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.engine import URL

from memstore.migrations import status, upgrade
from memstore.migrations.lock import ADVISORY_LOCK
from memstore.migrations.scripts import revisions
from tests.hosts.project import AFTER, Host, shown, version_locations
from tests.support import run_in_thread

HEAD = revisions()[-1]
ENV = shown(3, "python", "# migrations/env.py")
OURS = "SELECT version_num FROM memstore.alembic_version"
THEIRS = "SELECT version_num FROM alembic_version ORDER BY 1"
STAMPS = "SELECT revision FROM memstore.migration_ledger WHERE direction = 'stamp'"
TO_FOLLOW = "SELECT value FROM memstore.settings WHERE key = 'version_table'"


def create(folder: Path, url: URL, **revisions: str) -> Host:
    return Host.create(folder, url, "psycopg", env=ENV, ini=version_locations(), **revisions)


def stamp(host: Host, *targets: str, purge: bool = False) -> None:
    command.stamp(host.config(), list(targets), purge=purge)


@pytest.mark.parametrize(
    "targets", [("memstore@head",), ("heads",), ("0003_agents_sessions",), ("b2_after", "app@head")]
)
def test_another_revision_than_memstore_is_at_is_refused(
    tmp_path: Path, empty_url: URL, targets: tuple[str, ...]
) -> None:
    run_in_thread(upgrade(empty_url, "0002_tenants_users", embedding_dim=384))
    host = create(tmp_path, empty_url, b2_after=AFTER)
    for purge in (False, True):
        with pytest.raises(CommandError, match=r"is at 0002_tenants_users .*Type: alembic stamp 0002_tenants_users$"):
            stamp(host, *targets, purge=purge)
    assert host.rows("SELECT to_regclass('alembic_version')::text") == [(None,)]
    assert host.rows(OURS) == [("0002_tenants_users",)]
    stamp(host, "0002")
    stamp(host, "app@base")
    with pytest.raises(CommandError, match="is at 0002_tenants_users"):
        stamp(host, *targets)
    assert host.rows(THEIRS) == host.rows(OURS) == [("0002_tenants_users",)]
    host.upgrade("heads")
    assert host.rows(OURS) == [(HEAD,)]


def test_a_host_that_makes_its_tables_and_stamps_them_is_told_to_make_memstore(tmp_path: Path, empty_url: URL) -> None:
    host = create(tmp_path, empty_url)
    with pytest.raises(CommandError, match=r"memstore is not there.*upgrade memstore@head.*: alembic stamp app@head"):
        stamp(host, "heads")
    stamp(host, "app@head")
    host.upgrade("memstore@head")
    stamp(host, "heads")
    assert host.rows(THEIRS) == [(HEAD,), ("a1_users",)]
    assert host.rows("SELECT to_regclass('users')::text") == [(None,)]
    assert host.rows(STAMPS) == []  # memstore's history has none: its own did not change
    stamp(host, "memstore@head", "app@head", purge=True)
    assert host.rows(STAMPS) == [(HEAD,)]


def test_a_stamp_waits_for_a_run_of_ours(tmp_path: Path, url: URL, monkeypatch: pytest.MonkeyPatch) -> None:
    host = create(tmp_path, url)
    monkeypatch.setenv("MEMSTORE_MIGRATION_WAIT_S", "0")
    engine = create_engine(host.url, poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ADVISORY_LOCK})
        with pytest.raises(CommandError, match="no migration lock within 0 s"):
            stamp(host, "heads")


def test_a_revision_of_the_host_that_depends_on_ours_is_a_stamp_of_ours(tmp_path: Path, empty_url: URL) -> None:
    run_in_thread(upgrade(empty_url, "0003_agents_sessions", embedding_dim=384))
    host = create(tmp_path, empty_url, b2_after=AFTER)
    stamp(host, "b2_after")
    assert host.rows(THEIRS) == [("b2_after",)]
    assert host.rows(TO_FOLLOW) == [("alembic_version",)]
    stamp(host, "base")
    assert host.rows(TO_FOLLOW) == []
    steps = asyncio.run(status(empty_url)).history
    assert [(step.revision, step.direction) for step in steps[3:]] == [("0003_agents_sessions", "stamp")]


def test_where_memstore_was_dropped_by_hand_a_stamp_of_base_begins_anew(tmp_path: Path, empty_url: URL) -> None:
    host = create(tmp_path, empty_url)
    host.upgrade("memstore@0003_agents_sessions")
    host.rows("DROP SCHEMA memstore CASCADE")
    with pytest.raises(CommandError, match="at nothing in this database, and at 0003.*: alembic stamp memstore@base"):
        host.upgrade("heads")
    stamp(host, "app@head")  # which says nothing new of memstore
    stamp(host, "memstore@base")
    host.upgrade("heads")
    assert host.rows(OURS) == [(HEAD,)]


def test_a_stamp_rendered_as_sql_leaves_our_version_table_to_us(tmp_path: Path, empty_url: URL) -> None:
    host = create(tmp_path, empty_url)
    sql = host.sql("0005_tools:memstore@head", command.stamp)
    assert f"version_num='{HEAD}'" in sql
    assert "memstore.alembic_version" not in sql
    assert "memstore.settings" in sql
