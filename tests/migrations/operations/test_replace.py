from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, ProgrammingError

from memstore.errors import MigrationError
from tests.cli.command import psql
from tests.migrations.operations.revision import IMPATIENT, Project
from tests.support import Server

ROLE = "DO $$ BEGIN CREATE ROLE reader; EXCEPTION WHEN duplicate_object THEN NULL; END $$"

ONE = "CREATE FUNCTION app.rate(x int) RETURNS int LANGUAGE sql STABLE AS $$ SELECT x * 100 % 7 $$"
TWO = "CREATE OR REPLACE FUNCTION app.rate(x int) RETURNS int LANGUAGE sql STABLE AS $$ SELECT x * 200 % 7 $$;"
NUMERIC = "CREATE FUNCTION app.rate(x int) RETURNS numeric LANGUAGE sql AS $$ SELECT x * 1.5 $$"
WIDER = "CREATE FUNCTION app.rate(x int, y text DEFAULT 'a,b') RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT rate.x; END"
CALL = "CREATE PROCEDURE app.rate(x int) LANGUAGE sql AS $$ SELECT x $$"

VIEW = "CREATE VIEW app.short WITH (security_invoker = true) AS SELECT id, author FROM notes WHERE length < 10"
APPENDED = (
    "CREATE VIEW app.short WITH (security_invoker = true) AS SELECT id, author, body FROM notes WHERE length < 10"
)
FEWER = "CREATE OR REPLACE VIEW app.short AS SELECT author FROM notes"

TRIGGER = "CREATE TRIGGER bump BEFORE UPDATE OF body ON notes FOR EACH ROW EXECUTE FUNCTION app.bump()"
OTHER_TRIGGER = (
    "CREATE TRIGGER bump BEFORE INSERT OR UPDATE ON notes FOR EACH ROW WHEN (NEW.author <> '') "
    "EXECUTE FUNCTION app.bump()"
)
CONSTRAINT_TRIGGER = (
    "CREATE CONSTRAINT TRIGGER bump AFTER UPDATE ON public.notes DEFERRABLE INITIALLY DEFERRED "
    "FOR EACH ROW EXECUTE FUNCTION app.bump()"
).replace("public.", "")
BUMP = "CREATE FUNCTION app.bump() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$"

POLICY = "CREATE POLICY mine ON notes USING (author = current_user)"
OTHER_POLICY = "CREATE POLICY mine ON notes AS RESTRICTIVE FOR SELECT TO reader USING (author LIKE 'a%')"

ROUTINES = """
    SELECT prokind::text, pg_get_functiondef(oid), pg_get_userbyid(proowner)::text, obj_description(oid, 'pg_proc'),
           ARRAY(SELECT a::text FROM unnest(coalesce(proacl, acldefault('f', proowner))) AS a ORDER BY 1)
    FROM pg_proc WHERE proname = 'rate' ORDER BY proargtypes
"""
VIEWS = """
    SELECT pg_get_viewdef(c.oid), reloptions::text, relacl::text, pg_get_userbyid(relowner)::text,
           obj_description(c.oid),
           col_description(c.oid, (SELECT attnum FROM pg_attribute WHERE attrelid = c.oid AND attname = 'author')),
           (SELECT attacl::text FROM pg_attribute WHERE attrelid = c.oid AND attname = 'author')
    FROM pg_class AS c WHERE relname = 'short'
"""
TRIGGERS = """
    SELECT pg_get_triggerdef(oid), tgenabled::text, obj_description(oid, 'pg_trigger') FROM pg_trigger
    WHERE tgrelid = 'notes'::regclass AND NOT tgisinternal
"""
POLICIES = """
    SELECT polname::text, polcmd::text, polpermissive, polroles::regrole[]::text, pg_get_expr(polqual, polrelid),
           pg_get_expr(polwithcheck, polrelid), obj_description(oid, 'pg_policy')
    FROM pg_policy WHERE polrelid = 'notes'::regclass
"""


@dataclass(frozen=True)
class Case:
    """Two definitions of one object, what hangs on it, and the query that shows all of it."""

    kind: str
    before: str
    after: str
    query: str
    hanging: tuple[str, ...]

    def up(self, op: Any) -> None:
        getattr(op, f"replace_{self.kind}")(self.after, before=self.before)

    def down(self, op: Any) -> None:
        getattr(op, f"replace_{self.kind}")(self.before, before=self.after)


