from __future__ import annotations

import logging
import threading
from itertools import pairwise
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from memstore.database import create_engine
from memstore.errors import MigrationError
from tests.cli.command import psql
from tests.migrations.operations.revision import IMPATIENT, Project
from tests.support import Server

LEFT = "SELECT count(*) FROM notes WHERE length IS DISTINCT FROM length(body)"
TOUCHED = "SELECT count(*), count(DISTINCT xmin::text) FROM notes"
COUNT_UPDATES = (
    "CREATE TABLE updates (id int)",
    """CREATE FUNCTION count_update() RETURNS trigger LANGUAGE plpgsql AS
       $$ BEGIN INSERT INTO updates VALUES (NEW.id); RETURN NULL; END $$""",
    "CREATE TRIGGER counted AFTER UPDATE ON notes FOR EACH ROW EXECUTE FUNCTION count_update()",
)
UPDATES = "SELECT count(*), count(DISTINCT id) FROM updates"


def fill(op: Any) -> None:
    op.backfill("notes", {"length": "length(body)"}, where="length IS NULL")


def fill_by_fours(op: Any) -> None:
    op.backfill("notes", "length = length(notes.body)", where="notes.length IS NULL", batch_rows=4)


def wait_until_blocked(project: Project) -> None:
    while not any(progress.blocked_by for progress in project.progress):
        threading.Event().wait(0.01)


def test_each_row_is_done_once_in_batches(project: Project, caplog: pytest.LogCaptureFixture) -> None:
    project.run(*COUNT_UPDATES)
    with caplog.at_level(logging.INFO, "memstore"):
        project.migrate(fill)
        project.migrate(fill)
    assert project.ask(LEFT) == [(0,)]
    assert project.ask(UPDATES) == [(300, 300)]
    assert [line for line in caplog.messages if "rows done" in line] == [
        "backfill notes: 300 rows done",
        "backfill notes: 0 rows done",
    ]
    told = [(each.done, each.total) for each in project.progress if each.done]
    assert told[0] == (32, 300)
    assert told[-1] == (300, 300)
    assert all(each.eta_s is not None for each in project.progress if each.done and each.done > 32)


def test_a_batch_is_a_transaction_of_so_many_rows(project: Project) -> None:
    project.migrate(fill_by_fours)
    assert project.ask(LEFT) == [(0,)]
    assert project.ask(TOUCHED) == [(300, 75)]


def test_batches_grow_while_they_are_short_and_shrink_when_they_are_long(project: Project) -> None:
    project.run("INSERT INTO notes (body) SELECT 'x' FROM generate_series(1, 5000)")
    project.migrate(fill)
    steps = steps_of(project)
    assert max(steps) >= 256
    project.run(
        "CREATE FUNCTION slow() RETURNS int LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.02); RETURN 1; END $$",
        "DELETE FROM notes WHERE id > 45",
        "UPDATE notes SET length = NULL",
    )
    project.progress.clear()
    project.migrate(lambda op: op.backfill("notes", "length = slow()", where="length IS NULL"))
    assert steps_of(project)[:2] == [32, 8]


def steps_of(project: Project) -> list[int]:
    done = [0, *(each.done for each in project.progress if each.done is not None)]
    return [after - before for before, after in pairwise(done)]


def test_a_killed_run_is_gone_on_with(project: Project) -> None:
    project.run(*COUNT_UPDATES, "UPDATE notes SET length = length(body) WHERE id % 3 > 0", "DELETE FROM updates")
    project.migrate(fill_by_fours)
    assert project.ask(LEFT) == [(0,)]
    assert project.ask(UPDATES) == [(100, 100)]


TABLES = {
    "text": ('name text COLLATE "C"', "name", "('a b' || n)"),
    "uuid": ("name uuid", "name", "md5(n::text)::uuid"),
    "composite": ('"a:b" int, at timestamptz', '"a:b", at', "n % 7, '2026-01-01'::timestamptz + n * '1 us'::interval"),
    "others": ("name varchar(9), on_day date, d numeric(9, 3)", "name, on_day, d", "n % 3, '2026-01-01', n / 7.0"),
}


