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

CONSTRAINTS = """
    SELECT conname::text, convalidated, pg_get_constraintdef(oid), obj_description(oid, 'pg_constraint')
    FROM pg_constraint WHERE conrelid = 'notes'::regclass AND contype IN ('c', 'f', 'u') ORDER BY 1
"""
AUTHORS = (
    "CREATE TABLE authors (name text PRIMARY KEY, born int, UNIQUE (name, born))",
    "INSERT INTO authors SELECT DISTINCT author FROM notes",
)
INDEXES = "SELECT relname::text FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid WHERE relname LIKE 'uq%'"


def check(op: Any) -> None:
    op.add_check_safely("ck_body", "notes", "length(body) > 0")


def refer(op: Any) -> None:
    op.add_foreign_key_safely(
        "fk_author", "notes", "authors", ["author"], ["name"], ondelete="SET NULL (author)", onupdate="CASCADE"
    )


def unique(op: Any) -> None:
    op.add_unique_safely("uq_body", "notes", ["body", "author"], deferrable=True, initially="DEFERRED")


BY_CHECK = ("ck_body", True, "CHECK ((length(body) > 0))", None)
BY_KEY = (
    "fk_author",
    True,
    "FOREIGN KEY (author) REFERENCES authors(name) ON UPDATE CASCADE ON DELETE SET NULL (author)",
    None,
)
BY_UNIQUE = ("uq_body", True, "UNIQUE (body, author) DEFERRABLE INITIALLY DEFERRED", None)

EACH = pytest.mark.parametrize(
    ("add", "made"), [(check, BY_CHECK), (refer, BY_KEY), (unique, BY_UNIQUE)], ids=["check", "foreign key", "unique"]
)


@pytest.fixture
def project(project: Project) -> Project:
    project.run(*AUTHORS)
    return project


def drop(made: tuple[Any, ...]) -> Body:
    return lambda op: op.drop_constraint_safely(made[0], "notes")


@EACH
def test_a_constraint_is_added_and_dropped_and_again(project: Project, add: Body, made: tuple[Any, ...]) -> None:
    for _ in range(2):
        project.migrate(add)
        assert project.ask(CONSTRAINTS) == [made]
    for _ in range(2):
        project.migrate(drop(made))
        assert project.ask(CONSTRAINTS) == []


@EACH
def test_rendered_sql_does_the_same_and_can_be_run_again(
    project: Project, server: Server, add: Body, made: tuple[Any, ...]
) -> None:
    script = project.rendered(add)
    psql(server, project.url, script)
    assert project.ask(CONSTRAINTS) == [made]
    psql(server, project.url, f"SET client_min_messages = warning; {script}")
    assert project.ask(CONSTRAINTS) == [made]
    psql(server, project.url, project.rendered(drop(made)))
    assert project.ask(CONSTRAINTS) == []


@EACH
async def test_on_asyncpg_it_does_the_same(project: Project, add: Body, made: tuple[Any, ...]) -> None:
    engine: AsyncEngine = create_engine(project.url)
    async with engine.connect() as connection:
        for _ in range(2):
            await connection.run_sync(project.migrate_on, add)
        assert project.ask(CONSTRAINTS) == [made]
        await connection.run_sync(project.migrate_on, drop(made))
    await engine.dispose()
    assert project.ask(CONSTRAINTS) == []


@EACH
def test_in_a_transaction_of_somebody_else_it_takes_a_table_without_rows(
    project: Project, add: Body, made: tuple[Any, ...]
) -> None:
    with pytest.raises(MigrationError, match="notes has rows.* memstore db upgrade"):
        project.migrate(add, callers_transaction=True)
    project.run("TRUNCATE notes")
    for _ in range(2):
        project.migrate(add, callers_transaction=True)
        assert project.ask(CONSTRAINTS) == [made]
    project.migrate(drop(made), callers_transaction=True)
    assert project.ask(CONSTRAINTS) == []


def test_what_was_validated_by_hand_is_not_pending_any_more(project: Project) -> None:
    project.migrate(check)
    project.run(f"COMMENT ON CONSTRAINT ck_body ON notes IS '{PENDING}'")
    project.migrate(check)
    assert project.ask(CONSTRAINTS) == [BY_CHECK]


