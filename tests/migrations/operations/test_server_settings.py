from __future__ import annotations

import threading
from typing import Any

import pytest
import sqlalchemy as sa

from memstore.errors import MigrationError
from tests.cli.command import psql
from tests.migrations.operations.revision import IMPATIENT, Project
from tests.support import Server

GOING_ON = "\\set ON_ERROR_STOP off\n"
TRIGGER = "CREATE TRIGGER t BEFORE UPDATE ON notes FOR EACH ROW EXECUTE FUNCTION {}()"
FUNCTION = "suppress_redundant_updates_trigger"


def for_database(project: Project, setting: str, value: str) -> None:
    project.run(f"ALTER DATABASE {project.url.database} SET {setting} = '{value}'")


def fill(op: Any) -> None:
    isolation = "current_setting('transaction_isolation')"
    op.backfill("notes", {"author": isolation}, where="author <> 'read committed'")


def check(op: Any) -> None:
    op.add_check_safely("ck", "notes", "length > 0")


def drop_check(op: Any) -> None:
    op.drop_constraint_safely("ck", "notes")


def not_null(op: Any) -> None:
    op.set_not_null_safely("notes", "body")


def drop_not_null(op: Any) -> None:
    op.drop_not_null_safely("notes", "body")


@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
def test_what_isolation_others_have_by_default_is_not_its_own(project: Project, server: Server, isolation: str) -> None:
    for_database(project, "default_transaction_isolation", isolation)
    project.migrate(fill)
    authors = "SELECT DISTINCT author FROM notes"
    assert project.ask(authors) == [("read committed",)]
    project.run("UPDATE notes SET author = ''")
    psql(server, project.url, project.rendered(fill))
    assert project.ask(authors) == [("read committed",)]
    assert "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;" in project.rendered(check)


def test_where_transactions_only_read_by_default_it_writes(project: Project) -> None:
    for_database(project, "default_transaction_read_only", "on")

    def writing(op: Any) -> None:
        op.create_index_concurrently("ix", "notes", ["author"])
        op.backfill("notes", "length = 1", where="length IS NULL")
        op.execute("SET TRANSACTION READ WRITE")

    project.migrate(writing)
    assert project.ask("SELECT count(length) FROM notes") == [(300,)]


def replace_trigger(op: Any) -> None:
    op.replace_trigger(TRIGGER.format(FUNCTION), before=TRIGGER.format(FUNCTION).replace("UPDATE", "UPDATE OF body"))


@pytest.mark.parametrize(
    ("migration", "setting"),
    [(check, "idle_session_timeout"), (replace_trigger, "idle_in_transaction_session_timeout")],
    ids=["stepwise", "plain"],
)
def test_a_pause_ends_no_session(project: Project, migration: Any, setting: str) -> None:
    project.run(TRIGGER.format(FUNCTION).replace("UPDATE", "UPDATE OF body"))
    for_database(project, setting, "200ms")
    with (
        project.transaction(f"SET {setting} = 0", "LOCK TABLE notes IN ROW EXCLUSIVE MODE"),
        pytest.raises(MigrationError, match="no lock, 3 times"),
    ):
        project.migrate(migration, IMPATIENT)


@pytest.mark.parametrize("migration", [drop_check, drop_not_null], ids=lambda each: each.__name__)
def test_a_script_gives_up_on_a_busy_table_and_can_be_run_again(
    project: Project, server: Server, migration: Any
) -> None:
    project.migrate(check)
    project.migrate(not_null)
    script = project.rendered(migration)
    assert "SET LOCAL lock_timeout = 2000;" in script
    hasty = script.replace("SET LOCAL lock_timeout = 2000;", "SET LOCAL lock_timeout = 50;")
    still_there = {drop_check: "notes.ck is still there", drop_not_null: "notes.body is NOT NULL still"}[migration]
    with project.transaction("LOCK TABLE notes IN ACCESS SHARE MODE"):
        with pytest.raises(AssertionError, match="canceling statement due to lock timeout"):
            psql(server, project.url, hasty)
        with pytest.raises(AssertionError, match=still_there):
            psql(server, project.url, GOING_ON + hasty)
    for _ in range(2):
        psql(server, project.url, "SET client_min_messages = warning;\n" + script)


def test_a_watcher_that_cannot_connect_keeps_nobody_waiting(project: Project) -> None:
    asked, let_go = threading.Event(), threading.Event()

    def hang(*_arguments: Any) -> None:
        if threading.current_thread().name == "memstore progress":
            asked.set()
            let_go.wait()

    sa.event.listen(project.engine, "do_connect", hang)
    with project.transaction("INSERT INTO notes (author) VALUES ('me')") as writer:
        migrating = threading.Thread(
            target=project.migrate,
            args=(lambda op: op.create_index_concurrently("ix", "notes", ["author"]),),
            daemon=True,
        )
        migrating.start()
        assert asked.wait(30)
        writer.commit()
        migrating.join(30)
    is_over = not migrating.is_alive()
    told = len(project.progress)
    let_go.set()
    for thread in threading.enumerate():
        if thread.name == "memstore progress":
            thread.join(30)
    assert is_over
    assert len(project.progress) == told
    assert project.ask("SELECT indisvalid FROM pg_index WHERE indexrelid = 'ix'::regclass") == [(True,)]