@pytest.mark.parametrize(("columns", "key", "values"), TABLES.values(), ids=TABLES)
def test_any_key_is_walked_through(project: Project, columns: str, key: str, values: str) -> None:
    project.run(
        rf"CREATE TABLE things ({columns}, done int, PRIMARY KEY ({key}))".replace(":", r"\:"),
        rf"INSERT INTO things SELECT {values} FROM generate_series(1, 200) AS n".replace("::", "\\:\\:"),
    )
    project.migrate(lambda op: op.backfill("things", "done = 1", where="done IS NULL", batch_rows=7, schema="public"))
    assert project.ask("SELECT done, count(*), count(DISTINCT xmin::text) FROM things GROUP BY 1") == [(1, 200, 29)]


def test_a_table_without_a_primary_key_needs_another_key(project: Project) -> None:
    project.run("ALTER TABLE notes DROP CONSTRAINT notes_pkey")
    with pytest.raises(MigrationError, match="backfill notes: the table has no primary key. Needed: key="):
        project.migrate(fill)

    def by_id(op: Any) -> None:
        op.backfill("notes", {"length": "length(body)"}, where="length IS NULL", key="id")

    for statement in (None, "CREATE INDEX ON notes (id)", "CREATE UNIQUE INDEX ON notes (id) WHERE id > 7"):
        if statement:
            project.run(statement)
        with pytest.raises(MigrationError, match=r"key=\['id'\] does not tell the rows apart.*NOT NULL.*unique index"):
            project.migrate(by_id)
    project.run("CREATE UNIQUE INDEX ON notes (id)", "ALTER TABLE notes ALTER id DROP IDENTITY, ALTER id DROP NOT NULL")
    with pytest.raises(MigrationError, match="does not tell the rows apart"):
        project.migrate(by_id)
    project.run("ALTER TABLE notes ALTER id SET NOT NULL")
    project.migrate(by_id)
    assert project.ask(LEFT) == [(0,)]


def test_the_partitions_of_a_table_are_walked_through(project: Project, server: Server) -> None:
    project.run(
        "CREATE TABLE things (id int PRIMARY KEY, done int) PARTITION BY RANGE (id)",
        "CREATE TABLE few PARTITION OF things FOR VALUES FROM (0) TO (10)",
        "CREATE TABLE many PARTITION OF things FOR VALUES FROM (10) TO (1000)",
        "INSERT INTO things SELECT n FROM generate_series(1, 999) AS n",
    )

    def fill_things(op: Any) -> None:
        op.backfill("things", "done = things.id", where="things.done IS NULL")

    found = "SELECT count(*) FROM things WHERE done = id"
    project.migrate(fill_things)
    assert project.ask(found) == [(999,)]
    project.run("UPDATE things SET done = NULL")
    psql(server, project.url, project.rendered(fill_things))
    assert project.ask(found) == [(999,)]


NEVER = {
    "the same": ("length = NULL", "length IS NULL"),
    "by a trigger": ("length = 1", "author <> 'done'"),
}


@pytest.mark.parametrize(("assignments", "where"), NEVER.values(), ids=NEVER)
def test_what_would_never_end_is_refused(project: Project, server: Server, assignments: str, where: str) -> None:
    def endless(op: Any) -> None:
        op.backfill("notes", assignments, where=where)

    before = project.ask(TOUCHED)
    with pytest.raises(MigrationError, match="32 rows that were updated still satisfy `where`"):
        project.migrate(endless)
    with pytest.raises(AssertionError, match=r"\d+ rows that were updated are still to be done"):
        psql(server, project.url, project.rendered(endless))
    assert project.ask(TOUCHED) == before


def test_a_condition_may_look_at_the_table_itself(project: Project, server: Server) -> None:
    def follow(op: Any) -> None:
        op.backfill(
            "notes",
            "length = length(body)",
            where="NOT EXISTS (SELECT FROM notes AS other WHERE other.id = notes.id AND other.length IS NOT NULL)",
        )

    project.migrate(follow)
    assert project.ask(LEFT) == [(0,)]
    project.run("UPDATE notes SET length = NULL")
    psql(server, project.url, project.rendered(follow))
    assert project.ask(LEFT) == [(0,)]