KILLED = {
    "check": (check, BY_CHECK, "ALTER TABLE notes ADD CONSTRAINT ck_body CHECK (length(body) > 0) NOT VALID"),
    "foreign key": (
        refer,
        BY_KEY,
        """ALTER TABLE notes ADD CONSTRAINT fk_author FOREIGN KEY (author) REFERENCES authors
           ON UPDATE CASCADE ON DELETE SET NULL (author) NOT VALID""",
    ),
    "unique": (unique, BY_UNIQUE, "CREATE UNIQUE INDEX uq_body ON notes (body, author)"),
}


@pytest.mark.parametrize(("add", "made", "left"), KILLED.values(), ids=KILLED)
def test_a_killed_run_is_gone_on_with(project: Project, add: Body, made: tuple[Any, ...], left: str) -> None:
    project.run(left)
    if add is not unique:
        project.run(f"COMMENT ON CONSTRAINT {made[0]} ON notes IS '{PENDING}'")
    project.migrate(add)
    assert project.ask(CONSTRAINTS) == [made]


VIOLATED = {
    "check": (
        lambda op: op.add_check_safely("ck", "notes", "notes.length > 1 AND body NOT LIKE '%:x%'", schema="public"),
        ("UPDATE notes SET length = id, body = author",),
        r"add_check_safely public.notes.ck: 1 row violates CHECK .*SELECT \* FROM public.notes WHERE NOT .*op.backfill",
    ),
    "foreign key": (
        refer,
        ("DELETE FROM authors WHERE name = 'author 3'", "UPDATE notes SET author = NULL WHERE id = 1"),
        "add_foreign_key_safely notes.fk_author: 30 rows violate FOREIGN KEY .*NOT EXISTS .* or op.backfill",
    ),
    "composite": (
        lambda op: op.add_foreign_key_safely("fk", "notes", "authors", ["author", "length"], ["name", "born"]),
        ("UPDATE notes SET length = id WHERE id <= 7",),
        "add_foreign_key_safely notes.fk: 7 rows violate FOREIGN KEY",
    ),
    "composite, full": (
        lambda op: op.add_foreign_key_safely(
            "fk", "notes", "authors", ["author", "length"], ["name", "born"], match="FULL"
        ),
        ("UPDATE notes SET author = NULL WHERE id <= 7",),
        "add_foreign_key_safely notes.fk: 293 rows violate FOREIGN KEY",
    ),
    "unique": (
        lambda op: op.add_unique_safely("uq", "notes", ["author"]),
        ("UPDATE notes SET author = NULL WHERE id % 10 = 1",),
        r"add_unique_safely notes.uq: 9 values of \(author\) are there more than once, one of them 30 times",
    ),
    "unique, also nulls": (
        lambda op: op.add_unique_safely("uq", "notes", ["length"], nulls_not_distinct=True),
        (),
        r"add_unique_safely notes.uq: 1 values of \(length\) are there more than once, one of them 300 times",
    ),
}


@pytest.mark.parametrize(("add", "before", "message"), VIOLATED.values(), ids=VIOLATED)
def test_rows_that_violate_it_are_counted_and_nothing_is_left(
    project: Project, add: Body, before: tuple[str, ...], message: str
) -> None:
    project.run(*before)
    for _ in range(2):
        with pytest.raises(MigrationError, match=message):
            project.migrate(add)
        assert project.ask(CONSTRAINTS) == []
        assert project.ask(INDEXES) == []


def test_what_a_killed_run_left_is_taken_away_too_where_rows_violate_it(project: Project) -> None:
    project.run("UPDATE notes SET body = '' WHERE id = 1", KILLED["check"][2])
    pending = f"COMMENT ON CONSTRAINT ck_body ON notes IS '{PENDING}'"
    project.run(pending)
    with pytest.raises(MigrationError, match="1 row violates"):
        project.migrate(check)
    assert project.ask(CONSTRAINTS) == []


def test_what_somebody_else_added_for_new_rows_alone_stays(project: Project) -> None:
    project.run("UPDATE notes SET body = '' WHERE id = 1", KILLED["check"][2])
    with pytest.raises(MigrationError, match="1 row violates .* It was there before, and stays: notes.ck_body"):
        project.migrate(check)
    assert [row[:2] for row in project.ask(CONSTRAINTS)] == [("ck_body", False)]
    project.run("UPDATE notes SET body = 'x' WHERE id = 1")
    project.migrate(check)
    assert project.ask(CONSTRAINTS) == [BY_CHECK]


