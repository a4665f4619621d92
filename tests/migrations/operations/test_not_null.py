from __future__ import annotations

import threading
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from memstore.database import create_engine
from memstore.errors import MigrationError
from memstore.migrations.operations.constraint_state import PENDING
from tests.cli.command import psql
from tests.migrations.operations.revision import IMPATIENT, Body, Project
from tests.support import Server

LONG = "b" * 60

IS_SET = "SELECT attnotnull FROM pg_attribute WHERE attrelid = 'notes'::regclass AND attname = 'body'"
CHECKS = "SELECT conname::text FROM pg_constraint WHERE conrelid = 'notes'::regclass AND contype = 'c'"
CHECK = "ALTER TABLE notes ADD CONSTRAINT memstore_not_null_body CHECK (body IS NOT NULL) NOT VALID"


def set_it(op: Any) -> None:
    op.set_not_null_safely("notes", "body")


def set_column(column: str) -> Body:
    return lambda op: op.set_not_null_safely("notes", column)


def drop_it(op: Any) -> None:
    op.drop_not_null_safely("notes", "body")


def check_set(project: Project, *, is_set: bool = True) -> None:
    assert project.ask(IS_SET) == [(is_set,)]
    assert project.ask(CHECKS) == []


def test_it_is_set_and_dropped_and_again(project: Project) -> None:
    for _ in range(2):
        project.migrate(set_it)
        check_set(project)
    for _ in range(2):
        project.migrate(drop_it)
        check_set(project, is_set=False)


def test_it_is_the_one_that_alembic_sets(project: Project) -> None:
    everything = """
        SELECT conname::text, pg_get_constraintdef(oid), convalidated, obj_description(oid, 'pg_constraint')
        FROM pg_constraint WHERE conrelid = 'notes'::regclass ORDER BY 1
    """
    project.migrate(lambda op: op.alter_column("notes", "body", nullable=False))
    plain = project.ask(everything)
    project.migrate(lambda op: op.alter_column("notes", "body", nullable=True))
    project.migrate(set_it)
    assert project.ask(everything) == plain


def test_no_row_is_looked_at_under_the_lock(project: Project) -> None:
    project.run("ALTER TABLE notes ALTER body TYPE varchar(400)")
    lines: list[str] = []
    with project.engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        driver.add_notice_handler(lambda notice: lines.append(notice.message_primary))
        connection.execute(sa.text("SET client_min_messages = debug1"))
        connection.commit()
        project.migrate_on(connection, set_it)
    looked = [line for line in lines if "erifying table" in line or "alidating" in line or "to prove" in line]
    assert any("sufficient to prove that it does not contain nulls" in line for line in looked)
    assert len([line for line in looked if "erifying table" in line]) == 1  # VALIDATE
    check_set(project)


@pytest.mark.parametrize(
    "left",
    [
        (CHECK,),
        (CHECK, f"COMMENT ON CONSTRAINT memstore_not_null_body ON notes IS '{PENDING}'"),
        (CHECK, "ALTER TABLE notes VALIDATE CONSTRAINT memstore_not_null_body"),
        (CHECK, "ALTER TABLE notes ALTER body SET NOT NULL"),
        ("ALTER TABLE notes ALTER body SET NOT NULL",),
    ],
    ids=["added", "marked", "validated", "set", "done"],
)
def test_a_killed_run_is_gone_on_with(project: Project, left: tuple[str, ...]) -> None:
    project.run(*left)
    project.migrate(set_it)
    check_set(project)


@pytest.mark.parametrize("left", [(), (CHECK, f"COMMENT ON CONSTRAINT memstore_not_null_body ON notes IS '{PENDING}'")])
def test_nulls_are_counted_and_nothing_is_left(project: Project, left: tuple[str, ...]) -> None:
    project.run("UPDATE notes SET body = NULL WHERE id <= 17", *left)
    message = r"notes.body: 17 rows violate .*SELECT \* FROM notes WHERE body IS NULL.* op.backfill\('notes', {'body'"
    with pytest.raises(MigrationError, match=message):
        project.migrate(set_it)
    check_set(project, is_set=False)
    project.run("UPDATE notes SET body = '' WHERE body IS NULL")
    project.migrate(set_it)
    check_set(project)