ON_ROUTINE = (
    "COMMENT ON ROUTINE app.rate IS 'it''s 100 %'",
    "REVOKE ALL ON ROUTINE app.rate FROM PUBLIC",
    "GRANT EXECUTE ON ROUTINE app.rate TO reader WITH GRANT OPTION",
    "ALTER ROUTINE app.rate OWNER TO reader",
)
ON_VIEW = (
    "COMMENT ON VIEW app.short IS 'the short ones'",
    "COMMENT ON COLUMN app.short.author IS 'who: %'",
    "GRANT SELECT ON app.short TO reader",
    "GRANT UPDATE (author) ON app.short TO reader",
    "ALTER VIEW app.short OWNER TO reader",
)
ON_TRIGGER = ("COMMENT ON TRIGGER bump ON notes IS 'bumps'", "ALTER TABLE notes DISABLE TRIGGER bump")
ON_POLICY = ("COMMENT ON POLICY mine ON notes IS 'mine alone'",)

GRANTED_LATER = (
    "ALTER DEFAULT PRIVILEGES GRANT EXECUTE ON FUNCTIONS TO reader",
    "ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC",
)

CASES = {
    "body": Case("function", ONE, TWO, ROUTINES, ON_ROUTINE),
    "result": Case("function", ONE, NUMERIC, ROUTINES, ON_ROUTINE),
    "arguments": Case("function", ONE, WIDER, ROUTINES, ON_ROUTINE),
    "procedure": Case("function", ONE, CALL, ROUTINES, ON_ROUTINE),
    "nothing granted": Case("function", ONE, NUMERIC, ROUTINES.replace("prokind", "proacl"), ()),
    "less granted than by default": Case("function", ONE, NUMERIC, ROUTINES, GRANTED_LATER),
    "columns appended": Case("view", VIEW, APPENDED, VIEWS, ON_VIEW),
    "columns fewer": Case("view", VIEW, FEWER, VIEWS, ON_VIEW),
    "trigger": Case("trigger", TRIGGER, OTHER_TRIGGER, TRIGGERS, ON_TRIGGER),
    "constraint trigger": Case("trigger", TRIGGER, CONSTRAINT_TRIGGER, TRIGGERS, ON_TRIGGER),
    "policy": Case("policy", POLICY, OTHER_POLICY, POLICIES, ON_POLICY),
}
every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
one_of_each = pytest.mark.parametrize(
    "case", [CASES[name] for name in ("result", "columns fewer", "trigger", "policy")], ids=lambda case: case.kind
)


def prepared(project: Project, case: Case) -> Project:
    project.run(ROLE, "CREATE SCHEMA app", "GRANT ALL ON SCHEMA app TO reader", BUMP, case.before, *case.hanging)
    return project


def made_by_hand(project: Project, case: Case, *definitions: str) -> list[list[tuple[Any, ...]]]:
    """Return what the query says of each definition where it is made in an empty schema, with what hangs on it."""
    project.run(ROLE, "CREATE SCHEMA app", "GRANT ALL ON SCHEMA app TO reader", BUMP)
    found = []
    for definition in definitions:
        with project.transaction(definition, *case.hanging) as connection:
            found.append([tuple(row) for row in connection.execute(sa.text(case.query))])
    project.run("DROP SCHEMA app CASCADE")
    return found


@every_case
def test_it_is_as_if_made_so_and_what_hung_on_it_stays(project: Project, server: Server, case: Case) -> None:
    before, after = made_by_hand(project, case, case.before, case.after)
    assert before != after
    prepared(project, case)
    for migration, expected in ((case.up, after), (case.down, before)):
        for _ in range(2):
            project.migrate(migration)
            assert project.ask(case.query) == expected
    for migration, expected in ((case.up, after), (case.down, before)):
        psql(server, project.url, project.rendered(migration))
        assert project.ask(case.query) == expected


CHANGED = {
    "function": ("CREATE OR REPLACE " + ONE[7:].replace("100", "101"), r"-.*\* 100 .*\n\+.*\* 101"),
    "view": ("ALTER VIEW app.short SET (security_invoker = false)", r"-.*=true.*\n\+.*=false"),
    "trigger": ("CREATE OR REPLACE " + TRIGGER[7:].replace("body", "author"), r"-.* OF body.*\n\+.* OF author"),
    "policy": ("ALTER POLICY mine ON notes TO reader", r"-TO PUBLIC\n\+TO reader"),
}


@one_of_each
def test_what_somebody_changed_is_not_overwritten(project: Project, case: Case) -> None:
    change, difference = CHANGED[case.kind]
    prepared(project, case).run(change)
    found = project.ask(case.query)
    with pytest.raises(MigrationError, match=f"somebody has changed it(.|\n)*{difference}"):
        project.migrate(case.up)
    assert project.ask(case.query) == found


@one_of_each
def test_what_is_not_there_is_not_replaced(project: Project, case: Case) -> None:
    what = {"function": "FUNCTION app.rate", "view": "VIEW app.short"}.get(case.kind, f"{case.kind} %s ON notes")
    name = "bump" if case.kind == "trigger" else "mine"
    prepared(project, case).run(f"DROP {what.replace('%s', name)}")
    with pytest.raises(MigrationError, match=f"there is no {case.kind} .*which this replaces"):
        project.migrate(case.up)
    assert project.ask(case.query) == []