def test_a_condition_that_fails_leaves_nothing(project: Project) -> None:
    with pytest.raises(sa.exc.DataError):
        project.migrate(lambda op: op.add_check_safely("ck", "notes", "1 / (id - 1) >= 0"))
    assert project.ask(CONSTRAINTS) == []


OTHERS = {
    "check": (check, "ck_body CHECK (length(body) >= 1)", r"another one: CHECK \(\(length\(body\) >= 1\)\)"),
    "foreign key": (
        refer,
        "fk_author FOREIGN KEY (author) REFERENCES authors ON DELETE CASCADE",
        r"another one: .*ON DELETE CASCADE. Asked for: .*REFERENCES authors\(name\) ON UPDATE CASCADE ON DELETE SET",
    ),
    "another table": (
        refer,
        "fk_author FOREIGN KEY (author) REFERENCES others ON UPDATE CASCADE ON DELETE SET NULL (author)",
        r"another one: .*REFERENCES others\(name\).* Asked for: .*REFERENCES authors\(name\)",
    ),
    "unique": (unique, "uq_body UNIQUE (body, author)", r"another one: UNIQUE \(body, author\). Asked for: .*DEFERRED"),
    "another kind": (check, "ck_body UNIQUE (id)", r"another one: UNIQUE \(id\). Asked for: CHECK"),
}


@pytest.mark.parametrize(("add", "constraint", "message"), OTHERS.values(), ids=OTHERS)
def test_another_constraint_of_that_name_is_refused(project: Project, add: Body, constraint: str, message: str) -> None:
    project.run("CREATE TABLE others (LIKE authors INCLUDING ALL)", "INSERT INTO others SELECT * FROM authors")
    project.run(f"ALTER TABLE notes ADD CONSTRAINT {constraint}")
    before = project.ask(CONSTRAINTS)
    with pytest.raises(MigrationError, match=f"{message}.* op.drop_constraint_safely"):
        project.migrate(add)
    assert project.ask(CONSTRAINTS) == before


def test_an_index_of_that_name_that_is_another_is_refused(project: Project) -> None:
    project.run("CREATE INDEX uq_body ON notes (body)")
    with pytest.raises(MigrationError, match="an index uq_body already, another one"):
        project.migrate(unique)


ORDER = (
    'CREATE SCHEMA "Se:t"',
    'CREATE TABLE "Se:t"."Order" ("I:d" int PRIMARY KEY, "Of %" text, "User" int)',
)
ORDERS = """INSERT INTO "Se:t"."Order" VALUES (1, 'a %\\:b', NULL) ON CONFLICT ("I:d") DO UPDATE SET "User" = NULL"""
DEFINITIONS = """
    SELECT conname::text, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE conrelid = '"Se:t"."Order"'::regclass AND contype IN ('c', 'f', 'u') ORDER BY 1
"""
FOUND = """SELECT "Of %", "User" FROM "Se:t"."Order" """


def odd(op: Any) -> None:
    op.backfill("Order", {"User": "5 % 2"}, where="""\"User" IS NULL AND "Of %" LIKE '%:b'""", schema="Se:t")
    op.add_check_safely("Ck %", "Order", """\"Of %" LIKE '%:b' AND 5 % 2 = 1 AND "Of %"::text <> ''""", schema="Se:t")
    op.add_unique_safely("Uq :x", "Order", ["Of %", "User"], schema="Se:t", nulls_not_distinct=True)
    op.add_foreign_key_safely(
        "Fk", "Order", "Order", ["User"], ["I:d"], source_schema="Se:t", referent_schema="Se:t", initially="DEFERRED"
    )
    op.set_not_null_safely("Order", "Of %", schema="Se:t")


def even(op: Any) -> None:
    for name in ("Ck %", "Uq :x", "Fk"):
        op.drop_constraint_safely(name, "Order", schema="Se:t")
    op.drop_not_null_safely("Order", "Of %", schema="Se:t")


def test_names_and_texts_are_quoted(project: Project, server: Server) -> None:
    project.run(*ORDER)
    for _ in range(2):
        project.run(ORDERS)
        project.migrate(odd)
    online = project.ask(DEFINITIONS), project.ask(FOUND)
    assert [name for name, _ in online[0]] == ["Ck %", "Fk", "Uq :x"]
    assert online[1] == [("a %:b", 1)]
    project.migrate(even)
    assert project.ask(DEFINITIONS) == []
    project.run(ORDERS)
    psql(server, project.url, project.rendered(odd))
    assert (project.ask(DEFINITIONS), project.ask(FOUND)) == online
    psql(server, project.url, project.rendered(even))
    assert project.ask(DEFINITIONS) == []


