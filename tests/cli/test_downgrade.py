from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from memstore.errors import MigrationError, PermissionDeniedError
from memstore.migrations import Fate, Level, RowsAtStake, downgrade, plan_downgrade, upgrade
from memstore.migrations.scripts import revisions
from tests.cli.command import PLAIN, done, fetch, memstore, misused, refused
from tests.migrations.added_revisions import copy_of_alembic, taken_for_ours, write_revision
from tests.support import ROOT, raw_dsn, run_in_thread
from tests.tenants import as_application

HEAD = revisions()[-1]
AT = "SELECT version_num FROM memstore.alembic_version"


def lines(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


@pytest.mark.usefixtures("seeded")
def test_what_goes_is_told_counted_and_done(url: URL) -> None:
    printed = lines(done("db", "downgrade", "0003_agents_sessions", "--yes", url=url))
    for expected in (
        "0004_memory_nodes reversible_with_archive",
        "memstore.memory_nodes 4 rows archived",
        "memstore.embedding_models 1 rows archived",
        "memstore.migration_repairs 0 rows -",
        "view memstore.agent_stats",
        "function memstore.release_keys()",
        "39 rows go to the schema memstore_archive, and come back with: memstore db upgrade",
        "archived 4 rows of memstore.memory_nodes",
    ):
        assert expected.split() in printed, expected
    assert not [line for line in printed if "lost" in line]
    assert fetch(url, AT) == [{"version_num": "0003_agents_sessions"}]
    assert ["restored", "4", "rows", "of", "memstore.memory_nodes"] in lines(done("db", "upgrade", url=url))


@pytest.mark.usefixtures("seeded")
def test_what_is_lost_is_told(url: URL) -> None:
    printed = lines(done("db", "downgrade", "base", "--yes", url=url))
    assert f"memstore.migration_ledger {len(revisions())} rows lost".split() in printed
    assert ["memstore.settings", "1", "rows", "lost"] in printed
    assert f"{len(revisions()) + 1} rows are lost".split() in printed


def test_nothing_is_done_without_a_yes(url: URL) -> None:
    finished = memstore("db", "downgrade", "base", url=url)
    assert finished.returncode == 1
    assert finished.stderr == (
        "memstore: nothing was done: nobody can be asked. Type: memstore db downgrade base --yes\n"
    )
    assert "memstore.memory_nodes" in finished.stdout
    assert fetch(url, AT) == [{"version_num": HEAD}]
    assert "found --json without --yes" in misused("db", "downgrade", "base", "--json")


def test_where_there_is_nothing_to_do_nobody_is_asked(url: URL, empty_url: URL) -> None:
    assert done("db", "downgrade", HEAD, url=url) == "nothing to do\n"
    assert done("db", "downgrade", "base", url=empty_url) == "nothing to do\n"


def test_an_unknown_revision_is_named(url: URL) -> None:
    assert "cannot go down from" in refused("db", "downgrade", "nonsense", url=url)


@pytest.mark.usefixtures("seeded")
def test_the_result_for_programs(url: URL) -> None:
    result = json.loads(done("db", "downgrade", "0011_evaluations_feedback", "--json", "--yes", url=url))
    step = next(each for each in result["steps"] if each["revision"] == "0012_audit")
    assert [(each["direction"], each["name"], each["rows"]) for each in step["moved"]] == [
        ("archived", "memstore.search_metrics", 2),
        ("archived", "memstore.memory_access_log", 2),
    ]


@pytest.mark.parametrize(("answer", "code", "at"), [("y", 0, "0014_retention"), ("", 1, HEAD)])
def test_the_answer_on_a_terminal(url: URL, answer: str, code: int, at: str) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "memstore", "db", "downgrade", "0014_retention"]
    environ = os.environ | PLAIN | {"DATABASE_URL": raw_dsn(url)}
    os.write(ours, f"{answer}\n".encode())
    finished = subprocess.run(
        command, env=environ, cwd=ROOT, stdin=theirs, capture_output=True, text=True, timeout=120, check=False
    )
    os.close(ours)
    os.close(theirs)
    assert finished.returncode == code, finished.stderr
    assert "Go on? [y/N]" in finished.stdout
    assert finished.stderr == ("" if code == 0 else "memstore: nothing was done\n")
    assert fetch(url, AT) == [{"version_num": at}]


