from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL

from memstore.errors import MigrationError
from memstore.migrations.operations.archive import MovedRows
from tests.migrations.operations.revision import Body, Project
from tests.support import raw_dsn, server_program

Go = Callable[[Project, Body], None]

# A value of each type that a copy could spoil.
THINGS = r"""
    CREATE TABLE things (
        id int PRIMARY KEY GENERATED ALWAYS AS IDENTITY, number bigserial, "a ""name"" \:x" text, amount numeric,
        at timestamptz, until date, share double precision, bits bit(3), near vector(3), half halfvec(2), far vector,
        data jsonb, words text[], raw bytea, colour colour, colours colour[], name short,
        length int GENERATED ALWAYS AS (length("a ""name"" \:x")) STORED,
        found tsvector GENERATED ALWAYS AS (to_tsvector('english', coalesce("a ""name"" \:x", ''))) STORED,
        updated_at timestamptz NOT NULL DEFAULT now()
    )
"""
TYPES = ("CREATE TYPE colour AS ENUM ('red', 'dark blue')", "CREATE DOMAIN short AS varchar(5) CHECK (value <> '')")
NO_TYPES = ("DROP TYPE colour", "DROP DOMAIN short")
VALUES = r"""
    INSERT INTO things ("a ""name"" \:x", amount, at, until, share, bits, near, half, far, data, words, raw, colour,
                        colours, name, updated_at)
    VALUES ('it''s \:x 100% \ $$', 'NaN', 'infinity', '-infinity', '-0', '101', '[0.1,-0,1e-30]', '[0.1,2]', '[1,2]',
            '{"a": [1.10, null]}', '{"a,b",NULL,"\""}', '\x00ff', 'dark blue', '{red,"dark blue"}', 'ab', '2000-01-01'),
           (NULL, 1.10, '2026-01-01 00:00:00.123456+00', NULL, 'NaN', NULL, NULL, NULL, '[1]', 'null', '{}', '', NULL,
            '{}', NULL, '2000-01-02')
"""
REFUSE = """
    CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'fired'; END $$
"""
TRIGGERS = (
    REFUSE,
    "CREATE TRIGGER always BEFORE INSERT OR UPDATE ON things FOR EACH ROW EXECUTE FUNCTION refuse()",
    "CREATE TRIGGER never BEFORE INSERT OR UPDATE ON things FOR EACH ROW EXECUTE FUNCTION refuse()",
    "CREATE TRIGGER usual AFTER INSERT OR UPDATE ON things FOR EACH ROW EXECUTE FUNCTION refuse()",
    "ALTER TABLE things ENABLE ALWAYS TRIGGER always, DISABLE TRIGGER never, FORCE ROW LEVEL SECURITY",
    "ALTER TABLE things ENABLE ROW LEVEL SECURITY",
)
STATES = """
    SELECT tgname::text, tgenabled::text FROM pg_trigger WHERE tgrelid = 'things'::regclass AND NOT tgisinternal
    ORDER BY 1
"""
ARCHIVED = """
    SELECT c.relname::text, obj_description(c.oid) FROM pg_class AS c
    WHERE relnamespace = to_regnamespace('memstore_archive') AND relkind = 'r' ORDER BY 1
"""


@pytest.fixture
def project(empty_url: URL) -> Project:
    project = Project(empty_url)
    project.run("CREATE EXTENSION vector")
    return project


def online(project: Project, body: Body) -> None:
    project.migrate(body)