def test_rows_that_no_pass_gets_done_are_told_of(project: Project) -> None:
    project.run(
        """CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
           $$ BEGIN RETURN CASE WHEN OLD.id <> 7 THEN NEW END; END $$""",
        "CREATE TRIGGER refused BEFORE UPDATE ON notes FOR EACH ROW EXECUTE FUNCTION refuse()",
    )
    with pytest.raises(
        MigrationError, match=r"after 3 passes rows are left.*SELECT \* FROM notes WHERE .length IS NULL"
    ):
        project.migrate(fill, IMPATIENT)
    assert project.ask("SELECT id FROM notes WHERE length IS NULL") == [(7,)]


def test_rows_that_come_in_as_fast_as_they_are_done_do_not_keep_it_for_ever(project: Project) -> None:
    batches = 0

    def write(_connection: sa.Connection, _cursor: Any, statement: str, *_others: Any) -> None:
        nonlocal batches
        if "memstore_batch" in statement:
            batches += 1
            assert batches < 500
            project.run("INSERT INTO notes (body) SELECT 'x' FROM generate_series(1, 100)")

    with project.engine.connect() as connection:
        sa.event.listen(connection, "before_cursor_execute", write)
        with pytest.raises(MigrationError, match="after 3 passes rows are left.*They come in as fast as they are done"):
            project.migrate_on(
                connection,
                lambda op: op.backfill("notes", "length = 1", where="length IS NULL", batch_rows=100),
                IMPATIENT,
            )
    assert project.ask("SELECT count(*) FROM notes WHERE id <= 300 AND length IS NULL") == [(0,)]


@pytest.mark.parametrize(
    "held", ["SELECT FROM notes WHERE id = 7 FOR SHARE", "UPDATE notes SET author = '' WHERE id = 7"]
)
def test_a_locked_row_comes_last(project: Project, held: str) -> None:
    with project.transaction("SET application_name = 'report'", held) as connection:
        with pytest.raises(MigrationError, match=r"waiting for a row: no lock.*In the way: pid \d+ \(report, idle in"):
            project.migrate(fill, IMPATIENT)
        assert project.ask("SELECT id FROM notes WHERE length IS NULL") == [(7,)]
        project.progress.clear()
        project.run("UPDATE notes SET length = NULL WHERE id > 250")
        done = threading.Thread(target=project.migrate, args=(fill,))
        done.start()
        wait_until_blocked(project)
        assert project.ask("SELECT id FROM notes WHERE length IS NULL") == [(7,)]
        # It waits for that row, and keeps no other.
        project.run("SET lock_timeout = '10s'", "UPDATE notes SET author = 'me' WHERE id <> 7")
        connection.commit()
        done.join()
    assert project.ask(LEFT) == [(0,)]


def test_a_row_that_others_refer_to_is_not_waited_for(project: Project) -> None:
    with project.transaction("SELECT FROM notes FOR KEY SHARE"):
        project.migrate(fill, IMPATIENT)
    assert project.ask(LEFT) == [(0,)]


def test_a_key_that_others_refer_to_is_waited_for_with_no_row_kept(project: Project) -> None:
    project.run("ALTER TABLE notes ADD UNIQUE (length)")
    with project.transaction("SELECT FROM notes WHERE id = 7 FOR KEY SHARE") as connection:
        done = threading.Thread(target=project.migrate, args=(fill,))
        done.start()
        wait_until_blocked(project)
        while project.ask("SELECT count(*) FROM notes WHERE length IS NULL") != [(1,)]:
            threading.Event().wait(0.01)
        connection.commit()
        done.join()
    assert project.ask(LEFT) == [(0,)]


def test_what_was_done_meanwhile_is_not_done_again(project: Project) -> None:
    with project.transaction("UPDATE notes SET length = -1 WHERE id = 7") as connection:
        done = threading.Thread(target=project.migrate, args=(fill,))
        done.start()
        wait_until_blocked(project)
        connection.commit()
        done.join()
    assert project.ask("SELECT id, length FROM notes WHERE length IS DISTINCT FROM length(body)") == [(7, -1)]