LOCKS = {
    "check": (check, "SELECT FROM notes", "notes"),
    "foreign key": (refer, "UPDATE authors SET born = 1", "authors"),
    "unique": (unique, "SELECT FROM notes", "notes"),
    "drop": (lambda op: op.drop_constraint_safely("fk_old", "notes"), "SELECT FROM authors", "authors"),
}


@pytest.mark.parametrize(("migration", "held", "table"), LOCKS.values(), ids=LOCKS)
def test_who_is_in_the_way_is_named_and_waited_for(project: Project, migration: Body, held: str, table: str) -> None:
    project.run("ALTER TABLE notes ADD CONSTRAINT fk_old FOREIGN KEY (author) REFERENCES authors")
    before = project.ask(CONSTRAINTS)
    pattern = r"no lock, 3 times. In the way: pid \d+ \(report, idle in transaction\)"
    with project.transaction("SET application_name = 'report'", held) as connection:
        with pytest.raises(MigrationError, match=pattern):
            project.migrate(migration, IMPATIENT)
        assert project.ask(CONSTRAINTS) == before
        project.progress.clear()
        done = threading.Thread(target=project.migrate, args=(migration,))
        done.start()
        while not any(progress.blocked_by for progress in project.progress):
            threading.Event().wait(0.01)
        # Nobody waits behind it for long: it lets go, and tries again.
        with project.transaction("SET lock_timeout = '10s'", f"INSERT INTO {table} SELECT FROM {table} LIMIT 0"):
            pass
        connection.commit()
        done.join()
    assert project.ask(CONSTRAINTS) != before


def test_rows_are_read_and_written_while_they_are_looked_at(project: Project) -> None:
    project.run(
        """CREATE FUNCTION slow(text) RETURNS bool LANGUAGE plpgsql AS
           $$ BEGIN PERFORM pg_advisory_lock(7), pg_advisory_unlock(7); RETURN true; END $$"""
    )
    with project.transaction("SELECT pg_advisory_lock(7)") as connection:
        looking = threading.Thread(
            target=project.migrate, args=(lambda op: op.add_check_safely("ck", "notes", "id > 300 OR slow(body)"),)
        )
        looking.start()
        while not any(progress.blocked_by for progress in project.progress):
            threading.Event().wait(0.01)
        assert [row[:2] for row in project.ask(CONSTRAINTS)] == [("ck", False)]
        project.run("SET lock_timeout = '10s'", "UPDATE authors SET born = 1", "INSERT INTO notes (author) VALUES ('')")
        connection.execute(sa.text("SELECT pg_advisory_unlock(7)"))
        looking.join()
    assert [row[:2] for row in project.ask(CONSTRAINTS)] == [("ck", True)]


def test_a_violation_that_cannot_be_taken_away_says_so(project: Project) -> None:
    project.run("UPDATE notes SET body = '' WHERE id = 1", KILLED["check"][2])
    project.run(f"COMMENT ON CONSTRAINT ck_body ON notes IS '{PENDING}'")
    with project.transaction("SELECT FROM notes"), pytest.raises(MigrationError, match="1 row violates.*left behind"):
        project.migrate(check, IMPATIENT)
    assert [row[:2] for row in project.ask(CONSTRAINTS)] == [("ck_body", False)]
    with pytest.raises(MigrationError, match="1 row violates"):
        project.migrate(check)
    assert project.ask(CONSTRAINTS) == []


@EACH
def test_a_script_that_went_on_after_an_error_is_not_stamped(
    project: Project, server: Server, add: Body, made: tuple[Any, ...]
) -> None:
    script = project.rendered(add)
    _, _, stamp = script.rpartition("DO $check$")
    with pytest.raises(AssertionError, match=f"the constraint notes.{made[0]} is not there, or not valid"):
        psql(server, project.url, f"DO $check${stamp}")


def test_keys_of_different_lengths_are_refused(project: Project) -> None:
    with pytest.raises(MigrationError, match="as many columns on one side as on the other"):
        project.migrate(lambda op: op.add_foreign_key_safely("fk", "notes", "authors", ["author"], ["name", "born"]))