def by_psql(project: Project, body: Body) -> None:
    command = [server_program("psql"), "-q", "-X", "-v", "ON_ERROR_STOP=1", "-d", raw_dsn(project.url)]
    done = subprocess.run(command, input=project.rendered(body), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


both = pytest.mark.parametrize("go", [online, by_psql])


def execute(op: Any, *statements: str) -> None:
    for statement in statements:
        op.execute(text(statement))


def drop_things(op: Any) -> None:
    op.archive_table("things")
    execute(op, "DROP TABLE things", *NO_TYPES)


def make_things(op: Any) -> None:
    execute(op, *TYPES, THINGS, *TRIGGERS)
    op.restore_table("things")


def rows(project: Project, table: str = "things") -> list[tuple[Any, ...]]:
    return project.ask(f"SELECT t::text FROM {table} AS t ORDER BY 1")


def nothing_archived(project: Project) -> bool:
    return project.ask("SELECT to_regnamespace('memstore_archive')::text") == [(None,)]


@both
def test_every_value_of_a_table_comes_back(project: Project, go: Go) -> None:
    project.run(*TYPES, THINGS, VALUES, *TRIGGERS)
    before, states = rows(project), project.ask(STATES)
    go(project, drop_things)
    [(name, comment)] = project.ask(ARCHIVED)
    assert name == "public.things"
    assert comment.startswith("2 of public.things, archived on the way down from a downgrade at 20")
    go(project, make_things)
    assert (rows(project), project.ask(STATES)) == (before, states)
    assert project.ask("SELECT relforcerowsecurity FROM pg_class WHERE oid = 'things'::regclass") == [(True,)]
    assert nothing_archived(project)
    project.run("ALTER TABLE things DISABLE TRIGGER USER", "INSERT INTO things DEFAULT VALUES")
    assert project.ask("SELECT max(id), max(number) FROM things") == [(3, 3)]


NOTES = """
    CREATE TABLE notes (author text, number int, body text NOT NULL, length int DEFAULT 3,
                        updated_at timestamptz NOT NULL DEFAULT '2000-01-01', PRIMARY KEY (author, number))
"""
SOME = "INSERT INTO notes VALUES ('a', 1, 'one', 1), ('a', 2, 'two', NULL), ('b', 1, 'three', 3)"
STAMP = (
    "CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.updated_at := now(); RETURN NEW; END $$",
    "CREATE TRIGGER stamp BEFORE UPDATE ON notes FOR EACH ROW EXECUTE FUNCTION stamp()",
)


@pytest.fixture
def notes(project: Project) -> Project:
    project.run(NOTES, SOME, *STAMP)
    return project


def drop_notes(op: Any) -> None:
    op.archive_table("notes", schema="public")
    op.drop_table("notes", schema="public")


def drop_length(op: Any) -> None:
    op.archive_column("notes", "length")
    op.drop_column("notes", "length")


def add_length(op: Any) -> None:
    execute(op, "ALTER TABLE notes ADD length int DEFAULT 3")
    op.restore_column("notes", "length")


def restore_notes(definition: str) -> Body:
    def body(op: Any) -> None:
        execute(op, definition)
        op.restore_table("notes")

    return body


@both
def test_the_values_of_a_column_come_back_and_nothing_else_changes(notes: Project, go: Go) -> None:
    before = rows(notes, "notes")
    go(notes, drop_length)
    assert [name for name, _ in notes.ask(ARCHIVED)] == ["public.notes.length"]
    go(notes, add_length)
    columns = "(author, number, body, length, updated_at)"
    assert notes.ask(f"SELECT {columns}::text FROM notes ORDER BY 1") == before
    assert nothing_archived(notes)


def test_a_column_without_values_leaves_nothing(notes: Project) -> None:
    notes.run("ALTER TABLE notes ADD extra text")
    notes.migrate(lambda op: op.archive_column("notes", "extra"))
    assert nothing_archived(notes)


def test_values_of_rows_that_were_deleted_meanwhile_are_counted(
    notes: Project, caplog: pytest.LogCaptureFixture
) -> None:
    moved: list[MovedRows] = []
    notes.migrate(drop_length, memstore_moved=moved)
    notes.run("DELETE FROM notes WHERE author = 'b'", "INSERT INTO notes VALUES ('c', 1, 'four')")
    notes.migrate(add_length, memstore_moved=moved)
    archive = 'memstore_archive."public.notes.length"'
    assert moved == [
        MovedRows("archived", "public.notes.length", archive, 3),
        MovedRows("restored", "public.notes.length", archive, 2, gone=1),
    ]
    assert "1 values of public.notes.length had no row to come back to" in caplog.text
    assert notes.ask("SELECT author, number, length FROM notes ORDER BY 1, 2") == [
        ("a", 1, 1),
        ("a", 2, None),
        ("c", 1, 3),
    ]


@both
def test_a_table_without_rows_leaves_nothing_and_needs_nothing(project: Project, go: Go) -> None:
    project.run(NOTES)
    go(project, drop_notes)
    assert nothing_archived(project)
    go(project, restore_notes(NOTES))
    assert rows(project, "notes") == []


def test_an_archive_is_never_overwritten(notes: Project) -> None:
    notes.migrate(drop_notes)
    notes.run(NOTES)
    notes.migrate(drop_notes)  # without rows, there is nothing to overwrite it with
    notes.run(NOTES, "INSERT INTO notes VALUES ('d', 1, 'later')")
    with pytest.raises(
        MigrationError, match=r'cannot archive public.notes: .* DROP TABLE memstore_archive."public.notes"'
    ):
        notes.migrate(drop_notes)
    assert notes.ask("SELECT author FROM notes") == [("d",)]
    assert notes.ask('SELECT count(*) FROM memstore_archive."public.notes"') == [(3,)]


def test_a_table_that_has_changed_takes_what_both_have(notes: Project, caplog: pytest.LogCaptureFixture) -> None:
    notes.migrate(drop_notes)
    changed = NOTES.replace("length int DEFAULT 3", "words int NOT NULL DEFAULT 7")
    notes.migrate(restore_notes(changed))
    assert notes.ask("SELECT author, number, words FROM notes ORDER BY 1, 2") == [("a", 1, 7), ("a", 2, 7), ("b", 1, 7)]
    [(left, _)] = notes.ask(ARCHIVED)
    assert f"no place for some columns of its archive, which stays: memstore_archive.{left}" in caplog.text
    assert notes.ask(f'SELECT sum(length) FROM memstore_archive."{left}"') == [(4,)]
    notes.migrate(drop_notes)  # what is left is not in the way
    assert len(notes.ask(ARCHIVED)) == 2


def test_a_column_that_is_needed_and_not_archived_is_named(notes: Project) -> None:
    notes.migrate(drop_notes)
    with pytest.raises(MigrationError, match=r"cannot restore public.notes .*: words cannot be NULL, has no default"):
        notes.migrate(restore_notes(NOTES.replace("length int DEFAULT 3", "words int NOT NULL")))
    assert notes.ask("SELECT to_regclass('notes')::text") == [(None,)]
    assert notes.ask('SELECT count(*) FROM memstore_archive."public.notes"') == [(3,)]


REFUSED_COLUMNS = {
    "number": "it is part of the primary key",
    "nothing": "it is not there",
    "doubled": "it is generated",
}


@pytest.mark.parametrize("column", REFUSED_COLUMNS)
def test_a_column_that_cannot_come_back_is_not_archived(notes: Project, column: str) -> None:
    notes.run("ALTER TABLE notes ADD doubled int GENERATED ALWAYS AS (number * 2) STORED")
    with pytest.raises(
        MigrationError, match=f"cannot archive the column public.notes.{column}: {REFUSED_COLUMNS[column]}"
    ):
        notes.migrate(lambda op: op.archive_column("notes", column))


def test_a_column_of_a_table_without_a_primary_key_is_not_archived(notes: Project) -> None:
    notes.run("ALTER TABLE notes DROP CONSTRAINT notes_pkey")
    with pytest.raises(MigrationError, match="its table has no primary key"):
        notes.migrate(drop_length)


def test_a_transaction_that_cannot_see_all_rows_does_not_archive(notes: Project) -> None:
    with (
        notes.engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection,
        pytest.raises(MigrationError, match=r"in a transaction that is REPEATABLE READ.*READ COMMITTED"),
    ):
        notes.migrate_on(connection, drop_notes)
    assert len(rows(notes, "notes")) == 3


def test_names_that_look_alike_are_kept_apart(project: Project) -> None:
    long = "x" * 62
    names = ('"a.b"."c"', '"a"."b.c"', f'"a"."{long}y"', f'"a"."{long}z"', '"é~"."ü"')
    project.run('CREATE SCHEMA "a.b"', "CREATE SCHEMA a", 'CREATE SCHEMA "é~"')
    for number, name in enumerate(names):
        project.run(f"CREATE TABLE {name} AS SELECT {number} AS number")

    def tables(go: Callable[..., None]) -> None:
        for name in names:
            schema, table = name[1:-1].split('"."')
            go(table, schema=schema)

    project.migrate(lambda op: tables(op.archive_table))
    project.run(*(f"TRUNCATE {name}" for name in names))
    assert len(project.ask(ARCHIVED)) == len(names)
    project.migrate(lambda op: tables(op.restore_table))
    for number, name in enumerate(names):
        assert project.ask(f"SELECT number FROM {name}") == [(number,)]


def test_keys_that_are_checked_at_the_end_are_no_hindrance(project: Project) -> None:
    make = (
        "CREATE TABLE a (id int PRIMARY KEY, b int)",
        "CREATE TABLE b (id int PRIMARY KEY, a int REFERENCES a DEFERRABLE INITIALLY DEFERRED)",
        "ALTER TABLE a ADD CONSTRAINT to_b FOREIGN KEY (b) REFERENCES b DEFERRABLE INITIALLY DEFERRED",
        REFUSE,
        "CREATE TRIGGER refuse BEFORE INSERT ON b FOR EACH ROW EXECUTE FUNCTION refuse()",
    )
    project.run(
        *make, "ALTER TABLE b DISABLE TRIGGER refuse", "INSERT INTO a VALUES (1, NULL)", "INSERT INTO b VALUES (2, 1)"
    )
    project.run("UPDATE a SET b = 2")

    def down(op: Any) -> None:
        for table in ("a", "b"):
            op.archive_table(table)
        execute(op, "DROP TABLE a, b")

    def up(op: Any) -> None:
        execute(op, *make)
        for table in ("a", "b"):
            op.restore_table(table)

    project.migrate(down)
    project.migrate(up)
    assert project.ask("SELECT a.id, b.id FROM a JOIN b ON a.b = b.id AND b.a = a.id") == [(1, 2)]


def test_rows_that_do_not_all_come_back_keep_the_archive(notes: Project) -> None:
    notes.migrate(drop_notes)
    instead = f"{NOTES}; CREATE RULE elsewhere AS ON INSERT TO notes DO INSTEAD NOTHING"
    with pytest.raises(MigrationError, match=r'of 3 rows in memstore_archive."public.notes", 0 would come back'):
        notes.migrate(restore_notes(instead))
    assert notes.ask('SELECT count(*) FROM memstore_archive."public.notes"') == [(3,)]


def test_what_others_are_writing_is_waited_for(notes: Project) -> None:
    waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    with ThreadPoolExecutor(1) as pool, notes.engine.connect() as writer:
        writer.execute(text("INSERT INTO notes VALUES ('d', 1, 'late')"))
        migrating = pool.submit(notes.migrate, drop_notes)
        while notes.ask(waits) == [(0,)]:
            assert not migrating.done()
        writer.commit()
        migrating.result()
    assert notes.ask('SELECT count(*) FROM memstore_archive."public.notes"') == [(4,)]


@pytest.fixture
def owner(project: Project) -> Iterator[str]:
    """A role that is no superuser, and may create."""
    role = f"owner_{project.url.database}"
    project.run(f"CREATE ROLE {role}", f"GRANT CREATE ON SCHEMA public TO {role}")
    project.run(f"GRANT CREATE ON DATABASE {project.url.database} TO {role}")
    yield role
    project.run(f"DROP OWNED BY {role}", f"DROP ROLE {role}")


def as_role(project: Project, role: str, body: Body) -> None:
    with project.engine.connect() as connection:
        connection.execute(text(f"SET ROLE {role}"))
        connection.commit()
        project.migrate_on(connection, body)


HIDDEN = (
    "CREATE TABLE hidden (id int PRIMARY KEY, word text)",
    "ALTER TABLE hidden ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
)
FORCED = "SELECT relforcerowsecurity FROM pg_class WHERE relname = 'hidden'"


def drop_hidden(op: Any) -> None:
    op.archive_table("hidden")
    op.drop_table("hidden")


def make_hidden(op: Any) -> None:
    execute(op, *HIDDEN)
    op.restore_table("hidden")


def test_rows_that_are_hidden_from_their_owner_come_back(project: Project, owner: str) -> None:
    as_role(project, owner, lambda op: execute(op, *HIDDEN))
    project.run("INSERT INTO hidden VALUES (1, 'a')")
    as_role(project, owner, lambda op: op.archive_column("hidden", "word"))
    assert project.ask(FORCED) == [(True,)]
    project.run("UPDATE hidden SET word = NULL")
    as_role(project, owner, lambda op: op.restore_column("hidden", "word"))
    as_role(project, owner, drop_hidden)
    as_role(project, owner, make_hidden)
    assert rows(project, "hidden") == [("(1,a)",)]
    assert project.ask(FORCED) == [(True,)]
    assert nothing_archived(project)


def test_an_archive_of_somebody_else_is_not_trusted(notes: Project, owner: str) -> None:
    notes.migrate(drop_notes)
    notes.run(f"GRANT USAGE ON SCHEMA memstore_archive TO {owner}")
    with pytest.raises(MigrationError, match="that is no table, or belongs to another role"):
        as_role(notes, owner, restore_notes(NOTES))


def test_an_archive_that_may_not_be_looked_into_is_told_of(notes: Project, owner: str) -> None:
    notes.migrate(drop_notes)
    with pytest.raises(MigrationError, match="belongs to another role. Migrate as the role that owns"):
        as_role(notes, owner, restore_notes(NOTES))
    as_role(notes, owner, lambda op: execute(op, "CREATE TABLE others (id int)", "INSERT INTO others VALUES (1)"))
    refused = f"memstore_archive belongs to the role postgres.*ALTER SCHEMA memstore_archive OWNER TO {owner}"
    with pytest.raises(MigrationError, match=refused):
        as_role(notes, owner, lambda op: op.archive_table("others"))


def test_rows_that_came_in_since_are_named(notes: Project) -> None:
    notes.migrate(drop_notes)
    notes.run(NOTES, "INSERT INTO notes VALUES ('a', 1, 'since')")
    refused = r'notes_pkey" \(Key \(author, number\)=\(a, 1\) already exists.\). Change or delete what is in the way'
    with pytest.raises(MigrationError, match=refused):
        notes.migrate(lambda op: op.restore_table("notes"))
    notes.run("DELETE FROM notes")
    notes.migrate(lambda op: op.restore_table("notes"))
    assert notes.ask("SELECT count(*) FROM notes") == [(3,)]


@both
def test_the_format_of_the_session_changes_no_value(project: Project, go: Go) -> None:
    things = "CREATE TABLE things (id int PRIMARY KEY, day day, span span, share share, raw raw)"
    domains = {"day": "date", "span": "interval", "share": "double precision", "raw": "bytea"}
    types = [f"CREATE DOMAIN {name} AS {base}" for name, base in domains.items()]
    no_types = [f"DROP DOMAIN {name}" for name in domains]

    def down(op: Any) -> None:
        execute(op, "SET LOCAL datestyle = 'SQL, DMY'", "SET LOCAL intervalstyle = 'sql_standard'")
        execute(op, "SET LOCAL extra_float_digits = -15", "SET LOCAL bytea_output = 'escape'")
        op.archive_table("things")
        execute(op, "DROP TABLE things", *no_types)
        shown = "concat_ws('; ', current_setting('datestyle'), current_setting('intervalstyle'))"
        execute(op, f"CREATE TABLE shown AS SELECT {shown} AS style")

    def up(op: Any) -> None:
        execute(op, *types, things, "SET LOCAL datestyle = 'ISO, MDY'")
        op.restore_table("things")

    project.run(*types, things)
    project.run("INSERT INTO things VALUES (1, '2026-02-01', '-1 day +2 hours', 0.1, 'a\\\\b')")
    before = rows(project)
    go(project, down)
    assert project.ask("SELECT style FROM shown") == [("SQL, DMY; sql_standard",)]
    go(project, up)
    assert rows(project) == before


@both
def test_a_number_that_was_given_out_is_not_given_out_again(project: Project, go: Go) -> None:
    made = """CREATE TABLE counted (id int PRIMARY KEY GENERATED BY DEFAULT AS IDENTITY, number bigserial,
                                    down int GENERATED BY DEFAULT AS IDENTITY (INCREMENT -1))"""

    def table_down(op: Any) -> None:
        op.archive_table("counted")
        op.drop_table("counted")

    def table_up(op: Any) -> None:
        execute(op, made)
        op.restore_table("counted")

    def column_down(op: Any) -> None:
        op.archive_column("counted", "number")
        op.drop_column("counted", "number")

    def column_up(op: Any) -> None:
        execute(op, "ALTER TABLE counted ADD number bigserial")
        op.restore_column("counted", "number")

    project.run(made, "INSERT INTO counted SELECT FROM generate_series(1, 10)", "DELETE FROM counted WHERE id > 7")
    for way in (table_down, table_up, column_down, column_up):
        go(project, way)
    project.run("INSERT INTO counted DEFAULT VALUES")
    assert project.ask("SELECT id, number, down FROM counted WHERE id > 7") == [(11, 11, -11)]


def test_what_is_no_table_is_not_restored(notes: Project) -> None:
    notes.migrate(drop_notes)
    notes.run(
        'ALTER TABLE memstore_archive."public.notes" RENAME TO other',
        'CREATE VIEW memstore_archive."public.notes" AS SELECT * FROM memstore_archive.other',
    )
    with pytest.raises(MigrationError, match="that is no table, or belongs to another role"):
        notes.migrate(restore_notes(NOTES))


def test_the_comment_names_the_revision(notes: Project) -> None:
    notes.run("CREATE TABLE alembic_version AS SELECT 'c3_notes'::text AS version_num")
    notes.migrate(drop_notes)
    [(_, comment)] = notes.ask(ARCHIVED)
    assert comment.startswith("3 of public.notes, archived on the way down from c3_notes at ")