@pytest.mark.parametrize(
    ("case", "dependent", "named"),
    [
        ("result", "CREATE VIEW rates AS SELECT app.rate(id) AS r FROM notes", "used by: view rates"),
        ("arguments", "ALTER TABLE notes ALTER length SET DEFAULT app.rate(1)", "default value for column length of"),
        ("columns fewer", "CREATE VIEW shorter AS SELECT id FROM app.short", "on it are: view shorter"),
        (
            "columns fewer",
            "CREATE TRIGGER t INSTEAD OF INSERT ON app.short FOR EACH ROW EXECUTE FUNCTION app.bump()",
            "on it are: trigger t on view app.short",
        ),
        (
            "columns fewer",
            "CREATE FUNCTION f() RETURNS SETOF app.short LANGUAGE sql AS 'TABLE app.short'",
            "function f",
        ),
        ("columns fewer", "ALTER VIEW app.short ALTER author SET DEFAULT 'me'", "default value for column author of"),
    ],
)
def test_what_others_use_is_not_dropped(
    project: Project, server: Server, case: str, dependent: str, named: str
) -> None:
    prepared(project, CASES[case]).run(dependent)
    found = project.ask(CASES[case].query)
    with pytest.raises(MigrationError, match=named):
        project.migrate(CASES[case].up)
    with pytest.raises(AssertionError, match="used by: "):
        psql(server, project.url, project.rendered(CASES[case].up))
    assert project.ask(CASES[case].query) == found


def test_what_others_use_is_replaced_where_it_need_not_be_dropped(project: Project) -> None:
    prepared(project, CASES["body"]).run(
        VIEW, "CREATE VIEW rates AS SELECT app.rate(id) AS r FROM app.short", "UPDATE notes SET length = 1 WHERE id = 1"
    )
    project.migrate(CASES["body"].up)
    project.migrate(CASES["columns appended"].up)
    assert project.ask("SELECT * FROM rates") == [(200 % 7,)]


def test_a_comment_on_a_column_goes_with_the_column(project: Project) -> None:
    prepared(project, CASES["columns fewer"]).run("COMMENT ON COLUMN app.short.id IS 'number'")
    project.migrate(CASES["columns fewer"].up)
    assert project.ask("SELECT col_description('app.short'::regclass, 1)") == [("who: %",)]


def test_an_overload_that_is_there_beside_is_named(project: Project) -> None:
    prepared(project, CASES["arguments"]).run(WIDER)
    with pytest.raises(
        MigrationError, match=r"function app.rate\(x integer, y text\) already, beside function app.rate"
    ):
        project.migrate(CASES["arguments"].up)
    assert len(project.ask(ROUTINES)) == 2


def test_before_may_name_what_the_revision_has_dropped(project: Project) -> None:
    old = "CREATE FUNCTION longest() RETURNS int LANGUAGE sql AS 'SELECT max(length) FROM notes'"
    new = "CREATE FUNCTION longest() RETURNS int LANGUAGE sql AS 'SELECT max(id) FROM notes'"
    project.run(old)

    def change(op: Any) -> None:
        op.execute("ALTER TABLE notes DROP COLUMN length")
        op.replace_function(new, before=old)

    project.migrate(change)
    assert project.ask("SELECT longest()") == [(300,)]


def test_what_the_server_wrote_is_taken_for_what_it_was_given(project: Project) -> None:
    body = "SELECT x > 1 AND (x > 2 AND x > 3) AND x > 4 AND (x > 5 OR x > 6 OR (x > 7 OR x > 8))"
    given = f"CREATE FUNCTION app.many(x int) RETURNS bool LANGUAGE sql BEGIN ATOMIC {body}; END"
    view = f"CREATE VIEW app.many AS {body} AS many FROM (SELECT length AS x FROM notes) AS n"
    project.run("CREATE SCHEMA app", given, view)
    ((written, written_view),) = project.ask(
        "SELECT pg_get_functiondef('app.many'::regproc), 'CREATE VIEW app.many AS ' || pg_get_viewdef('app.many')"
    )
    assert written.count("(") > given.count("(") + 2

    def change(op: Any) -> None:
        op.replace_function(given.replace("x > 1", "x > 10"), before=written)
        op.replace_function(written, before=given.replace("x > 1", "x > 10"))
        op.replace_view(view.replace("x > 1", "x > 10"), before=written_view)
        op.replace_view(written_view, before=view.replace("x > 1", "x > 10"))

    project.migrate(change)
    project.migrate(
        lambda op: op.replace_function("CREATE FUNCTION app.many(x int) RETURNS bool RETURN true", before=given)
    )
    assert project.ask("SELECT app.many(1)") == [(True,)]