def test_one_for_new_rows_alone_is_made_one_for_all(project: Project, server: Server) -> None:
    if server.major < 18:
        pytest.skip("NOT NULL NOT VALID came with PostgreSQL 18")
    project.run(
        "UPDATE notes SET body = NULL WHERE id = 1", "ALTER TABLE notes ADD CONSTRAINT nn NOT NULL body NOT VALID"
    )
    with pytest.raises(MigrationError, match="1 row violates NOT NULL body. It was there before, and stays: notes.nn"):
        project.migrate(set_it)
    project.run("UPDATE notes SET body = '' WHERE id = 1")
    project.migrate(set_it)
    assert project.ask("SELECT convalidated FROM pg_constraint WHERE conname = 'nn'") == [(True,)]
    check_set(project)


def test_the_name_of_a_column_may_be_long(project: Project) -> None:
    project.run(*(f"ALTER TABLE notes ADD {LONG}{n} text NOT NULL DEFAULT 'x'" for n in range(2)))
    project.run(*(f"ALTER TABLE notes ALTER {LONG}{n} DROP NOT NULL" for n in range(2)))
    for n in range(2):
        project.migrate(set_column(f"{LONG}{n}"))
    found = project.ask(f"SELECT attnotnull FROM pg_attribute WHERE attname LIKE '{LONG}%'")
    assert (found, project.ask(CHECKS)) == ([(True,), (True,)], [])


def test_a_column_that_is_not_there_is_named(project: Project) -> None:
    for migration in (
        lambda op: op.set_not_null_safely("notes", "bdy"),
        lambda op: op.drop_not_null_safely("notes", "bdy"),
    ):
        with pytest.raises(MigrationError, match="there is no column bdy in no"):
            project.migrate(migration)


def test_a_reader_is_named_and_waited_for(project: Project) -> None:
    project.migrate(drop_it)
    pattern = r"notes.body: adding: no lock, 3 times. In the way: pid \d+ \(report, idle in transaction\)"
    with project.transaction("SET application_name = 'report'", "SELECT FROM notes") as connection:
        with pytest.raises(MigrationError, match=pattern):
            project.migrate(set_it, IMPATIENT)
        check_set(project, is_set=False)
        project.progress.clear()
        done = threading.Thread(target=project.migrate, args=(set_it,))
        done.start()
        while not any(progress.blocked_by for progress in project.progress):
            threading.Event().wait(0.01)
        connection.commit()
        done.join()
    check_set(project)


def test_in_a_transaction_of_somebody_else_it_takes_a_table_without_rows(project: Project) -> None:
    with pytest.raises(MigrationError, match="notes has rows.* memstore db upgrade"):
        project.migrate(set_it, callers_transaction=True)
    project.run("TRUNCATE notes")
    for _ in range(2):
        project.migrate(set_it, callers_transaction=True)
        check_set(project)
    project.migrate(drop_it, callers_transaction=True)
    check_set(project, is_set=False)


def test_rendered_sql_does_the_same(project: Project, server: Server) -> None:
    for _ in range(2):
        psql(server, project.url, project.rendered(set_it))
        check_set(project)
    psql(server, project.url, project.rendered(drop_it))
    check_set(project, is_set=False)
    _, _, stamp = project.rendered(set_it).rpartition("DO $check$")
    with pytest.raises(AssertionError, match="notes.body is not NOT NULL"):
        psql(server, project.url, f"DO $check${stamp}")


async def test_on_asyncpg_it_does_the_same(project: Project) -> None:
    engine: AsyncEngine = create_engine(project.url)
    async with engine.connect() as connection:
        for _ in range(2):
            await connection.run_sync(project.migrate_on, set_it)
            check_set(project)
        await connection.run_sync(project.migrate_on, drop_it)
    await engine.dispose()
    check_set(project, is_set=False)