async def test_the_plan_names_what_no_upgrade_brings_back(seeded: AsyncEngine) -> None:
    async with as_application(seeded) as application:
        async with seeded.begin() as connection:
            await connection.exec_driver_sql(
                "CREATE INDEX by_hand ON memstore.memory_nodes USING hnsw (embedding vector_cosine_ops)"
            )
        role = application.url.username
        planned = await plan_downgrade(seeded, "0003_agents_sessions")
    assert planned.start == HEAD
    assert planned.notes == (
        f"rights of {role} on these tables go; to give them again: memstore db grant {role}",
        "index memstore.by_hand goes, and no revision makes it again",
    )


async def test_a_plan_changes_nothing_and_sees_what_its_transaction_sees(seeded: AsyncEngine) -> None:
    async with seeded.connect() as connection:
        await connection.exec_driver_sql("DELETE FROM memstore.search_metrics")
        planned = await plan_downgrade(connection, "0011_evaluations_feedback")
        metrics = [each for step in planned.steps for each in step.at_stake if each.table == "memstore.search_metrics"]
        assert metrics == [RowsAtStake("memstore.search_metrics", None, 0, Fate.ARCHIVED)]
        assert (await connection.exec_driver_sql("SHOW row_security")).scalar() == "on"


async def test_a_plan_waits_for_no_lock(seeded: AsyncEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_module("memstore.migrations.check"), "LOCK_TIMEOUT_MS", 20)
    async with seeded.begin() as connection:
        await connection.exec_driver_sql("LOCK TABLE memstore.search_metrics")
        with pytest.raises(MigrationError, match="a table of memstore is locked"):
            await plan_downgrade(seeded, "0011_evaluations_feedback")


async def test_a_role_that_does_not_see_all_rows_counts_none(seeded: AsyncEngine) -> None:
    async with as_application(seeded) as application:
        async with seeded.begin() as connection:
            role = application.url.username
            await connection.exec_driver_sql(f"GRANT SELECT ON ALL TABLES IN SCHEMA memstore TO {role}")
        with pytest.raises(PermissionDeniedError, match="row-level security"):
            await plan_downgrade(application, "0011_evaluations_feedback")


COLUMN = {"memstore.memory_nodes": {"mood": {"type": "text"}, "moods": {"type": "text", "generated": "mood"}}}


@pytest.fixture
def with_columns(tmp_path: Path, url: URL) -> Iterator[None]:
    """A revision that adds columns, one of them generated, and a later one that changes what is there."""
    add = """op.execute("ALTER TABLE memstore.memory_nodes ADD mood text")
    op.execute("ALTER TABLE memstore.memory_nodes ADD moods text GENERATED ALWAYS AS (mood) STORED")
    op.restore_column("memory_nodes", "mood", schema="memstore")"""
    drop = """op.archive_column("memory_nodes", "mood", schema="memstore")
    op.execute("ALTER TABLE memstore.memory_nodes DROP moods, DROP mood")"""
    copy_of_alembic(tmp_path)
    write_revision(tmp_path, "9001_mood", HEAD, 'level = "reversible_with_archive"', add, drop, column=COLUMN)
    changed = {"memstore.memory_nodes": {"mood": {"type": "text", "comment": "how it felt"}}}
    write_revision(tmp_path, "9002_comment", "9001_mood", column=changed)
    with taken_for_ours(tmp_path):
        run_in_thread(upgrade(url))
        yield


@pytest.mark.usefixtures("with_columns")
async def test_a_column_is_told_by_its_values(seeded: AsyncEngine) -> None:
    async with seeded.begin() as connection:
        await connection.exec_driver_sql(
            "UPDATE memstore.memory_nodes SET mood = 'calm' WHERE id = (SELECT min(id) FROM memstore.memory_nodes)"
        )
    planned = await plan_downgrade(seeded, HEAD)
    assert [(step.revision, step.level, step.at_stake, step.removes) for step in planned.steps] == [
        ("9002_comment", Level.REVERSIBLE, (), ()),
        (
            "9001_mood",
            Level.REVERSIBLE_WITH_ARCHIVE,
            (RowsAtStake("memstore.memory_nodes", "mood", 1, Fate.ARCHIVED),),
            (),
        ),
    ]
    async with seeded.connect() as connection:
        query = "SELECT to_jsonb(t)::text FROM memstore.memory_nodes AS t ORDER BY 1"
        before = (await connection.exec_driver_sql(query)).all()
        await connection.rollback()
        result = await downgrade(seeded, HEAD)
        assert [each.rows for step in result.steps for each in step.moved] == [1]
        await upgrade(seeded)
        assert (await connection.exec_driver_sql(query)).all() == before