def test_a_body_that_is_wrong_is_refused_before_anything_is_dropped(project: Project) -> None:
    prepared(project, CASES["body"])
    wrong = ONE.replace("SELECT x", "SELECT z")
    with pytest.raises(ProgrammingError, match='column "z" does not exist'):
        project.migrate(lambda op: op.replace_function(wrong, before=ONE))


@pytest.mark.parametrize(
    ("kind", "after", "before", "problem"),
    [
        ("function", "SELECT 1", ONE, "not CREATE FUNCTION or PROCEDURE with a name: 'SELECT 1'"),
        ("view", "CREATE MATERIALIZED VIEW v AS SELECT 1", VIEW, "A materialized view is made by a query"),
        ("view", "CREATE VIEW app.long AS SELECT 1", VIEW, "after makes app.long, before app.short"),
        ("policy", "CREATE POLICY mine ON app.others USING (true)", POLICY, "mine on app.others, before mine on notes"),
        ("trigger", "CREATE TRIGGER bump", TRIGGER, "names no table"),
    ],
)
def test_texts_that_do_not_fit_are_refused(project: Project, kind: str, after: str, before: str, problem: str) -> None:
    with pytest.raises(MigrationError, match=problem):
        project.migrate(lambda op: getattr(op, f"replace_{kind}")(after, before=before))


def test_names_in_quotes_and_comments_in_the_text_are_understood(project: Project) -> None:
    project.run('CREATE SCHEMA "My app"', 'CREATE TABLE "My app"."on" (id int)', BUMP.replace("app.", ""))
    trigger = (
        '-- why\nCREATE /* ON x */ TRIGGER "The ""ON"" one" AFTER UPDATE OF id ON "My app" . "on" '
        "FOR EACH ROW WHEN (NEW.id > 1) EXECUTE FUNCTION bump();"
    )
    view = 'CREATE OR REPLACE VIEW "My app"."A view" ("Column") AS SELECT 1'
    project.run(trigger, view)
    project.migrate(lambda op: op.replace_trigger(trigger.replace("> 1", "> 2"), before=trigger))
    project.migrate(lambda op: op.replace_view(view.replace("Column", "Other"), before=view))
    assert "new.id > 2" in project.ask("SELECT pg_get_triggerdef(oid) FROM pg_trigger")[0][0]
    assert project.ask('SELECT "Other" FROM "My app"."A view"') == [(1,)]


@pytest.mark.parametrize("name", ["trigger", "policy", "columns fewer"])
def test_a_busy_table_is_waited_for_without_keeping_others_waiting(project: Project, name: str) -> None:
    case = CASES[name]
    prepared(project, case)
    busy = "SELECT count(*) FROM app.short" if case.kind == "view" else "UPDATE notes SET length = 1 WHERE id = 1"
    refused = pytest.raises(MigrationError, match=r"no lock, 3 times. In the way: pid \d+ \(report, idle in trans")
    with project.transaction("SET application_name = 'report'", busy), refused:
        project.migrate(case.up, IMPATIENT)
    project.migrate(case.up)


def test_a_revision_that_wrote_before_is_not_tried_again_here(project: Project) -> None:
    prepared(project, CASES["trigger"])

    def later(op: Any) -> None:
        op.execute("CREATE TABLE extra (id int)")
        CASES["trigger"].up(op)

    busy = project.transaction("UPDATE notes SET length = 1 WHERE id = 1")
    with busy, pytest.raises(DBAPIError, match="lock timeout"):
        project.migrate(later, IMPATIENT)
    assert project.ask("SELECT to_regclass('extra')") == [(None,)]


def test_in_another_environment_that_is_explained(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMSTORE_LOCK_TIMEOUT_MS", "50")
    prepared(project, CASES["trigger"])

    def later(op: Any) -> None:
        op.execute("CREATE TABLE extra (id int)")
        CASES["trigger"].up(op)

    busy = project.transaction("UPDATE notes SET length = 1 WHERE id = 1")
    with busy, pytest.raises(MigrationError, match="no lock on notes within 50 ms.* put this first in its revision"):
        project.migrate(later)


@one_of_each
def test_the_session_is_left_as_it_was(project: Project, case: Case) -> None:
    prepared(project, case)
    found = []

    def watched(op: Any) -> None:
        op.execute("SET LOCAL lock_timeout = '7s'")
        case.up(op)
        found.append(op.get_bind().scalar(sa.text("SHOW lock_timeout")))
        found.append(op.get_bind().scalar(sa.text("SHOW check_function_bodies")))

    project.migrate(watched)
    assert found == ["7s", "on"]