def test_a_deadlock_is_tried_again(project: Project) -> None:
    # A trigger takes what the other has, who then wants a row of the batch.
    project.run(
        """CREATE FUNCTION meet() RETURNS trigger LANGUAGE plpgsql AS
           $$ BEGIN PERFORM pg_advisory_xact_lock(7); RETURN NEW; END $$""",
        "CREATE TRIGGER met BEFORE UPDATE ON notes FOR EACH ROW WHEN (NEW.length IS NOT NULL) EXECUTE FUNCTION meet()",
    )
    with project.transaction("SELECT pg_advisory_xact_lock(7)") as connection:
        done = threading.Thread(target=project.migrate, args=(fill,))
        done.start()
        while not project.ask("SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"):
            threading.Event().wait(0.01)
        connection.execute(sa.text("UPDATE notes SET author = 'me' WHERE id <= 32"))
        connection.commit()
        done.join()
    assert project.ask(LEFT) == [(0,)]
    assert any("busy, trying again" in each.phase for each in project.progress)


def test_policies_that_hide_rows_are_told_of(project: Project, server: Server) -> None:
    project.run(
        "CREATE ROLE filler", "ALTER TABLE notes OWNER TO filler", "ALTER TABLE notes ENABLE ROW LEVEL SECURITY"
    )
    try:
        with project.engine.connect() as connection:
            connection.execute(sa.text("SET SESSION AUTHORIZATION filler"))
            connection.commit()
            project.run("ALTER TABLE notes FORCE ROW LEVEL SECURITY")
            with pytest.raises(MigrationError, match="row level security holds .* NO FORCE ROW LEVEL SECURITY"):
                project.migrate_on(connection, fill)
            with pytest.raises(AssertionError, match="would be affected by row-level security policy"):
                psql(server, project.url, f"SET SESSION AUTHORIZATION filler; {project.rendered(fill)}")
            project.run("ALTER TABLE notes NO FORCE ROW LEVEL SECURITY")
            project.migrate_on(connection, fill)
        assert project.ask(LEFT) == [(0,)]
    finally:
        project.run("REASSIGN OWNED BY filler TO CURRENT_USER", "DROP ROLE filler")


def test_in_a_transaction_of_somebody_else_it_takes_a_table_without_rows(project: Project) -> None:
    with pytest.raises(MigrationError, match="notes has rows.* memstore db upgrade"):
        project.migrate(fill, callers_transaction=True)
    project.run("TRUNCATE notes")
    project.migrate(fill, callers_transaction=True)
    with pytest.raises(MigrationError, match='column "lenth" does not exist. Name what is there'):
        project.migrate(lambda op: op.backfill("notes", "length = 1", where="lenth IS NULL"), callers_transaction=True)


def test_rendered_sql_does_the_same(project: Project, server: Server) -> None:
    project.run("INSERT INTO notes (body) SELECT repeat('x', n % 100) FROM generate_series(1, 20000) AS n")
    script = project.rendered(fill)
    psql(server, project.url, script)
    assert project.ask(LEFT) == [(0,)]
    ((rows, batches),) = project.ask(TOUCHED)
    assert (rows, batches > 5) == (20300, True)
    psql(server, project.url, script)
    assert project.ask(TOUCHED) == [(rows, batches)]


def test_a_script_that_went_on_after_an_error_is_not_stamped(project: Project, server: Server) -> None:
    _, _, stamp = project.rendered(fill).rpartition("DO $check$")
    with pytest.raises(AssertionError, match="rows of notes are still to be done"):
        psql(server, project.url, f"DO $check${stamp}")


async def test_on_asyncpg_it_does_the_same(project: Project) -> None:
    engine: AsyncEngine = create_engine(project.url)
    with project.transaction("UPDATE notes SET author = '' WHERE id = 7"):
        async with engine.connect() as connection:
            with pytest.raises(MigrationError, match="waiting for a row: no lock"):
                await connection.run_sync(project.migrate_on, fill_by_fours, IMPATIENT)
    async with engine.connect() as connection:
        await connection.run_sync(project.migrate_on, fill_by_fours)
    await engine.dispose()
    assert project.ask(LEFT) == [(0,)]


def test_a_batch_has_rows(project: Project) -> None:
    with pytest.raises(MigrationError, match="batch_rows is 0. Needed: 1"):
        project.migrate(lambda op: op.backfill("notes", "length = 1", where="true", batch_rows=0))
